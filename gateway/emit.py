"""Last stage: what the committed row tells the world. Never in the way of the reply, never fatal."""

import logging
from datetime import timedelta

from opentelemetry import trace
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from gateway.ledger.operations import Row
from gateway.models.calls import uuid7_time

logger = logging.getLogger("tollhouse.call")
tracer = trace.get_tracer("tollhouse")


def emit(row: Row, *, settle_ms: float) -> None:
    """A log line and, where OpenTelemetry is set up, a span after the GenAI conventions (v1.41), without content."""
    try:
        level = logging.DEBUG if row["outcome"] in ("ok", "truncated") else logging.INFO
        if logger.isEnabledFor(level):
            logger.log(
                level, "%s %s %s %s/%s %s USD %.1f ms, settled in %.1f ms", row["id"], row["feature"], row["outcome"],
                row["provider"], row["model_served"], row["cost_usd"], row["latency_ms"], settle_ms,
            )  # fmt: skip
        _span(row)
    except Exception:
        logger.warning("telemetry of call %s failed", row["id"], exc_info=True)


def _span(row: Row) -> None:
    context = None
    if row["trace_id"]:
        parent = SpanContext(
            int(row["trace_id"], 16), int(row["span_id"], 16), is_remote=True, trace_flags=TraceFlags(1)
        )
        context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
    started = uuid7_time(row["id"])
    span = tracer.start_span(
        f"{row['operation']} {row['model_asked'] or row['model_served'] or row['feature']}",
        context=context, kind=SpanKind.CLIENT, start_time=int(started.timestamp() * 1e9),
    )  # fmt: skip
    if span.is_recording():
        span.set_attributes(attributes(row))
        if row["outcome"] not in ("ok", "truncated"):
            span.set_status(Status(StatusCode.ERROR, row["outcome"]))
    ended = started + timedelta(milliseconds=row["latency_ms"])
    span.end(end_time=int(ended.timestamp() * 1e9))


def attributes(row: Row) -> dict[str, str | int | float | tuple[str, ...]]:
    """Span attributes of a row: the GenAI conventions' names, and ours under `tollhouse.`. Cost is a float here only."""
    cached, written = row["cache_read_tokens"], row["cache_write_tokens"]
    found: dict[str, str | int | float | tuple[str, ...]] = {
        "gen_ai.operation.name": row["operation"],
        "gen_ai.provider.name": row["provider"] or "_OTHER",
        "gen_ai.request.model": row["model_asked"] or row["model_served"],
        "gen_ai.response.model": row["model_served"],
        "gen_ai.usage.input_tokens": row["input_tokens"] + cached + written,
        "gen_ai.usage.output_tokens": row["output_tokens"] + row["reasoning_tokens"],
        "gen_ai.usage.cache_read.input_tokens": cached,
        "gen_ai.usage.cache_creation.input_tokens": written,
        "gen_ai.usage.reasoning.output_tokens": row["reasoning_tokens"],
        "tollhouse.call_id": str(row["id"]),
        "tollhouse.feature": row["feature"],
        "tollhouse.outcome": row["outcome"],
        "tollhouse.prompt_version": row["prompt_version"],
    }
    if row["finish_reason"]:
        found["gen_ai.response.finish_reasons"] = (row["finish_reason"],)
    if row["session_id"]:
        found["gen_ai.conversation.id"] = row["session_id"]
    if row["cost_usd"] is not None:
        found["operation.cost"] = float(row["cost_usd"])
    if row["first_token_ms"] is not None:
        found["gen_ai.response.time_to_first_chunk"] = row["first_token_ms"] / 1000
    if row["error_class"]:
        found["error.type"] = row["error_class"]
    return found
