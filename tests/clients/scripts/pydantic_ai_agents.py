"""pydantic-ai: agents on OpenAIChatModel."""

import asyncio
import json
import os
from importlib.metadata import version

import pydantic
from pydantic_ai import Agent, Embedder, ModelHTTPError, NativeOutput
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

PROVIDER = OpenAIProvider(base_url=os.environ["GATE_URL"] + "/v1", api_key=os.environ["GATE_KEY"])


class Person(pydantic.BaseModel):
    name: str
    age: int


def look_up(query: str) -> str:
    """Looks something up."""
    return f"found {query}"


def agent(feature, **options):
    return Agent(OpenAIChatModel(feature, provider=PROVIDER), **options)


async def streamed(feature, **options):
    async with agent(feature, **options).run_stream("hello there") as result:
        text = "".join([piece async for piece in result.stream_text(delta=True)])
        return [text, result.usage.total_tokens]


async def refused(feature):
    try:
        await agent(feature).run("hello there")
    except ModelHTTPError as error:
        return [type(error).__name__, error.status_code, error.body["code"]]


async def main():
    plain = await agent("assistant").run("hello there")
    stream = await streamed("assistant")
    answer = (await agent("tools", tools=[look_up]).run("hello there")).output
    streamed_answer, _ = await streamed("tools", tools=[look_up])
    embedder = Embedder(OpenAIEmbeddingModel("search", provider=PROVIDER))
    return {
        "version": version("pydantic-ai-slim"),
        "chat": [plain.output, plain.usage.total_tokens],
        "stream": stream,
        "tool": answer,
        "tool_stream": streamed_answer,
        "structured": (await agent("facts", output_type=NativeOutput(Person)).run("hello there")).output.model_dump(),
        "embeddings": [list(vector) for vector in (await embedder.embed_documents(["a", "b"])).embeddings],
        "refused": await refused("spent"),
        "unknown": await refused("nothing"),
    }


print(json.dumps(asyncio.run(main())))
