"""Finished calls, as telemetry is told of them."""

from decimal import Decimal

from uuid_utils.compat import uuid7

from gateway.ledger.operations import BLANK
from gateway.telemetry.finished import Finished


def finished(*, row=None, **values) -> Finished:
    """A call of 1,200 tokens, 200 of them cached, that succeeded; `row` and `values` change it."""
    given = {
        **BLANK, "id": uuid7(), "feature": "support.reply", "operation": "chat", "provider": "openai-eu", "model_served": "gpt-4o-mini",
        "streamed": False, "input_tokens": 1000, "cache_read_tokens": 200, "output_tokens": 240, "reasoning_tokens": 60,
        "cost_usd": Decimal("0.000324"), "latency_ms": 812.4, "gate_ms": 4.2, "redaction_ms": 1.9, "attempts": 1,
        "entities": {"PERSON": 2}, "tenant": "acme", "user_ref": "u1", "session_id": "s1", "cohort": "", "key": "web",
        "http_status": 200, "finish_reason": "stop",
        "trace": {"stages": {"identify": 0.1, "redact": 1.9, "hold": 1.1, "send": 800.0, "redact_reply": 3.0}},
        **(row or {}),
    }  # fmt: skip
    return Finished(**{
        "row": given, "body": {}, "vendor": "azure", "model": "gpt-4o-mini", "base_url": "https://eu.example.com/v1",
        "response_id": "chatcmpl-1", "content": None, "settle_ms": 2.0, "parent": None, **values,
    })  # fmt: skip
