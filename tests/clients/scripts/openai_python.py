"""openai-python 2 and 3, synchronous and asynchronous."""

import asyncio
import json
import os

import openai
import pydantic

URL, KEY = os.environ["GATE_URL"] + "/v1", os.environ["GATE_KEY"]
HELLO = {"role": "user", "content": "hello there"}
LOOK_UP = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"query": {"type": "string"}}}},
}


class Person(pydantic.BaseModel):
    name: str
    age: int


def with_tool(ask):
    """What the model says when it has the tool's result."""
    message = ask([HELLO]).choices[0].message
    [call] = message.tool_calls
    found = "found " + json.loads(call.function.arguments)["query"]
    answer = ask([HELLO, message, {"role": "tool", "tool_call_id": call.id, "content": found}])
    return answer.choices[0].message.content


def streamed_to_the_end(messages):
    with client.chat.completions.stream(model="tools", messages=messages, tools=[LOOK_UP]) as stream:
        return stream.get_final_completion()


def refused(feature, **options):
    try:
        create(model=feature, messages=[HELLO], **options)
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code]


async def many():
    async with openai.AsyncOpenAI(base_url=URL, api_key=KEY) as client:
        ask = client.chat.completions.create
        replies = await asyncio.gather(*(ask(model="assistant", messages=[HELLO]) for _ in range(5)))
        return [reply.choices[0].message.content for reply in replies]


client = openai.OpenAI(base_url=URL, api_key=KEY)
create = client.chat.completions.create
plain = create(model="assistant", messages=[HELLO])
options = {"include_usage": True}
chunks = list(create(model="assistant", messages=[HELLO], stream=True, stream_options=options))
seen = {
    "version": openai.__version__,
    "chat": [plain.choices[0].message.content, plain.usage.total_tokens],
    "stream": ["".join(c.choices[0].delta.content or "" for c in chunks if c.choices), chunks[-1].usage.total_tokens],
    "tool": with_tool(lambda messages: create(model="tools", messages=messages, tools=[LOOK_UP])),
    "tool_stream": with_tool(streamed_to_the_end),
    "structured": client.chat.completions.parse(model="facts", messages=[HELLO], response_format=Person)
    .choices[0]
    .message.parsed.model_dump(),
    "embeddings": [item.embedding for item in client.embeddings.create(model="search", input=["a", "b"]).data],
    "refused": refused("spent"),
    "unknown": refused("nothing"),
    "refused_stream": refused("spent", stream=True),
    "embeddings_of_tokens": client.embeddings.create(model="search", input=[[1, 2, 3]]).data[0].embedding,
    "async": asyncio.run(many()),
}
print(json.dumps(seen))
