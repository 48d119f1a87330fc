"""Spans of steps, after the GenAI conventions where these have one: retrieval and the execution of a tool."""

import logging
from collections.abc import Mapping
from contextvars import Token
from dataclasses import dataclass
from uuid import UUID

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from gateway.models.calls import uuid7_time
from gateway.telemetry.spans import active, around, tracer
from gateway.types import Caller

logger = logging.getLogger("tollhouse.telemetry")

#: Kind of step → the operation, and the attribute that its name is in.
OPERATIONS = {"retrieval": ("retrieval", "gen_ai.data_source.id"), "tool": ("execute_tool", "gen_ai.tool.name")}


@dataclass(frozen=True, slots=True)
class Begun:
    """A span that is current until it is ended."""

    span: Span
    token: Token[Context]


def begin(kind: str, name: str, id: UUID, whose: Caller) -> Begun | None:
    """Begins the span of a step, below what is current, and makes it current; None where nobody has set up tracing."""
    if not active():
        return None
    named, said = _said(kind, name, id, whose.session_id)
    try:
        span = tracer.start_span(named, kind=SpanKind.INTERNAL, attributes=said)
        return Begun(span, context.attach(trace.set_span_in_context(span)))
    except Exception:
        # Whatever an application's own processors of spans do, its step goes on.
        logger.warning("telemetry of step %s failed", id, exc_info=True)
        return None


def end(begun: Begun, error: str, counts: Mapping[str, int]) -> None:
    """Ends the span. `error` is the class of what the block raised, empty where that was nothing."""
    context.detach(begun.token)
    try:
        _end(begun.span, error, counts)
    except Exception:
        logger.warning("telemetry of a step failed", exc_info=True)


def tell(
    kind: str, name: str, id: UUID, whose: Caller, latency_ms: float, error: str, counts: Mapping[str, int]
) -> None:
    """The span of a step that is over, of which `id` says when it began, in the trace that its teller's headers name; none where
    they name none, as nobody knows then whether the trace is kept.
    """
    parent = around(whose.traceparent, whose.tracestate) if active() else None
    if parent is None:
        return
    named, said = _said(kind, name, id, whose.session_id)
    began_ns = int(uuid7_time(id).timestamp() * 1e9)
    try:
        span = tracer.start_span(named, context=parent, kind=SpanKind.INTERNAL, start_time=began_ns, attributes=said)
        _end(span, error, counts, began_ns + int(latency_ms * 1e6))
    except Exception:
        logger.warning("telemetry of step %s failed", id, exc_info=True)


def _said(kind: str, name: str, id: UUID, session_id: str) -> tuple[str, dict[str, str]]:
    """The span's name and attributes."""
    said = {"tollhouse.step_id": str(id), "tollhouse.step": name}
    if kind in OPERATIONS:
        operation, named = OPERATIONS[kind]
        said |= {"gen_ai.operation.name": operation, named: name}
        name = f"{operation} {name}"
    if session_id:
        said["gen_ai.conversation.id"] = session_id
    return name, said


def _end(span: Span, error: str, counts: Mapping[str, int], at_ns: int | None = None) -> None:
    span.set_attributes({f"tollhouse.step.{name}": number for name, number in counts.items()})
    if error:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR, error))
    span.end(at_ns)
