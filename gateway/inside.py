"""In which step the running code is, so that the calls that it makes, and further steps, are that one's children."""

from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """A step that goes on. `traceparent` is empty where a span of OpenTelemetry says the same."""

    step: UUID
    trace_id: str
    traceparent: str


#: The innermost step; None in none.
current: ContextVar[Inside | None] = ContextVar("tollhouse_step", default=None)
