"""LangChain: ChatOpenAI by itself and in an agent, OpenAIEmbeddings."""

import json
import os
from importlib.metadata import version

import openai
import pydantic
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

SETTINGS = {"base_url": os.environ["GATE_URL"] + "/v1", "api_key": os.environ["GATE_KEY"]}


HELLO = {"messages": [{"role": "user", "content": "hello there"}]}


class Person(pydantic.BaseModel):
    name: str
    age: int


@tool
def look_up(query: str) -> str:
    """Looks something up."""
    return f"found {query}"


def chat(feature):
    return ChatOpenAI(model=feature, **SETTINGS)


def refused(feature):
    try:
        chat(feature).invoke("hello there")
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code]


def streamed():
    pieces = list(ChatOpenAI(model="assistant", stream_usage=True, **SETTINGS).stream("hello there"))
    whole = sum(pieces[1:], pieces[0])
    return [whole.text, whole.usage_metadata["total_tokens"]]


def streamed_from_agent():
    pieces = [message for message, _ in agent.stream(HELLO, stream_mode="messages")]
    return "".join(piece.text for piece in pieces if piece.type == "AIMessageChunk")


agent = create_agent(chat("tools"), tools=[look_up])
plain = chat("assistant").invoke("hello there")
# Without this option it sends token numbers, for which it downloads a tokenizer.
embeddings = OpenAIEmbeddings(model="search", check_embedding_ctx_length=False, **SETTINGS)
seen = {
    "version": f"{version('langchain')}, langchain-openai {version('langchain-openai')}",
    "chat": [plain.text, plain.usage_metadata["total_tokens"]],
    "stream": streamed(),
    "tool": agent.invoke(HELLO)["messages"][-1].text,
    "tool_stream": streamed_from_agent(),
    "structured": chat("facts").with_structured_output(Person).invoke("hello there").model_dump(),
    "embeddings": embeddings.embed_documents(["a", "b"]),
    "refused": refused("spent"),
    "unknown": refused("nothing"),
    "stream_without_usage": "".join(piece.text for piece in chat("assistant").stream("hello there")),
}
print(json.dumps(seen))
