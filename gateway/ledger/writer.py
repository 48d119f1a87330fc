"""The one writer of a process: takes everything that waits and runs it as one transaction (group commit)."""

import asyncio
import contextlib
import logging
import os
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg
from uuid_utils.compat import uuid7

from budgets.rules import Rules
from gateway.clock import Clock, clock, counter
from gateway.conf import TollhouseSettings
from gateway.errors import LedgerUnavailable
from gateway.ledger import alerts, partitions
from gateway.ledger.link import Link, is_stale, json_rows
from gateway.ledger.memory import Memory
from gateway.ledger.operations import Grant, Hold, Operation, Refusal, Settle, lost_row
from gateway.ledger.pulse import Pulse
from gateway.ledger.transaction import SQL, STATEMENTS, Transaction

logger = logging.getLogger("tollhouse.ledger")

#: Most operations in one transaction; beyond it, latency grows and throughput does not.
MAX_BATCH = 512
#: Rows of refused calls that may wait for the database, before further ones are counted only.
MAX_REFUSED_WAITING = 10_000
#: Those of them that may have their texts with them, which can be megabytes each.
MAX_REFUSED_TEXTS = 100
#: A transaction that a stopped process left open is ended by the server after this time, and its locks with it.
IDLE_IN_TRANSACTION_MS = 10_000
#: Every statement of a transaction finds its rows by key, so one plan serves for ever: it is made once, and by the indexes
#: however small the tables were at that time, and locks them in the order of the key. To plan took a third of the server's
#: time for a call.
SESSION = (
    f"SET idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION_MS}; SET timezone = 'UTC'; "
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; "
    "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_bitmapscan = off; "
    # Whether a call has its row is asked before it is settled, and one from a spool may have expired.
    "SET tollhouse.sees_expired = 'on'"
)


class Writer:
    """Holds and settles for the calls of one event loop. `hold` and `settle` may be awaited by any number of tasks.

    `connect` are psycopg's connection parameters. The database may be away at any time: holds then fail with
    LedgerUnavailable after `LEDGER_TIMEOUT_S`; settlements stay in the queue until they are written.
    """

    #: Whether calls can pass while the database is away.
    spools = False

    def __init__(self, connect: dict[str, Any], settings: TollhouseSettings, clock: Clock = clock) -> None:
        self._connect_to = connect
        self._settings = settings
        self._queue: deque[Operation] = deque()
        self._wake = asyncio.Event()
        self._link: Link | None = None
        self._memory = Memory(owner=uuid7(), rules=Rules(revision=None, budgets=(), switches=()))
        self._stopping = False
        self._unrecorded = 0
        self._refused_waiting = 0
        self._task = asyncio.create_task(self._run(), name="tollhouse-ledger")
        self._beat = asyncio.create_task(self._keep_beating(), name="tollhouse-ledger-beat")
        self._due = True
        #: Why the database did not answer when it was last asked; empty when it did. Asked with every heartbeat.
        self.problem = ""
        self._away_since = 0.0
        self._pulse = Pulse(clock, settings)

    @property
    def owner(self) -> UUID:
        """The id under which this writer's holds stand in the database."""
        return self._memory.owner

    @property
    def rules(self) -> Rules:
        """Budgets and switches as the last transaction saw them."""
        return self._memory.rules

    @property
    def away_s(self) -> float:
        """For how long the database has not answered; 0 when it does."""
        return counter() - self._away_since if self.problem else 0.0

    def state(self) -> dict[str, object]:
        """What `/readyz` tells of clock and worker, as of the last heartbeat; what waits for the database, and how long."""
        return {**self._pulse.state(), "queue": len(self._queue), "away_s": round(self.away_s, 3)}

    async def hold(self, op: Hold) -> Grant | Refusal:
        """The grant, or why there is none. Raises LedgerUnavailable when the database does not answer in time."""
        self._submit(op)
        timer = asyncio.get_running_loop().call_later(self._settings.LEDGER_TIMEOUT_S, self._give_up, op)
        try:
            return await op.answer
        finally:
            timer.cancel()
            op.abandoned = op.abandoned or op.answer.cancelled()

    def _give_up(self, op: Hold) -> None:
        """Tells the waiter of a hold that the database did not answer in time."""
        if op.answer.done():
            return
        op.abandoned = True
        what = "has no room left on its disk" if self.problem.startswith("DiskFull") else "does not answer"
        op.answer.set_exception(
            LedgerUnavailable(
                f"The ledger's database {what}, so the call was refused: without a hold there is no governance. "
                "See /readyz; calls pass again as soon as the database does.",
                call_id=op.call_id,
            )
        )

    def settle(self, op: Settle) -> asyncio.Future[None]:
        """Queues the settlement at once and answers when it is committed; cancelling the wait does not cancel it."""
        if op.never_admitted:
            if self._refused_waiting >= MAX_REFUSED_WAITING:
                self._unrecorded += 1
                op.answer.set_result(None)
                return op.answer
            self._refused_waiting += 1
            if self.problem or self._refused_waiting > MAX_REFUSED_TEXTS:
                op.payload = None
        self._submit(op)
        return op.answer

    async def stop(self) -> None:
        """Writes what is still queued, as far as the database is there, and signs the owner off."""
        self._stopping = True
        self._beat.cancel()
        self._wake.set()
        await self._task

    def _submit(self, op: Operation) -> None:
        self._queue.append(op)
        self._wake.set()

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(self._settings.OWNER_HEARTBEAT_S)
            self._due = True
            self._wake.set()

    async def _run(self) -> None:
        while not (self._stopping and not self._queue):
            await self._wake.wait()
            self._wake.clear()
            while self._queue or self._due:
                if self._due:
                    self._due = False
                    await self._housekeep()
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]
                if batch and not await self._commit(batch):
                    return
        await self._sign_off()

    async def _commit(self, batch: Sequence[Operation]) -> bool:
        """Commits the batch, whatever it takes; False when the writer is stopping and the database is away."""
        repeat = False
        delay = 0.05
        while True:
            try:
                await self._attempt(await self._connected(), batch, repeat=repeat)
                self.problem = ""
                return True
            except (psycopg.Error, TimeoutError, OSError) as error:
                # The connection broke or hangs, or has no tables yet: nobody knows whether the batch was committed.
                repeat = True
                await self._disconnect(error)
                # Halves of a spoiled batch that were committed have told their waiters, who rely on it.
                batch = [op for op in batch if not op.answered and not _given_up(op)]
                # Those that wait behind it, too: as long as the database is away, each call that is refused leaves one.
                self._queue = deque(op for op in self._queue if not _given_up(op))
                logger.warning("ledger: %s; %d operations wait and are tried again", one_line(error), len(batch))
                if self._stopping and delay > self._settings.LEDGER_TIMEOUT_S / 4:
                    logger.error("ledger: stopping without the database; %d operations were not written", len(batch))
                    return False
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)

    async def _attempt(self, link: Link, batch: Sequence[Operation], *, repeat: bool, divided: bool = False) -> None:
        """Runs the batch; where one operation spoils it, halves it until that one is alone and gets the error.

        With `divided` its calls were given their partitions before.
        """
        transaction = Transaction(link, self._memory, repeat=repeat)
        try:
            async with asyncio.timeout(2 * self._settings.LEDGER_TIMEOUT_S):
                await transaction.run(batch)
        except (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError):
            raise
        except psycopg.errors.InvalidSqlStatementName:
            # Somebody between us and the server (a pooler's DISCARD) dropped what was prepared; a new connection has it.
            raise
        except psycopg.errors.CheckViolation as error:
            await link.rollback()
            if error.diag.constraint_name or divided:
                await self._halve(link, batch, error)
            else:
                await partitions.make_for(link.connection, [op.call_id for op in batch])
                await self._attempt(link, batch, repeat=repeat, divided=True)
        except Exception as error:
            # Whatever spoils a batch, only its culprit may suffer.
            if is_stale(error):
                raise
            await link.rollback()
            await self._halve(link, batch, error)
        else:
            for op, answer in transaction.answers:
                self._answer(op, answer)

    async def _halve(self, link: Link, batch: Sequence[Operation], error: Exception) -> None:
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._attempt(link, batch[:middle], repeat=True)
            await self._attempt(link, batch[middle:], repeat=True)
            return
        logger.error("ledger: operation of call %s cannot be written: %s", batch[0].call_id, one_line(error))
        self._answer(
            batch[0],
            LedgerUnavailable(
                f"The ledger could not write this call: {type(error).__name__}.", call_id=batch[0].call_id
            ),
        )

    def _answer(self, op: Operation, answer: Grant | Refusal | LedgerUnavailable | None) -> None:
        if isinstance(op, Settle) and op.never_admitted:
            self._refused_waiting -= 1
        if op.answer.done():
            return
        if isinstance(answer, LedgerUnavailable):
            op.answer.set_exception(answer)
        else:
            op.answer.set_result(answer)  # type: ignore[arg-type]  # a hold gets a Grant or Refusal, a settlement None

    async def _connected(self) -> Link:
        if self._link is None or self._link.connection.closed:
            async with asyncio.timeout(self._settings.LEDGER_TIMEOUT_S):
                self._link = await Link.open(self._connect_to, STATEMENTS)
                # One that goes ahead commits by itself: without an end it would still be carried out when the lock that it
                # waits for is free, long after it was given up.
                given_up_ms = round(2000 * self._settings.LEDGER_TIMEOUT_S)
                await self._link.connection.execute(f"{SESSION}; SET statement_timeout = {given_up_ms}")
                await self._link.connection.execute(SQL["beat"], [self.owner, socket.gethostname(), os.getpid()])
        return self._link

    async def _disconnect(self, error: BaseException | None = None) -> None:
        if error is not None:
            self._away_since = self._away_since if self.problem else counter()
            self.problem = one_line(error)
        if self._link is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await self._link.connection.close()
            self._link = None

    async def _housekeep(self) -> None:
        """Says that this owner is alive, and turns holds of dead owners into `lost` rows."""
        try:
            connection = (await self._connected()).connection
            async with asyncio.timeout(self._settings.LEDGER_TIMEOUT_S):
                async with connection.pipeline():
                    await connection.execute(SQL["beat"], [self.owner, socket.gethostname(), os.getpid()])
                    await connection.execute(SQL["bury"])
                await self._pulse.take(connection)
                if self._pulse.may_sweep:
                    dead = await connection.execute(SQL["dead_holds"], [self._settings.OWNER_DEAD_AFTER_S] * 2)
                    async for call_id, draft in dead:
                        self._queue.append(Settle(call_id=call_id, row=lost_row(call_id, draft), swept=True))
                if self._unrecorded:
                    alert = alerts.unrecorded(self._unrecorded, self.owner)
                    await connection.execute(SQL["insert_alerts"], [json_rows([alert])])
                    self._unrecorded = 0
            self.problem = ""
        except (psycopg.Error, TimeoutError, OSError) as error:
            logger.warning("ledger: database away: %s", one_line(error))
            await self._disconnect(error)

    async def _sign_off(self) -> None:
        if self._link is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await self._link.connection.execute(SQL["retire"], [self.owner])
        await self._disconnect()


def _given_up(op: Operation) -> bool:
    return isinstance(op, Hold) and op.abandoned


def one_line(error: BaseException) -> str:
    """The first line of an error, without the row contents that PostgreSQL may add in its DETAIL."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
