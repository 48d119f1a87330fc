"""The ledger of a process whose features may spool: while the database is away, their calls go to a local file.

A call that passes so is written down before it is sent, as the `lost` row that it leaves if the process dies, and again when
it has ended, before its reply is handed over. `gateway.ledger.keeper` brings the file into the ledger.
"""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from budgets.rules import Rules, Scope, SwitchRule
from gateway.clock import clock
from gateway.conf import TollhouseSettings
from gateway.errors import LedgerUnavailable
from gateway.ledger.keeper import Keeper
from gateway.ledger.operations import Bid, Grant, Hold, Refusal, Row, Settle, lost_row
from gateway.ledger.spool import Spool
from gateway.ledger.spool_file import SpoolFull
from gateway.ledger.spooled import Spooled
from gateway.ledger.writer import Writer
from gateway.offload import in_thread
from gateway.types import ZERO

AWAY = "The ledger's database is away, and this call may not pass without it: "


class SpoolingLedger:
    """A writer, and the spool of its process; for the writer's event loop. Implements `operations.Ledger`."""

    def __init__(self, writer: Writer, connect: dict[str, Any], options: TollhouseSettings) -> None:
        self._writer = writer
        self._options = options
        self._spool = Spool(Path(options.SPOOL_DIR), writer.owner, options.SPOOL_MAX_BYTES)
        #: Calls that passed without the ledger and have not ended, with what each may take of its feature's limit.
        self._passed: dict[UUID, tuple[Spooled, Decimal]] = {}
        self._spent: dict[str, Decimal] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        self._keeper = Keeper(
            self._spool, connect, options, emptied=lambda: loop.call_soon_threadsafe(self._count_anew)
        )

    @property
    def problem(self) -> str:
        return self._writer.problem

    @property
    def spools(self) -> bool:
        """Whether calls can pass while the database is away."""
        return not self._spool.trouble and bool(self._rules())

    def state(self) -> dict[str, object]:
        """As the writer's; of the spool the bytes that wait, the calls under way without a hold, and what is wrong."""
        # What is wrong names a directory, and anybody may ask; the log has it.
        spool = {"bytes": self._spool.size, "calls": len(self._passed), "full": bool(self._spool.trouble)}
        return {**self._writer.state(), "spool": spool}

    async def hold(self, op: Hold) -> Grant | Refusal:
        """As the writer's; where the database does not answer, a call that may be spooled passes without a hold."""
        if op.call_id in self._passed:
            return await self._pass(op)
        may_spool = op.spool_limit_usd is not None and not op.moves
        if may_spool and self._writer.away_s > self._options.LEDGER_TIMEOUT_S:
            return await self._pass(op)
        try:
            return await self._writer.hold(op)
        except LedgerUnavailable:
            # Not abandoned: the database did answer, and cannot take this call.
            if not (may_spool and op.abandoned):
                raise
            return await self._pass(op)

    def settle(self, op: Settle) -> "asyncio.Future[None]":
        """As the writer's; it answers as well when the settlement is in the spool."""
        if op.call_id in self._passed:
            settling = self._settle_passed(op)
        elif op.spools and op.grant is not None:
            settling = self._settle_held(op, self._writer.settle(op))
        else:
            return self._writer.settle(op)
        task = asyncio.create_task(settling)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self) -> None:
        """Stops the writer; what is still spooled then enters the ledger, or stays for whoever replays it."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._options.LEDGER_TIMEOUT_S)
        await self._writer.stop()
        await in_thread(self._keeper.stop)
        await self._spool.close()

    async def _pass(self, op: Hold) -> Grant | Refusal:
        """Lets the call pass at the first target that no switch stops and that fits the feature's limit."""
        before, earlier = self._passed.get(op.call_id, (None, ZERO))
        refusal: Refusal | None = None
        for bid in op.bids:
            answer = self._judge(op, bid, earlier)
            if isinstance(answer, Decimal):
                break
            refusal = refusal or answer
        else:
            assert refusal is not None
            return refusal
        row = {**lost_row(op.call_id, op.draft_for(bid)), "spooled": True}
        call = Spooled(call_id=op.call_id, scope=op.at(bid), bid=bid, row=row, settled=False)
        # Before it is written, as whoever calls may leave meanwhile.
        self._count(op.scope.feature, answer - earlier)
        self._passed[op.call_id] = call, answer
        try:
            await self._spool.keep(call)
        except SpoolFull as error:
            self._count(op.scope.feature, earlier - answer)
            del self._passed[op.call_id]
            if before is not None:
                self._passed[op.call_id] = before, earlier
            raise LedgerUnavailable(f"{AWAY}the spool {error}.", call_id=op.call_id) from None
        return Grant(bid=bid, windows=())

    def _judge(self, op: Hold, bid: Bid, earlier: Decimal) -> Decimal | Refusal:
        """What the call takes of its feature's limit at that target; or why it may not go there."""
        if switch := self._switch(op, bid):
            return Refusal(by="switch", reason=f"{switch} is switched off: {switch.reason}")
        if bid.usd is None:
            return Refusal(by="price", reason=f"{AWAY}{bid.provider}/{bid.model} has no price to limit it by.")
        amount, limit = bid.usd + op.spent_usd, op.spool_limit_usd or ZERO
        spent = self._spent.get(op.scope.feature, ZERO) - earlier
        if spent + amount > limit:
            reason = (
                f"{AWAY}it may cost {amount.normalize():f} USD, and {op.scope.feature} has "
                f"{max(limit - spent, ZERO).normalize():f} left of what it may spend in one outage (spool_limit_usd)."
            )
            return Refusal(by="ledger", reason=reason)
        return amount

    def _switch(self, op: Hold, bid: Bid) -> SwitchRule | None:
        """A switch that stops the call, as far as this process had heard of it."""
        known = self._rules()
        if not known:
            raise LedgerUnavailable(f"{AWAY}this process has not seen the kill switches yet.", call_id=op.call_id)
        now = clock.now()
        return next((switch for rules in known if (switch := rules.switch_for(op.at(bid), now))), None)

    def _rules(self) -> list[Rules]:
        """Budgets and switches as this process last saw them, in a transaction and beside."""
        seen = [] if self._keeper.rules is None else [self._keeper.rules]
        return [self._writer.rules, *seen] if self._writer.rules.revision is not None else seen

    def _count_anew(self) -> None:
        """With the last record an outage is over, and with it what it cost, but for calls that pass just now."""
        self._spent.clear()
        for call, amount in self._passed.values():
            self._count(call.scope.feature, amount)

    def _count(self, feature: str, usd: Decimal) -> None:
        self._spent[feature] = self._spent.get(feature, ZERO) + usd

    async def _settle_passed(self, op: Settle) -> None:
        call, reserved = self._passed[op.call_id]
        op.row["spooled"] = True
        # One whose caller left before it could be sent counts nowhere.
        windows = None if op.grant else ()
        bid = op.grant.bid if op.grant else call.bid
        self._count(call.scope.feature, op.usd - reserved)
        settled = Spooled(
            call_id=op.call_id, scope=call.scope._replace(provider=bid.provider, model=bid.model), bid=bid, row=op.row,
            settled=True, payload=op.payload, windows=windows,
        )  # fmt: skip
        try:
            await self._spool.keep(settled)
        except SpoolFull as error:
            # As long as this process lives, what the call did is known all the same.
            self._spool.unsaved[op.call_id] = settled
            raise LedgerUnavailable(
                f"The reply came, but the spool {error}; it is withheld.", call_id=op.call_id
            ) from None
        finally:
            del self._passed[op.call_id]

    async def _settle_held(self, op: Settle, answer: "asyncio.Future[None]") -> None:
        """Waits for the writer, which has the settlement in its queue either way; the file is for when this process dies."""
        patience_s = 0.0 if self._writer.away_s > self._options.LEDGER_TIMEOUT_S else self._options.LEDGER_TIMEOUT_S
        done, _ = await asyncio.wait({answer}, timeout=patience_s)
        if not done:
            assert op.grant is not None
            op.row["spooled"] = True
            call = Spooled(
                call_id=op.call_id, scope=_scope(op.row), bid=op.grant.bid, row=op.row, settled=True, payload=op.payload,
                windows=op.grant.windows,
            )  # fmt: skip
            try:
                await self._spool.keep(call)
            except SpoolFull:
                pass  # The reply waits for the database, then.
            else:
                answer.add_done_callback(lambda done: done.cancelled() or done.exception())
                return
        await answer


def _scope(row: Row) -> Scope:
    return Scope(
        feature=row["feature"], tenant=row["tenant"], key=row["key"], user=row["user_ref"], cohort=row["cohort"],
        model=row["model_served"], provider=row["provider"],
    )  # fmt: skip
