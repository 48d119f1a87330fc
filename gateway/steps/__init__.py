"""Steps: what an application does around its calls. Told in one line, seen in the waterfall of a trace."""

import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Token
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import Literal, Self
from uuid import UUID

from gateway import inside
from gateway.calling import acaller, caller
from gateway.clock import clock
from gateway.entry import trace_context
from gateway.errors import InvalidRequest
from gateway.inside import Inside
from gateway.steps import writer
from gateway.telemetry import steps as spans
from gateway.types import Caller

logger = logging.getLogger("tollhouse.steps")

Kind = Literal["retrieval", "tool", "step"]
KINDS = ("retrieval", "tool", "step")
#: What a row can hold of counts: so many, and none larger.
MOST_COUNTS, MOST_COUNT = 8, 2**31 - 1
COUNT = re.compile(r"[a-z][a-z0-9_]{0,39}")
#: How a step ends, and what an error's class looks like.
OUTCOMES = ("ok", "error", "cancelled")
ERROR_CLASS = re.compile(r"[A-Za-z_][\w.]{0,59}")
#: Of names, which may come from a model's tool calls: other signs are replaced.
UNNAMEABLE = re.compile(r"[^\w.:/-]+")
LONGEST_NAME = 100
NOBODY = Caller()


@dataclass(slots=True)
class _Begun:
    """A block that goes on: what its row will say, and what is to be put back at its end."""

    id: UUID
    at: float
    whose: Caller
    parent: UUID | None
    trace_id: str
    span_id: str
    span: spans.Begun | None
    token: Token[Inside | None]


class Step:
    """A block of `gateway.step`, for `with` and for `async with`. Nothing that goes wrong with the step itself reaches the block.

    `id`, the key of its row, is known from when the block is entered.
    """

    def __init__(self, kind: Kind, name: str, *, call: UUID | str | None, counts: Mapping[str, int]) -> None:
        if kind not in KINDS:
            raise InvalidRequest(f"`kind` must be one of {', '.join(KINDS)}, not {kind!r}.", param="kind")
        self.kind: Kind = kind
        self.name = UNNAMEABLE.sub("_", str(name))[:LONGEST_NAME] or "_"
        self._call = _id(call)
        self._counts: dict[str, int] = {}
        self._begun: _Begun | None = None
        self.count(**counts)

    @property
    def id(self) -> UUID | None:
        return self._begun.id if self._begun else None

    @property
    def counts(self) -> Mapping[str, int]:
        return self._counts

    def count(self, **counts: int) -> None:
        """Adds small numbers, e.g. `documents=5`, or sets those that are there anew. Raises InvalidRequest for what is none."""
        for name, number in counts.items():
            if not COUNT.fullmatch(name) or not isinstance(number, int):
                raise InvalidRequest(f"A step counts whole numbers by short names, not {name[:40]!r}={number!r:.40}.")
            self._counts[name] = max(-MOST_COUNT, min(MOST_COUNT, number))
        if len(self._counts) > MOST_COUNTS:
            raise InvalidRequest(f"A step has at most {MOST_COUNTS} counts.")

    def __enter__(self) -> Self:
        self._begin(_of(caller))
        return self

    async def __aenter__(self) -> Self:
        try:
            whose = await acaller()
        except Exception:  # noqa: BLE001  (the application's own functions say whose it is)
            whose = _nobody()
        self._begin(whose)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(error)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(error)

    def _begin(self, whose: Caller) -> None:
        outer, id = inside.current.get(), clock.new_id()
        span = spans.begin(self.kind, self.name, id, whose)
        trace_id, span_id = trace_context("")
        traceparent = ""
        if not trace_id:
            trace_id, span_id = outer.trace_id if outer else id.hex, id.hex[16:]
            traceparent = f"00-{trace_id}-{span_id}-01"
        token = inside.current.set(Inside(step=id, trace_id=trace_id, traceparent=traceparent))
        parent = self._call or (outer.step if outer else None)
        self._begun = _Begun(id, perf_counter(), whose, parent, trace_id, span_id, span, token)

    def _end(self, error: BaseException | None) -> None:
        begun = self._begun
        assert begun is not None, "a block that was entered"
        latency_ms = (perf_counter() - begun.at) * 1000
        # A generator may be closed elsewhere: its context is gone then, and the step with it.
        with suppress(ValueError):
            inside.current.reset(begun.token)
        outcome = "ok" if error is None else "error" if isinstance(error, Exception) else "cancelled"
        error_class = type(error).__name__[:60] if error is not None else ""
        if begun.span:
            spans.end(begun.span, error_class, self._counts)
        whose = begun.whose
        writer.note({
            "id": begun.id, "parent": begun.parent, "kind": self.kind, "name": self.name, "latency_ms": round(latency_ms, 3),
            "outcome": outcome, "error_class": error_class, "counts": dict(self._counts), "tenant": whose.tenant,
            "user_ref": whose.user_ref, "session_id": whose.session_id, "trace_id": begun.trace_id, "span_id": begun.span_id,
        })  # fmt: skip


def step(kind: Kind, name: str, /, *, call: UUID | str | None = None, **counts: int) -> Step:
    """A block in which the application does something around its calls: `retrieval`, a `tool`, or another `step`.

    Calls and steps inside of it are its children. It belongs to the step around it, or to the `call` (a reply's `call_id`)
    whose tool calls it answers; for whom it is says `gateway.context`. `counts` are a few whole numbers, such as
    `documents=5`; what is known later, `.count()` of the block takes. `name` says what is done, never with what: it is kept,
    and nothing of the content is.

    The row is written in the background within a second or so. When the database is away for so long that too many wait, it is
    dropped, which is logged and counted; when the process is killed before it is written, it is gone. The application's work goes
    on in any case.
    Raises InvalidRequest for an unknown kind, or counts that are none.
    """
    return Step(kind, name, call=call, counts=counts)


def _id(call: UUID | str | None) -> UUID | None:
    try:
        return call if call is None or isinstance(call, UUID) else UUID(call)
    except ValueError:
        raise InvalidRequest("`call` must be the `call_id` of a reply.", param="call") from None


def _of(find: Callable[[], Caller]) -> Caller:
    try:
        return find()
    except Exception:  # noqa: BLE001  (the application's own functions say whose it is)
        return _nobody()


def _nobody() -> Caller:
    logger.warning("a step is written as nobody's, as it was not to be found out whose it is", exc_info=True)
    return NOBODY
