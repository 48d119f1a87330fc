"""The calls that a process has under way, and how a kill switch cuts them off."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable
from typing import Self

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from budgets.rules import Scope, SwitchRule
from gateway.attempt import Sent
from gateway.errors import CallCut
from gateway.ledger.reading import read_cuts
from gateway.types import Piece

logger = logging.getLogger("tollhouse.switches")


class RunningCall:
    """One call from before its hold until its reply is complete: a block around both, in which it is one of `calls`.

    A switch that comes before the call is sent waits in `_switches` until its targets are known: had the hold been asked for
    later, the ledger would have refused it. No generator, as every piece of every call passes through.
    """

    def __init__(self, scope: Scope, calls: "set[RunningCall]") -> None:
        self._scope = scope
        self._calls = calls
        self._switches: list[SwitchRule] = []
        self._sent: Sent | None = None
        self._answer: AsyncGenerator[Piece] | None = None
        self._waiting: asyncio.Task[object] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._complete = False
        self._cut_by: SwitchRule | None = None

    async def __aenter__(self) -> Self:
        self._calls.add(self)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._calls.discard(self)

    def cut(self, switch: SwitchRule) -> bool:
        """Cuts the call off if the switch is for it. True when this was what did it."""
        self._switches.append(switch)
        if self._cut_by or self._complete or not self._stopped():
            return False
        if self._waiting is not None:
            self._waiting.cancel()
        elif self._answer is not None:
            # The caller has a piece in hand and may take its time; the provider is not to write on meanwhile.
            self._closing = asyncio.create_task(self._answer.aclose())
        return True

    def _stopped(self) -> bool:
        """Whether a switch is for this call, wherever it is asking now."""
        if self._sent is None or not self._switches:
            return False
        targets = self._sent.asking or [self._sent.target]
        scopes = [self._scope._replace(model=t.model, provider=t.provider.name) for t in targets]
        self._cut_by = next((s for s in self._switches if any(map(s.stops, scopes))), None)
        return self._cut_by is not None

    def pieces(self, answer: AsyncGenerator[Piece], sent: Sent) -> Self:
        """The pieces of the answer, for `async for` inside of `aclosing`. Raises CallCut when a switch cuts the call off; the
        provider's request has ended then.
        """
        self._answer, self._sent = answer, sent
        self._stopped()
        return self

    def __aiter__(self) -> Self:
        return self

    async def aclose(self) -> None:
        """Ends the provider's request, if it has not."""
        if self._closing:
            # Whatever its end says, the call's own error counts.
            await asyncio.gather(self._closing, return_exceptions=True)
        if self._answer is not None:
            await self._answer.aclose()

    async def __anext__(self) -> Piece:
        if self._cut_by:
            raise self._error()
        # As `asyncio.timeout` does it: a cancellation of ours becomes an error, anybody else's passes.
        task = self._waiting = asyncio.current_task()
        assert task is not None and self._answer is not None
        before = task.cancelling()
        try:
            piece = await self._answer.__anext__()
            self._complete = piece.final
            return piece
        except asyncio.CancelledError:
            if self._cut_by and task.uncancel() <= before:
                raise self._error() from None
            raise
        finally:
            self._waiting = None

    def _error(self) -> CallCut:
        assert self._cut_by is not None
        return CallCut(f"This call was cut off, as {self._cut_by.sentence}")


class Running:
    """All calls that a process has under way."""

    def __init__(self) -> None:
        self._calls: set[RunningCall] = set()
        self._revision: int | None = None

    def call(self, scope: Scope) -> RunningCall:
        """A call, to be entered before its hold; `scope` is without model and provider."""
        return RunningCall(scope, self._calls)

    def cut(self, switches: Iterable[SwitchRule]) -> int:
        """Cuts off the calls that these switches are for; says how many."""
        return sum(call.cut(switch) for switch in switches for call in list(self._calls))

    async def look(self, connection: AsyncConnection[TupleRow], revision: int | None) -> None:
        """Reads which switches cut calls, where switches changed since the last look, and does so."""
        if revision != self._revision:
            if cut := self.cut(await read_cuts(connection)):
                logger.warning("switches: %d calls under way were cut off", cut)
            self._revision = revision
