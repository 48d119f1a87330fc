"""anthropic-python."""

import json
import os

import anthropic
import pydantic

# Its base URL is the server's, without /v1.
client = anthropic.Anthropic(base_url=os.environ["GATE_URL"], api_key=os.environ["GATE_KEY"])
HELLO = {"role": "user", "content": "hello there"}
SCHEMA = {"type": "object", "properties": {"query": {"type": "string"}}}
LOOK_UP = {"name": "look_up", "description": "Looks something up.", "input_schema": SCHEMA}


class Person(pydantic.BaseModel):
    name: str
    age: int


def create(feature, *messages, **options):
    return client.messages.create(model=feature, max_tokens=50, messages=messages or [HELLO], **options)


def tokens(message):
    return [message.usage.input_tokens, message.usage.output_tokens]


def streamed():
    with client.messages.stream(model="assistant", max_tokens=50, messages=[HELLO]) as stream:
        text = "".join(stream.text_stream)
        return [text, *tokens(stream.get_final_message())]


def with_tool(ask):
    """Why the model stopped, and what it says when it has the tool's result."""
    message = ask(HELLO)
    [call] = [block for block in message.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": f"found {call.input['query']}"}
    answer = ask(HELLO, {"role": "assistant", "content": message.content}, {"role": "user", "content": [result]})
    return [message.stop_reason, answer.content[0].text, answer.stop_reason]


def streamed_to_the_end(*messages):
    with client.messages.stream(model="tools", max_tokens=50, messages=messages, tools=[LOOK_UP]) as stream:
        return stream.get_final_message()


def refused(feature, **options):
    try:
        create(feature, **options)
    except anthropic.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.body["type"], bool(error.body["error"]["message"])]


plain = create("assistant", system="Be brief.")
parsed = client.messages.parse(model="facts", max_tokens=50, messages=[HELLO], output_format=Person)
bearer = anthropic.Anthropic(base_url=client.base_url, auth_token=client.api_key, api_key=None)
seen = {
    "version": anthropic.__version__,
    "chat": [plain.content[0].text, *tokens(plain)],
    "stream": streamed(),
    "tool": with_tool(lambda *messages: create("tools", *messages, tools=[LOOK_UP])),
    "tool_stream": with_tool(streamed_to_the_end),
    "structured": parsed.parsed_output.model_dump(),
    "refused": refused("spent"),
    "refused_stream": refused("spent", stream=True),
    "unknown": refused("nothing"),
    "message": [plain.type, plain.role, plain.stop_reason],
    "bearer": bearer.messages.create(model="assistant", max_tokens=50, messages=[HELLO]).content[0].text,
}
print(json.dumps(seen))
