"""Clients of the Responses API, unmodified, each from an environment of its own."""

import json
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
    "conversation": "and now?",
}
ROWS = [
    "assistant ok",
    "assistant ok streamed",
    "tools ok tool",
    "tools ok",
    "tools ok streamed tool",
    "tools ok streamed",
    "facts ok",
    "assistant ok",
    "assistant ok",
]
REFUSED = ["RateLimitError", 429, "budget_exceeded"]
UNKNOWN = ["NotFoundError", 404, "not_found"]


@pytest.mark.parametrize("client", ["openai-2", "openai-3"])
def test_openai_python_on_responses(gate, provider, client):
    seen = gate.run(client, "openai_python_responses.py")
    check(seen, provider)
    assert (seen["refused"], seen["refused_stream"], seen["unknown"]) == (REFUSED, REFUSED, UNKNOWN)
    assert rows() == [*ROWS, "spent refused_budget", "spent refused_budget streamed"]
    assert seen["status"] == ["response", "completed", 20, 10]
    assert seen["events"] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    system = provider.requests[0]["messages"][0]
    assert (system["role"] in ("system", "developer"), system["content"]) == (True, "Be brief.")


def test_openai_node_on_responses(gate, provider):
    seen = gate.run("node", "openai_node_responses.mjs")
    check(seen, provider)
    assert (seen["refused"], seen["refused_stream"], seen["unknown"]) == (REFUSED, REFUSED, UNKNOWN)
    assert rows() == [*ROWS, "spent refused_budget", "spent refused_budget streamed"]


def test_the_ai_sdk_as_it_is_by_default(gate, provider):
    seen = gate.run("node", "ai_sdk_responses.mjs")
    check(seen, provider)
    assert seen["refused"] == ["AI_RetryError", 429, "budget_exceeded"]
    assert seen["unknown"] == ["AI_APICallError", 404, "not_found"]
    assert seen["by_reference"] == ["AI_APICallError", 400, "invalid_request"], "nothing is kept to refer to"
    # It does not know `x-should-retry: false`; and what is referred to was itself a call.
    assert rows() == [*ROWS, *["spent refused_budget"] * 3, "assistant ok"]


def check(seen, provider):
    """What holds for every client: what it saw, what the provider heard, and what it cost."""
    assert documented(seen["version"])
    assert {name: seen[name] for name in SEEN} == SEEN
    answered = Call.objects.filter(outcome="ok")
    assert answered.count() == len(provider.requests)
    assert {call.cost_usd for call in answered} == {Decimal("0.0004")}
    [facts] = [asked for asked in provider.requests if asked["model"] == "json"]
    assert facts["response_format"]["type"] == "json_schema"
    [second] = [asked for asked in provider.requests if "and now?" in json.dumps(asked)]
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "user"]
    assert json.dumps(second["messages"]).count("hello there") == 2
