"""openai-python 2 and 3 on the Responses API."""

import json
import os

import openai
import pydantic

client = openai.OpenAI(base_url=os.environ["GATE_URL"] + "/v1", api_key=os.environ["GATE_KEY"])
create = client.responses.create
PARAMETERS = {"type": "object", "properties": {"query": {"type": "string"}}}
LOOK_UP = {"type": "function", "name": "look_up", "parameters": PARAMETERS, "strict": False}


class Person(pydantic.BaseModel):
    name: str
    age: int


def streamed():
    text, last, kinds, numbers = "", None, [], []
    for event in create(model="assistant", input="hello there", stream=True):
        text += event.delta if event.type == "response.output_text.delta" else ""
        kinds += [event.type] if event.type not in kinds[-1:] else []
        numbers.append(event.sequence_number)
        last = event
    assert numbers == list(range(len(numbers)))
    return [text, last.response.usage.total_tokens], kinds


def with_tool(ask):
    """What the model says when it has the tool's result."""
    asked = [{"role": "user", "content": "hello there"}]
    output = ask(asked).output
    [call] = [item for item in output if item.type == "function_call"]
    found = "found " + json.loads(call.arguments)["query"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": found}
    return ask([*asked, *output, result]).output_text


def streamed_to_the_end(input):
    with client.responses.stream(model="tools", input=input, tools=[LOOK_UP]) as stream:
        return stream.get_final_response()


def conversation():
    asked = [{"role": "user", "content": "hello there"}]
    reply = create(model="assistant", input=asked)
    return create(model="assistant", input=[*asked, *reply.output, {"role": "user", "content": "and now?"}]).output_text


def refused(feature, **options):
    try:
        create(model=feature, input="hello there", **options)
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code]


plain = create(model="assistant", instructions="Be brief.", input="hello there")
stream, events = streamed()
seen = {
    "version": openai.__version__,
    "chat": [plain.output_text, plain.usage.total_tokens],
    "stream": stream,
    "tool": with_tool(lambda input: create(model="tools", input=input, tools=[LOOK_UP])),
    "tool_stream": with_tool(streamed_to_the_end),
    "structured": client.responses.parse(
        model="facts", input="hello there", text_format=Person
    ).output_parsed.model_dump(),
    "conversation": conversation(),
    "refused": refused("spent"),
    "refused_stream": refused("spent", stream=True),
    "unknown": refused("nothing"),
    "status": [plain.object, plain.status, plain.usage.input_tokens, plain.usage.output_tokens],
    "events": events,
}
print(json.dumps(seen))
