"""anthropic-python, unmodified, on `/v1/messages`, before a provider that speaks OpenAI's language."""

from decimal import Decimal

from gateway.models import Call
from tests.clients.conftest import documented, rows


def test_anthropic_python(gate, provider):
    seen = gate.run("anthropic", "anthropic_python.py")
    assert documented(seen.pop("version"))
    assert seen == {
        "chat": ["hello there", 20, 10],
        "stream": ["hello there", 20, 10],
        "tool": ["tool_use", "found hello there", "end_turn"],
        "tool_stream": ["tool_use", "found hello there", "end_turn"],
        "structured": {"name": "Ada", "age": 36},
        "refused": ["RateLimitError", 429, "error", True],
        "refused_stream": ["RateLimitError", 429, "error", True],
        "unknown": ["NotFoundError", 404, "error", True],
        "message": ["message", "assistant", "end_turn"],
        "bearer": "hello there",
    }
    assert rows() == [
        "assistant ok",
        "facts ok",
        "assistant ok streamed",
        "tools ok tool",
        "tools ok",
        "tools ok streamed tool",
        "tools ok streamed",
        "spent refused_budget",
        "spent refused_budget streamed",
        "assistant ok",
    ]
    answered = Call.objects.filter(outcome="ok")
    assert answered.count() == len(provider.requests)
    assert {call.cost_usd for call in answered} == {Decimal("0.0004")}
    plain, facts = provider.requests[:2]
    assert plain["messages"][0] == {"role": "system", "content": "Be brief."}
    assert facts["response_format"]["type"] == "json_schema"
    assert {asked.get("max_tokens") or asked.get("max_completion_tokens") for asked in provider.requests} == {50}
