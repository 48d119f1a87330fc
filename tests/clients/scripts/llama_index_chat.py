"""LlamaIndex: OpenAILike by itself and in an agent, OpenAILikeEmbedding."""

import asyncio
import json
import os
from importlib.metadata import version

import openai
import pydantic
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike

SETTINGS = {"api_base": os.environ["GATE_URL"] + "/v1", "api_key": os.environ["GATE_KEY"]}
HELLO = [ChatMessage("hello there")]


class Person(pydantic.BaseModel):
    name: str
    age: int


def look_up(query: str) -> str:
    """Looks something up."""
    return f"found {query}"


def chat(feature, **options):
    return OpenAILike(
        model=feature, is_chat_model=True, is_function_calling_model=feature == "tools", **SETTINGS, **options
    )


def refused(feature):
    try:
        chat(feature).chat(HELLO)
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code]


async def with_agent(streaming):
    agent = FunctionAgent(tools=[look_up], llm=chat("tools"), streaming=streaming)
    return str(await agent.run("hello there"))


plain = chat("assistant").chat(HELLO)
streamed = list(chat("assistant", additional_kwargs={"stream_options": {"include_usage": True}}).stream_chat(HELLO))
answers = [asyncio.run(with_agent(streaming)) for streaming in (False, True)]
embeddings = OpenAILikeEmbedding(model_name="search", **SETTINGS)
seen = {
    "version": f"{version('llama-index-core')}, llama-index-llms-openai-like {version('llama-index-llms-openai-like')}",
    "chat": [plain.message.content, plain.raw.usage.total_tokens],
    "stream": ["".join(piece.delta for piece in streamed), streamed[-1].raw.usage.total_tokens],
    "tool": answers[0],
    "tool_stream": answers[1],
    "structured": chat("facts").as_structured_llm(Person).chat(HELLO).raw.model_dump(),
    "embeddings": embeddings.get_text_embedding_batch(["a", "b"]),
    "refused": refused("spent"),
    "unknown": refused("nothing"),
}
print(json.dumps(seen))
