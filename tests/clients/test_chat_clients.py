"""Clients of chat completions and embeddings, unmodified, each from an environment of its own."""

from decimal import Decimal

import pytest

from gateway.models import Call
from tests.clients.conftest import documented, rows

#: What every script sees first, and the rows of that.
SEEN = {
    "chat": ["hello there", 30],
    "stream": ["hello there", 30],
    "tool": "found hello there",
    "tool_stream": "found hello there",
    "structured": {"name": "Ada", "age": 36},
    "embeddings": [[0.5, -0.25, 2.0]] * 2,
}
ROWS = [
    "assistant ok",
    "assistant ok streamed",
    "tools ok tool",
    "tools ok",
    "tools ok streamed tool",
    "tools ok streamed",
    "facts ok",
    "search ok",
]
#: What some scripts see besides, and the rows of that.
MORE = {
    "openai_python.py": (
        {
            "refused_stream": ["RateLimitError", 429, "budget_exceeded"],
            "embeddings_of_tokens": [0.5, -0.25, 1.0],
            "async": ["hello there"] * 5,
        },
        ["spent refused_budget streamed", "search ok"] + ["assistant ok"] * 5,
    ),
    "ai_sdk_chat.mjs": (
        {"openai_chat": "hello there", "openai_chat_stream": ["hello there", 30]},
        ["assistant ok", "assistant ok streamed"],
    ),
    "langchain_chat.py": ({"stream_without_usage": "hello there"}, ["assistant ok streamed"]),
}
#: How often a client that does not know `x-should-retry: false` tries a call which its budget refuses.
TRIES = {"ai_sdk_chat.mjs": 3, "llama_index_chat.py": 3}


@pytest.mark.parametrize(
    "client, script, refused, unknown",
    [
        ("openai-2", "openai_python.py", "RateLimitError", "NotFoundError"),
        ("openai-3", "openai_python.py", "RateLimitError", "NotFoundError"),
        ("node", "openai_node.mjs", "RateLimitError", "NotFoundError"),
        ("node", "ai_sdk_chat.mjs", "AI_RetryError", "AI_APICallError"),
        ("langchain", "langchain_chat.py", "OpenAIRateLimitError", "OpenAIModelNotFoundError"),
        ("llama-index", "llama_index_chat.py", "RateLimitError", "NotFoundError"),
        ("pydantic-ai", "pydantic_ai_agents.py", "ModelRateLimitError", "ModelNotFoundError"),
    ],
)
def test_a_client_of_chat_completions(gate, provider, client, script, refused, unknown):
    seen = gate.run(client, script)
    assert documented(seen.pop("version"))
    assert {name: seen.pop(name) for name in SEEN} == SEEN
    assert seen.pop("refused") == [refused, 429, "budget_exceeded"]
    assert seen.pop("unknown") == [unknown, 404, "not_found"]
    more_seen, more_rows = MORE.get(script, ({}, []))
    assert seen == more_seen
    assert rows() == ROWS + ["spent refused_budget"] * TRIES.get(script, 1) + more_rows
    answered = Call.objects.filter(outcome="ok")
    assert answered.count() == len(provider.requests)
    costs = {call.cost_usd for call in answered.exclude(feature="search")}
    assert costs == {Decimal("0.0004")}, "the usage is known, whether the client asked for it or not"


def test_the_llm_command(gate, provider):
    seen = gate.run("llm", "llm_cli.py")
    assert documented(seen["version"])
    assert seen["chat"] == seen["stream"] == ["hello there", "Token usage: 20 input, 10 output"]
    for name in ("tool", "tool_stream", "structured"):
        assert seen[name] == SEEN[name]
    assert seen["refused"][0] == seen["unknown"][0] == 1
    assert "429 - This call may need" in seen["refused"][1]
    assert "404 - There is no feature 'nothing'" in seen["unknown"][1]
    assert rows() == [*ROWS[:-1], "spent refused_budget"]
    assert len(provider.requests) == len(ROWS) - 1
