"""The row of a call while the call is under way."""

import re
from time import perf_counter
from typing import Any, Literal
from uuid import UUID

from opentelemetry import trace as otel
from opentelemetry.trace import Span

from budgets.rates import Rates
from gateway.errors import GatewayError, ProviderError
from gateway.ledger.operations import BLANK, Row, empties
from gateway.types import Ask

#: Trace id, span id and flags of a W3C `traceparent`: of all versions but ff, and neither id all zeros. After them a version
#: that is newer than 00 may have more.
TRACEPARENT = re.compile(
    r"(?!ff|00.{53}-)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)
#: The same of Sentry's `sentry-trace`, which has no version.
SENTRY_TRACE = re.compile(r"(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})(?:-[01]?)?")


class Entry:
    """Collects what the call's row will say, and how long each stage took. One for each call, for its whole passage."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.began = perf_counter()
        self.stages: dict[str, float] = {}
        self.attempts: list[dict[str, Any]] = []
        self.provider_s = 0.0
        #: What became of the call when its caller left and its feature drains: `drained`, or `crowded` where there was no room.
        self.left: Literal["", "drained", "crowded"] = ""
        #: How the call's rate limits stood when it was let in; None where it is under none.
        self.rates: Rates | None = None
        #: The call's span, where a provider was told of it before the call ended.
        self.span: Span | None = None
        caller = ask.caller
        trace_id, parent_span_id = trace_context(caller.traceparent, caller.sentry_trace)
        self.row: Row = {
            **BLANK,
            **empties(),
            "id": ask.call_id,
            "feature": ask.feature,
            "tenant": caller.tenant,
            "user_ref": caller.user_ref,
            "cohort": caller.cohort,
            "session_id": caller.session_id,
            "key": caller.key,
            "source": caller.source,
            "labels": dict(caller.labels or {}),
            "operation": ask.operation,
            "streamed": ask.stream,
            "model_asked": ask.model,
            "trace_id": trace_id,
            "span_id": parent_span_id,
            "parent": caller.parent,
        }

    @property
    def call_id(self) -> UUID:
        return self.ask.call_id

    def elapsed_ms(self) -> float:
        return (perf_counter() - self.began) * 1000

    def stage(self, name: str) -> "Stage":
        """A block whose time is added to the stage of that name."""
        return Stage(self.stages, name)

    def first_token(self) -> None:
        """Notes the moment of a stream's first piece; later ones change nothing."""
        if self.row["first_token_ms"] is None:
            self.row["first_token_ms"] = self.elapsed_ms()

    def attempt_failed(self, target: str, error: GatewayError, seconds: float) -> None:
        """Notes an attempt that did not answer; what the provider wrote stays out of the row."""
        status = error.status if isinstance(error, ProviderError) else None
        self.attempts.append(
            {"target": target, "outcome": error.outcome, "ms": round(seconds * 1000, 3), "status": status}
        )

    def close(self) -> Row:
        """The finished row: times added up, stages rounded to microseconds."""
        latency = self.elapsed_ms()
        self.row["latency_ms"] = round(latency, 3)
        self.row["gate_ms"] = round(max(0.0, latency - self.provider_s * 1000), 3)
        self.row["redaction_ms"] = round(self.stages.get("redact", 0.0), 3)
        self.row["trace"] = {"stages": {name: int(ms * 1000 + 0.5) / 1000 for name, ms in self.stages.items()}}
        if self.attempts:
            self.row["trace"]["attempts"] = self.attempts
        return self.row


class Stage:
    """A block around a stage. No generator, as every call passes through seven of them."""

    __slots__ = ("_name", "_stages", "_start")

    def __init__(self, stages: dict[str, float], name: str) -> None:
        self._stages = stages
        self._name = name

    def __enter__(self) -> None:
        self._start = perf_counter()

    def __exit__(self, *error: object) -> None:
        self._stages[self._name] = self._stages.get(self._name, 0.0) + (perf_counter() - self._start) * 1000


def trace_context(traceparent: str, sentry_trace: str = "") -> tuple[str, str]:
    """Trace and span id (lower-case hex) from a W3C `traceparent`, else from a `sentry-trace`, else from the current
    OpenTelemetry span, else empty.

    Source: W3C Trace Context, level 1, section 3.2.
    """
    if match := TRACEPARENT.fullmatch(traceparent) or SENTRY_TRACE.fullmatch(sentry_trace):
        return match[1], match[2]
    context = otel.get_current_span().get_span_context()
    if not context.is_valid:
        return "", ""
    return format(context.trace_id, "032x"), format(context.span_id, "016x")
