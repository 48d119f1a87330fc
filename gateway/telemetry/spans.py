"""Spans after the GenAI conventions (v1.41): one for each call, with children for the stages that take time."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from gateway.conf import settings
from gateway.entry import TRACEPARENT
from gateway.ledger.operations import Row
from gateway.telemetry import content, dialects
from gateway.telemetry.finished import Finished
from gateway.types import Ask

Attribute = str | bool | int | float | Sequence[str]

#: A proxy: where an application sets up OpenTelemetry later, it speaks to that from then on.
tracer = trace.get_tracer("tollhouse")
#: Stages that are spans of their own, beside the attempts of sending; the others take microseconds.
TOLD_STAGES = frozenset({"redact", "cache", "hold", "redact_reply"})
#: Numbers of a request → their attribute and whether it is a whole number.
REQUESTED: Mapping[tuple[str, ...], tuple[str, type]] = {
    ("temperature",): ("gen_ai.request.temperature", float),
    ("top_p",): ("gen_ai.request.top_p", float),
    ("frequency_penalty",): ("gen_ai.request.frequency_penalty", float),
    ("presence_penalty",): ("gen_ai.request.presence_penalty", float),
    ("max_completion_tokens", "max_tokens"): ("gen_ai.request.max_tokens", int),
    ("seed",): ("gen_ai.request.seed", int),
}

#: A member of a W3C `tracestate`, and how many there may be. Source: Trace Context, level 1, section 3.3.1.
MEMBER = re.compile(
    r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})=[ -+\--<>-~]{0,255}[!-+\--<>-~]"
)
MOST_MEMBERS = 32


def active() -> bool:
    """Whether somebody in this process has set up tracing: OpenTelemetry's own stand-ins do nothing."""
    return not type(trace.get_tracer_provider()).__module__.startswith("opentelemetry.trace")


def around(traceparent: str, tracestate: str) -> Context | None:
    """The application's trace: that of the running code, else that of the request's headers; None where there is none."""
    if trace.get_current_span().get_span_context().is_valid:
        return Context(trace.set_span_in_context(trace.get_current_span()))
    # By the same rule as for the row: one that is malformed is in neither.
    if (parts := TRACEPARENT.fullmatch(traceparent)) is None:
        return None
    remote = SpanContext(
        int(parts[1], 16), int(parts[2], 16), is_remote=True, trace_flags=TraceFlags(int(parts[3], 16)),
        trace_state=_state(tracestate) if tracestate else None,
    )  # fmt: skip
    return trace.set_span_in_context(NonRecordingSpan(remote), Context())


def _state(tracestate: str) -> TraceState | None:
    """None where it is malformed; OpenTelemetry would log it then, once a call and in the caller's words."""
    members = [member.strip(" \t") for member in tracestate.split(",")]
    if len(members) > MOST_MEMBERS or not all(MEMBER.fullmatch(member) for member in members if member):
        return None
    return TraceState.from_header([tracestate])


def begin(ask: Ask, began_ns: int, parent: Context | None) -> Span:
    """The span of a call that goes on, so that a provider can be told of it. Times are nanoseconds since 1970."""
    return tracer.start_span(
        f"{ask.operation} {ask.model or ask.feature}", context=parent or Context(), kind=SpanKind.CLIENT,
        start_time=began_ns, attributes={"gen_ai.operation.name": ask.operation, "tollhouse.feature": ask.feature},
    )  # fmt: skip


def tell(call: Finished, began_ns: int) -> None:
    """Ends the call's span, with everything that is known of it, after its children."""
    row = call.row
    name = f"{row['operation']} {call.model}"
    first = {"gen_ai.operation.name": row["operation"], "gen_ai.provider.name": call.provider,
             "gen_ai.request.model": call.model, "tollhouse.feature": row["feature"]}  # fmt: skip
    # A context of its own where there is no parent, as what is current then is the engine's and not the application's.
    span = call.span or tracer.start_span(
        name, context=call.parent or Context(), kind=SpanKind.CLIENT, start_time=began_ns, attributes=first
    )
    if span.is_recording():
        span.update_name(name)
        span.set_attributes(attributes(call))
        if call.error:
            span.set_status(Status(StatusCode.ERROR, row["outcome"]))
        _children(call, trace.set_span_in_context(span, Context()), began_ns)
    span.end(end_time=began_ns + _ns(row["latency_ms"] + call.settle_ms))


def attributes(call: Finished) -> dict[str, Attribute]:
    """What a span says of its call: the conventions' names, and ours under `tollhouse.`. Cost is a float here only."""
    found = {**_of_request(call), **_of_reply(call), **_ours(call)}
    for dialect in settings().TELEMETRY_DIALECTS:
        found |= dialects.SPANS[dialect](call)
    if call.content and content.switched_on():
        found |= content.attributes(call.content, call.row["finish_reason"])
    return found


def _of_request(call: Finished) -> dict[str, Attribute]:
    row, address = call.row, urlsplit(call.base_url)
    found: dict[str, Attribute] = {
        "gen_ai.operation.name": row["operation"],
        "gen_ai.provider.name": call.provider,
        "gen_ai.request.model": call.model,
    }
    for names, (name, kind) in REQUESTED.items():
        if (value := call.number(*names)) is not None:
            found[name] = kind(value)
    choices = call.number("n")
    if choices not in (None, 1):
        found["gen_ai.request.choice.count"] = int(choices)
    if row["streamed"]:
        found["gen_ai.request.stream"] = True
    wanted = call.body.get("response_format")
    if isinstance(wanted, Mapping) and str(wanted.get("type", "")).startswith("json"):
        found["gen_ai.output.type"] = "json"
    if row["session_id"]:
        found["gen_ai.conversation.id"] = row["session_id"]
    if row["prompt_version"]:
        found["gen_ai.prompt.name"] = row["feature"]
    if address.hostname:
        found["server.address"] = address.hostname
        found["server.port"] = address.port or (443 if address.scheme == "https" else 80)
    return found


def _of_reply(call: Finished) -> dict[str, Attribute]:
    row = call.row
    found: dict[str, Attribute] = {}
    if call.response_model:
        found["gen_ai.response.model"] = call.response_model
    if call.used:
        found |= {
            "gen_ai.usage.input_tokens": call.input_tokens,
            "gen_ai.usage.output_tokens": call.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": row["cache_read_tokens"],
            # Renamed in the newest text; readers of both exist.
            "gen_ai.usage.cache_creation.input_tokens": row["cache_write_tokens"],
            "gen_ai.usage.cache_write.input_tokens": row["cache_write_tokens"],
            "gen_ai.usage.reasoning.output_tokens": row["reasoning_tokens"],
        }
    if call.response_id:
        found["gen_ai.response.id"] = call.response_id
    if row["finish_reason"]:
        found["gen_ai.response.finish_reasons"] = (row["finish_reason"],)
    if row["streamed"] and row["first_token_ms"] is not None:
        found["gen_ai.response.time_to_first_chunk"] = row["first_token_ms"] / 1000
    if call.error:
        found["error.type"] = call.error
    return found


def _ours(call: Finished) -> dict[str, Attribute]:
    row = call.row
    found: dict[str, Attribute] = {
        "tollhouse.call_id": str(row["id"]),
        "tollhouse.feature": row["feature"],
        "tollhouse.outcome": row["outcome"],
        "tollhouse.prompt_version": row["prompt_version"],
        "tollhouse.variant": row["variant"],
        "tollhouse.tenant": row["tenant"],
        "tollhouse.cohort": row["cohort"],
        "tollhouse.key": row["key"],
        "tollhouse.route": row["route"],
        "tollhouse.fallback_from": row["fallback_from"],
        "tollhouse.policy": row["policy"],
    }
    found = {name: value for name, value in found.items() if value != ""}
    found |= {
        "tollhouse.attempts": row["attempts"],
        "tollhouse.cache_hit": row["cache_hit"],
        "tollhouse.usage_estimated": row["usage_estimated"],
        "tollhouse.gate_ms": row["gate_ms"],
    }
    for entity, count in row["entities"].items():
        found[f"tollhouse.entities.{entity}"] = count
    if call.cost is not None:
        # No convention has a name for it: Logfire reads the first, Grafana and OpenLIT the second.
        found |= {"tollhouse.cost_usd": call.cost, "operation.cost": call.cost, "gen_ai.usage.cost": call.cost}
    return found


def _children(call: Finished, parent: Context, began_ns: int) -> None:
    """Spans of the stages and attempts, from the milliseconds of the row's trace: each began where the one before ended."""
    at = began_ns
    for name, ms in call.row["trace"]["stages"].items():
        if name == "send":
            for attempt, from_ms, took_ms in _attempts(call.row, ms):
                _child(f"attempt {attempt['tollhouse.target']}", parent, at + _ns(from_ms), took_ms, attempt)
        elif name in TOLD_STAGES:
            _child(name, parent, at, ms)
        at += _ns(ms)
    _child("settle", parent, began_ns + _ns(call.row["latency_ms"]), call.settle_ms)


def _attempts(row: Row, send_ms: float) -> Iterator[tuple[dict[str, Attribute], float, float]]:
    """Attributes, begin after that of the stage and duration of each attempt; the row knows the times of failed ones."""
    at = 0.0
    failed = row["trace"].get("attempts", ())
    for attempt in failed:
        said: dict[str, Attribute] = {"tollhouse.target": attempt["target"], "error.type": attempt["outcome"]}
        if attempt["status"]:
            said["http.response.status_code"] = attempt["status"]
        yield said, at, attempt["ms"]
        at = min(at + attempt["ms"], send_ms)
    if row["attempts"] > len(failed):
        yield {"tollhouse.target": f"{row['provider']}/{row['model_served']}"}, at, send_ms - at


def _child(name: str, parent: Context, at_ns: int, ms: float, said: Mapping[str, Any] | None = None) -> None:
    span = tracer.start_span(name, context=parent, kind=SpanKind.INTERNAL, start_time=at_ns, attributes=said)
    if said and "error.type" in said:
        span.set_status(Status(StatusCode.ERROR, str(said["error.type"])))
    span.end(end_time=at_ns + _ns(ms))


def _ns(ms: float) -> int:
    return int(ms * 1_000_000)


def headers(span: Span) -> dict[str, str]:
    """The W3C headers that make what a provider does a part of this span."""
    context = span.get_span_context()
    if not context.is_valid:
        return {}
    found = {"traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"}
    return found | ({"tracestate": context.trace_state.to_header()} if context.trace_state else {})
