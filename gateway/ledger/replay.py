"""Calls that were spooled enter the ledger: each once, however often it is tried, in the windows of when it was made."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import batched, groupby
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from django.db import OperationalError
from uuid_utils.compat import uuid7

from budgets.rules import Rules
from gateway.conf import settings
from gateway.ledger import alerts, partitions
from gateway.ledger.database import connection_parameters
from gateway.ledger.decision import Counted
from gateway.ledger.link import Link, Rows, json_rows
from gateway.ledger.memory import Memory
from gateway.ledger.operations import Grant, Hold, Row, Settle
from gateway.ledger.spool_file import SUFFIX, SpoolFile, UnknownVersion, frame, put_beside
from gateway.ledger.spooled import Spooled, latest
from gateway.ledger.transaction import SQL, STATEMENTS, Transaction
from gateway.ledger.windows import Candidate
from gateway.ledger.writer import SESSION, one_line
from gateway.secrets import CannotDecrypt

logger = logging.getLogger("tollhouse.spool")

#: Most calls in one transaction.
MAX_BATCH = 200
#: How long a transaction may take before the database counts as away again; seconds.
TIMEOUT_S = 30.0


class Replay(Transaction):
    """Settles calls without a hold in the windows that they would have been held in, whether they fit or not.

    The windows are locked before anybody looks whether a call's row is there, so of two that replay the same call
    the second finds it done. `at` is when the calls were made; a window later than the database's now is none of theirs.
    """

    def __init__(self, link: Link, memory: Memory, calls: Sequence[Spooled], at: datetime) -> None:
        super().__init__(link, memory, repeat=True)
        self.calls = calls
        self.at = at

    async def apply(self) -> None:
        """Raises psycopg.Error when it did not commit, or nobody knows; it may be done again then."""
        self._settles = [call.settlement() for call in self.calls]
        await self.run(self._settles)

    async def _begin(self, taking: list[UUID]) -> tuple[datetime, Rules, set[int], Rows]:
        now, rules, held, buckets = await super()._begin(taking)
        return min(now, self.at), rules, held, buckets

    async def _open(
        self, holds: list[Hold], ids: set[int], taking: list[UUID], moving: list[UUID]
    ) -> list[list[Candidate]]:
        unheld = [call for call in self.calls if call.windows is None]
        asked = [
            Hold(call_id=call.call_id, scope=call.scope, bids=(call.bid,), draft=call.row, lifetime_s=0)
            for call in unheld
        ]
        listed = await super()._open(asked, ids, taking, moving)
        found = {call.call_id: candidate.windows for call, [candidate] in zip(unheld, listed, strict=True)}
        for settle in self._settles:
            assert settle.grant is not None
            windows = found.get(settle.call_id, settle.grant.windows)
            # One that somebody deleted by hand meanwhile is gone.
            settle.grant = Grant(bid=settle.grant.bid, windows=tuple(id for id in windows if id in self._locked))
        return []

    def _settle(self, settles: Sequence[Settle], calls: Mapping[UUID, Counted]) -> None:
        before = {window.id: window.spent for window in self._locked.values()}
        super()._settle(settles, calls)
        self._writes["insert_alerts"] += [
            alerts.overspent(window)
            for window in self._locked.values()
            if window.rule and before[window.id] <= window.limit < window.spent
        ]

    def _adjust(self, op: Settle, outcome: str, *found: Any) -> None:
        # That a call began says nothing about one that has its row.
        if op.row["outcome"] != "lost":
            super()._adjust(op, outcome, *found)


@dataclass(slots=True)
class Replayed:
    """What became of the calls of some files. `rejected` are those that the database takes for wrong, whenever it is asked."""

    calls: int = 0
    lost: int = 0
    damaged: int = 0
    left: list[str] = field(default_factory=list)
    rejected: list[Spooled] = field(default_factory=list)


class Replayer:
    """A connection over which spooled calls enter the ledger. For one event loop; `close` it."""

    def __init__(self, connect: dict[str, Any]) -> None:
        self._connect_to = connect
        self._link: Link | None = None
        self._memory = Memory(owner=uuid7(), rules=Rules(revision=None, budgets=(), switches=()))

    async def rules(self) -> Rules:
        """Budgets and switches as they are now. Raises psycopg.Error, OSError or TimeoutError."""
        link = await self._connected()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                _ = await Transaction(link, self._memory, repeat=True)._begin([])
                await link.burst(("rollback",))
        except BaseException:
            await self.close()
            raise
        return self._memory.rules

    async def replay(self, calls: Iterable[Spooled]) -> list[Spooled]:
        """Brings the calls into the ledger; returns those that the database refuses. Raises as `rules` does."""
        rejected: list[Spooled] = []
        ordered = sorted(calls, key=lambda call: call.call_id)
        # A window begins and ends with a minute, so those of one minute share theirs.
        for _, of_minute in groupby(ordered, key=lambda call: call.made_at.replace(second=0, microsecond=0)):
            for batch in batched(of_minute, MAX_BATCH):
                rejected += await self._apply(batch)
        return rejected

    async def alert(self, kind: str, key: str, summary: str, **detail: object) -> None:
        """Writes an alert, once for each key."""
        row: Row = {"kind": kind, "severity": "critical", "dedup_key": f"{kind}:{key}"[:255], "summary": summary[:500]}
        link = await self._connected()
        await link.connection.execute(SQL["insert_alerts"], [json_rows([{**row, "detail": detail}])])

    async def close(self) -> None:
        """Closes the connection; the next use opens another."""
        if self._link is not None:
            link, self._link = self._link, None
            await link.connection.close()

    async def _connected(self) -> Link:
        if self._link is None or self._link.connection.closed:
            async with asyncio.timeout(TIMEOUT_S):
                self._link = await Link.open(self._connect_to, STATEMENTS)
                await self._link.connection.execute(SESSION)
        return self._link

    async def _apply(self, batch: Sequence[Spooled]) -> list[Spooled]:
        """One transaction; where a call spoils it, halves, until that one is alone."""
        link = await self._connected()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await partitions.make_for(link.connection, [call.call_id for call in batch])
                await Replay(link, self._memory, batch, batch[0].made_at).apply()
        except (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError, OSError):
            await self.close()
            raise
        except Exception as error:  # noqa: BLE001
            # Whatever spoils a batch, only its culprit may suffer.
            await self.close()
            if len(batch) > 1:
                middle = len(batch) // 2
                return await self._apply(batch[:middle]) + await self._apply(batch[middle:])
            logger.error("spool: call %s cannot be written: %s", batch[0].call_id, one_line(error))
            return list(batch)
        return []


def files(directory: Path) -> list[Path]:
    """All spool files, of the living and the dead."""
    return sorted(directory.glob(f"*{SUFFIX}"))


async def replay_dead(directory: Path, replayer: Replayer, *, but: Path | None = None) -> Replayed:
    """Replays and removes the files of processes that ended. Raises as `Replayer.rules` does; what is done stays done."""
    total = Replayed()
    for path in files(directory):
        file = None if path == but else SpoolFile.take(path)
        if file is None:
            continue
        try:
            found = await _replay_file(file, replayer)
        except (UnknownVersion, CannotDecrypt) as error:
            logger.error("spool: %s stays where it is: %s", path, error)
            await replayer.alert("spool_unreadable", path.name, f"The spool file {path.name} cannot be read: {error}.")
            total.left.append(path.name)
            file.close()
        except BaseException:
            file.close()
            raise
        else:
            file.remove()
            total.calls += found.calls
            total.lost += found.lost
            total.damaged += found.damaged
            total.rejected += found.rejected
    return total


def replay_spools() -> Replayed:
    """Replays the files of processes that ended, in SPOOL_DIR. Nothing where that is unset.

    Raises django.db.OperationalError when the database is away, or a file cannot be used; what is done stays done.
    """
    directory = settings().SPOOL_DIR
    try:
        return asyncio.run(_replay_all(Path(directory))) if directory else Replayed()
    except (psycopg.Error, OSError) as error:
        raise OperationalError(one_line(error)) from error


async def _replay_all(directory: Path) -> Replayed:
    replayer = Replayer(connection_parameters())
    try:
        return await replay_dead(directory, replayer)
    finally:
        await replayer.close()


async def _replay_file(file: SpoolFile, replayer: Replayer) -> Replayed:
    contents = file.contents()
    calls = latest(contents.records)
    rejected = await replayer.replay(calls.values())
    lost = sum(not call.settled for call in calls.values())
    if calls:
        logger.warning("spool: %d calls of %s are in the ledger now, %d of them lost", len(calls), file.path.name, lost)
        await tell(replayer, file.path.stem, calls.values())
    if contents.damaged:
        copy = put_beside(file.path, ".damaged", file.read())
        logger.error("spool: %d bytes of %s are no whole record; a copy is %s", contents.damaged, file.path.name, copy)
        summary = (
            f"{contents.damaged} bytes of {file.path.name} are no whole record: a write was cut off, or the disk fails."
        )
        await replayer.alert("spool_damaged", file.path.name, summary, copy=str(copy))
    await put_aside(file.path, replayer, rejected)
    return Replayed(len(calls), lost, contents.damaged, rejected=rejected)


async def tell(replayer: Replayer, owner: str, calls: Iterable[Spooled]) -> None:
    """The alert that calls passed without the ledger, once an hour for each process."""
    made = sorted(call.made_at for call in calls)
    summary = f"{len(made)} calls passed while the ledger's database was away; they are in the ledger now."
    await replayer.alert("spooled", f"{owner}:{made[0]:%Y-%m-%dT%H}", summary, first=made[0], last=made[-1])


async def put_aside(path: Path, replayer: Replayer, rejected: Sequence[Spooled]) -> None:
    """Keeps calls that the database refuses in a file of their own, where nothing tries them again by itself."""
    if rejected:
        copy = put_beside(path, ".rejected", b"".join(frame(call.record()) for call in rejected))
        summary = f"{len(rejected)} spooled calls cannot be written to the ledger; they are in {copy.name}."
        await replayer.alert(
            "spool_rejected", f"{copy.name}:{rejected[0].call_id}", summary, calls=[c.call_id for c in rejected]
        )
