"""Spans of steps, after the GenAI conventions where these have one: retrieval and the execution of a tool."""

import logging
from collections.abc import Mapping
from contextvars import Token
from dataclasses import dataclass
from uuid import UUID

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from gateway.telemetry.spans import active, tracer
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
    said = {"tollhouse.step_id": str(id), "tollhouse.step": name}
    if kind in OPERATIONS:
        operation, named = OPERATIONS[kind]
        said |= {"gen_ai.operation.name": operation, named: name}
        name = f"{operation} {name}"
    if whose.session_id:
        said["gen_ai.conversation.id"] = whose.session_id
    try:
        span = tracer.start_span(name, kind=SpanKind.INTERNAL, attributes=said)
        return Begun(span, context.attach(trace.set_span_in_context(span)))
    except Exception:
        # Whatever an application's own processors of spans do, its step goes on.
        logger.warning("telemetry of step %s failed", id, exc_info=True)
        return None


def end(begun: Begun, error: str, counts: Mapping[str, int]) -> None:
    """Ends the span. `error` is the class of what the block raised, empty where that was nothing."""
    context.detach(begun.token)
    try:
        begun.span.set_attributes({f"tollhouse.step.{name}": number for name, number in counts.items()})
        if error:
            begun.span.set_attribute("error.type", error)
            begun.span.set_status(Status(StatusCode.ERROR, error))
        begun.span.end()
    except Exception:
        logger.warning("telemetry of a step failed", exc_info=True)
