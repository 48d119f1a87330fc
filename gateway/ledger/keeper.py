"""The thread that brings spooled calls into the ledger, of this process and of those that ended."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
from uuid_utils.compat import uuid7

from budgets.rules import Rules
from gateway.conf import TollhouseSettings
from gateway.ledger.replay import Replayer, put_aside, replay_dead, tell
from gateway.ledger.spool import Spool
from gateway.ledger.writer import one_line

logger = logging.getLogger("tollhouse.spool")


class Keeper:
    """Looks with every heartbeat what there is to replay, in a thread and event loop of its own, where it is in nobody's way.

    `rules` are the budgets and switches as it last saw them, None before the first time. `emptied` is called when the spool
    has nothing left.
    """

    def __init__(
        self, spool: Spool, connect: dict[str, Any], options: TollhouseSettings, *, emptied: Callable[[], object]
    ) -> None:
        self.rules: Rules | None = None
        self._spool = spool
        self._replayer = Replayer(connect)
        self._period_s = options.OWNER_HEARTBEAT_S
        self._emptied = emptied
        #: Calls whose records are still in the file, and that the ledger has.
        self._done: set[UUID] = set()
        self._stopping = threading.Event()
        self._wake: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="tollhouse-keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Looks once more, then ends the thread."""
        self._stopping.set()
        self._wake()
        self._thread.join()

    async def _run(self) -> None:
        loop, wake = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(wake.set)
        last = False
        while not last:
            last = self._stopping.is_set()
            try:
                await self._look()
            except (psycopg.Error, TimeoutError, OSError) as error:
                logger.warning("spool: database away: %s", one_line(error))
                await self._replayer.close()
            except Exception:
                # Whatever it was, what waits in the file must not wait for the next start.
                logger.exception("spool: a replay failed and is tried again")
                await self._replayer.close()
            if not (last or self._stopping.is_set()):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), self._period_s)
        await self._replayer.close()

    async def _look(self) -> None:
        self.rules = await self._replayer.rules()
        if refused := self._spool.refused:
            self._spool.refused = 0
            summary = f"The spool took no more: {refused} calls were refused, or their replies withheld, for it."
            await self._replayer.alert("spool_full", str(uuid7()), summary, problem=self._spool.trouble)
        await self._replay_own()
        await replay_dead(self._spool.path.parent, self._replayer, but=self._spool.path)

    async def _replay_own(self) -> None:
        calls, size = self._spool.waiting()
        new = [call for id, call in calls.items() if call.settled and id not in self._done]
        if new:
            rejected = await self._replayer.replay(new)
            await tell(self._replayer, self._spool.path.stem, new)
            await put_aside(self._spool.path, self._replayer, rejected)
            self._done |= {call.call_id for call in new}
            for call in new:
                self._spool.unsaved.pop(call.call_id, None)
        if size and self._done >= calls.keys() and self._spool.forget(size):
            self._done.clear()
            self._emptied()
