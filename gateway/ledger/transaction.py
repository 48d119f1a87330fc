"""One transaction of the ledger: everything that is waiting, admitted, settled and written together."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import orjson
import psycopg

from budgets.rules import BudgetRule, Metric, Rules
from gateway.ledger import alerts
from gateway.ledger.buckets import BucketKey, Buckets, lack, rates
from gateway.ledger.link import Link, Rows, array
from gateway.ledger.operations import Bid, Grant, Hold, Operation, Refusal, Row, Settle
from gateway.ledger.reading import load_rules
from gateway.models import Call
from gateway.sql import queries
from gateway.types import ZERO

SQL = queries("ledger.sql")
SQL["insert_calls"] = SQL["insert_calls"].format(columns=", ".join(str(f.column) for f in Call._meta.concrete_fields))

#: What a transaction is made of; the writer's connection has it prepared.
STATEMENTS = {
    name: SQL[name]
    for name in (
        "begin", "state", "make_windows", "find_windows", "held_windows", "lock_windows", "take_holds", "find_calls",
        "update_windows", "insert_holds", "insert_calls", "insert_payloads", "insert_adjustments", "insert_alerts",
        "make_buckets", "find_buckets", "held_buckets", "lock_buckets", "update_buckets", "commit", "rollback",
    )
}  # fmt: skip

#: Ids of windows that a writer remembers; those of past periods are forgotten with all others when there are more.
MOST_WINDOWS = 20_000
#: The same of buckets.
MOST_BUCKETS = 20_000

WindowKey = tuple[int, datetime]


class TakenHold(NamedTuple):
    """A hold that this transaction has deleted: its windows' ids, the amount held in each, the target that it was for;
    its draft row if it moves; its buckets' ids and the tokens that it took of each, None under no rate limit.
    """

    windows: list[int]
    amounts: list[Decimal]
    provider: str
    model: str
    price_id: int | None
    draft: Row | None
    buckets: list[int] | None
    bucket_tokens: int | None


@dataclass(slots=True)
class LockedWindow:
    """A window that this transaction has locked; amounts in the metric of its budget."""

    id: int
    budget_id: int
    metric: Metric
    starts_at: datetime
    spent: Decimal
    held: Decimal
    spent_before: Decimal
    touched: bool = False

    def change(self, *, spent: Decimal = ZERO, held: Decimal = ZERO) -> None:
        self.spent += spent
        self.held += held
        self.touched = True


@dataclass(slots=True)
class Candidate:
    """A bid of a hold with the budgets that it counts in, and the id of each one's window."""

    bid: Bid
    budgets: list[BudgetRule]
    windows: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Memory:
    """What a writer knows from earlier transactions; only what was committed enters it.

    `now` is the last one's moment, by the database's clock; None before the first.
    """

    owner: UUID
    rules: Rules
    now: datetime | None = None
    windows: dict[WindowKey, int] = field(default_factory=dict)
    buckets: dict[BucketKey, int] = field(default_factory=dict)


#: An escaped NUL, behind any number of escaped backslashes.
NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def json_rows(rows: list[Row]) -> str:
    """Rows as a JSON array for PostgreSQL, which reads a decimal from a string exactly.

    It has no NUL in any text, so that one is written as U+FFFD.
    """
    written = orjson.dumps(rows, default=str)
    if b"\\u0000" in written:
        written = NUL.sub(rb"\1\\ufffd", written)
    return written.decode()


class Transaction:
    """Runs a batch on a connection in autocommit mode; after `run` returned, `answers` holds what to tell the waiters.

    Raises psycopg.Error when the batch did not commit, or when nobody knows because the connection broke. Running the
    same batch again with `repeat` is safe then: an operation whose traces are found is not done twice.
    """

    def __init__(self, link: Link, memory: Memory, *, repeat: bool) -> None:
        self.link = link
        self.memory = memory
        self.repeat = repeat
        self.answers: list[tuple[Operation, Grant | Refusal | None]] = []
        self._new_windows: dict[WindowKey, int] = {}
        self._locked: dict[int, LockedWindow] = {}
        self._taken: dict[UUID, TakenHold] = {}
        self._buckets = Buckets(link, memory.buckets)
        self._writes: dict[str, list[Row]] = {
            name: []
            for name in ("insert_holds", "insert_calls", "insert_payloads", "insert_adjustments", "insert_alerts")
        }

    async def run(self, batch: Sequence[Operation]) -> None:
        """One transaction for the whole batch: read the rules, lock the windows, decide, write, commit."""
        holds = [op for op in batch if isinstance(op, Hold) and not op.abandoned]
        settles = [op for op in batch if isinstance(op, Settle)]
        moving = [h.call_id for h in holds if h.moves or self.repeat]
        taking = [s.call_id for s in settles] + moving
        granted = {id for s in settles if s.grant for id in s.grant.windows}
        self._buckets.expect(settles)
        candidates = None
        if not self.repeat and not any(s.swept for s in settles):
            candidates = await self._open_from_memory(holds, granted, taking, moving)
        if candidates is None:
            candidates = await self._open(holds, granted, taking, moving)
        rules = self.memory.rules
        await self._settle(settles)
        for hold, listed in zip(holds, candidates, strict=True):
            self._admit(hold, listed, rules)
        for window in self._locked.values():
            if (rule := rules.by_id.get(window.budget_id)) and alerts.crossed(rule, window.spent_before, window.spent):
                self._writes["insert_alerts"].append(alerts.threshold(rule, window.starts_at, window.spent))
        await self._write_and_commit()
        if len(self.memory.windows) > MOST_WINDOWS:
            self.memory.windows.clear()
        self.memory.windows.update(self._new_windows)
        if len(self.memory.buckets) > MOST_BUCKETS:
            self.memory.buckets.clear()
        self.memory.buckets.update(self._buckets.new)

    async def _open_from_memory(
        self, holds: list[Hold], ids: set[int], taking: list[UUID], moving: list[UUID]
    ) -> list[list[Candidate]] | None:
        """Locks what the batch touches in one round trip, if rules and windows are still those of the last transaction.

        Returns each hold's candidates; None, with the transaction undone, when something changed or is not known.
        """
        rules, then = self.memory.rules, self.memory.now
        candidates = [[Candidate(bid, rules.budgets_for(h.at(bid))) for bid in h.bids] for h in holds]
        if then is None:
            return None
        bounds = {rule.id: rules.window(rule, then) for listed in candidates for c in listed for rule in c.budgets}
        known = {id: self.memory.windows.get((id, starts_at), 0) for id, (starts_at, _) in bounds.items()}
        if not all(known.values()) or not self._buckets.recall(rules.limits, holds):
            return None
        _, [(now, revision)], locked, *buckets, took = await self.link.burst(
            ("begin",), ("state",), *self._locking(ids | set(known.values()), taking, moving)
        )
        same_rules = revision is not None and revision == rules.revision
        same_windows = all(starts_at <= now < ends_at for starts_at, ends_at in bounds.values())
        there = self._lock(locked, buckets, took) and self._locked.keys() >= set(known.values())
        if not (same_rules and same_windows and there):
            await self.link.burst(("rollback",))
            self._locked, self._taken = {}, {}
            self._buckets.forget()
            return None
        self.memory.now = now
        for candidate in (c for listed in candidates for c in listed):
            candidate.windows = [known[rule.id] for rule in candidate.budgets]
        return candidates

    async def _open(
        self, holds: list[Hold], ids: set[int], taking: list[UUID], moving: list[UUID]
    ) -> list[list[Candidate]]:
        """Reads the rules and which windows the batch may touch, makes missing ones, then locks them all."""
        now, rules, held, in_buckets = await self._begin(taking)
        candidates = [[Candidate(bid, rules.budgets_for(h.at(bid))) for bid in h.bids] for h in holds]
        await self._find_windows([c for listed in candidates for c in listed], rules, now)
        await self._buckets.find(rules.limits, holds, in_buckets)
        ids = ids | held | {id for listed in candidates for c in listed for id in c.windows}
        locked, *buckets, took = await self.link.burst(*self._locking(ids, taking, moving))
        if not self._lock(locked, buckets, took):
            # The owner of a hold moved it between our two reads, or a bucket is gone; the batch starts over.
            self._buckets.forget()
            raise psycopg.errors.SerializationFailure("a hold moved to other windows")
        if not all(self._locked.keys() >= set(c.windows) for listed in candidates for c in listed):
            self.memory.windows.clear()
            raise psycopg.errors.SerializationFailure("a window is gone")
        self.memory.now = now
        return candidates

    async def _begin(self, taking: list[UUID]) -> tuple[datetime, Rules, set[int], Rows]:
        """The database's clock, the rules as they are now, and the windows and buckets of the holds about to be taken."""
        _, [(now, revision)], held, in_buckets = await self.link.burst(
            ("begin",), ("state",), ("held_windows", array(taking)), ("held_buckets", array(taking))
        )
        if revision is None or revision != self.memory.rules.revision:
            self.memory.rules = await load_rules(self.link.connection, revision)
            self.memory.windows.clear()
        return now, self.memory.rules, {id for (id,) in held}, in_buckets

    async def _find_windows(self, candidates: Iterable[Candidate], rules: Rules, now: datetime) -> None:
        """Gives each candidate the ids of its windows, after making those that nobody needed before."""
        keys = {rule.id: (rule.id, rules.window(rule, now)[0]) for c in candidates for rule in c.budgets}
        unknown = {k: rules.window(rules.by_id[k[0]], now)[1] for k in keys.values() if k not in self.memory.windows}
        if unknown:
            budgets, starts = array(k[0] for k in unknown), array(k[1] for k in unknown)
            _, found = await self.link.burst(
                ("make_windows", budgets, starts, array(unknown.values())), ("find_windows", budgets, starts)
            )
            self._new_windows = {(budget, start): id for budget, start, id in found}
        known = self.memory.windows | self._new_windows if unknown else self.memory.windows
        for candidate in candidates:
            candidate.windows = [known[keys[rule.id]] for rule in candidate.budgets]

    def _locking(
        self, ids: set[int], taking: list[UUID], moving: list[UUID]
    ) -> tuple[tuple[str, *tuple[str, ...]], ...]:
        """Locks every window that this batch may touch, by id, then every bucket, then takes the holds that it settles or
        moves.
        """
        windows, holds = ("lock_windows", array(sorted(ids))), ("take_holds", array(taking), array(moving))
        return windows, *self._buckets.locking(), holds

    def _lock(self, locked: Rows, buckets: list[Rows], took: Rows) -> bool:
        """Notes what was locked and taken. False when a hold counts in a window or bucket that is not locked."""
        self._buckets.lock(self.memory.rules.limits, buckets)
        for id, budget_id, metric, starts_at, spent, held in locked:
            self._locked[id] = LockedWindow(id, budget_id, metric, starts_at, spent, held, spent_before=spent)
        for call_id, *values in took:
            hold = self._taken[call_id] = TakenHold(*values)
            if not self._locked.keys() >= set(hold.windows):
                return False
            for id, amount in zip(hold.windows, hold.amounts, strict=True):
                self._locked[id].change(held=-amount)
        return self._buckets.cover(self._taken.values())

    async def _settle(self, settles: list[Settle]) -> None:
        late = [s for s in settles if s.call_id not in self._taken and s.grant]
        calls = {}
        if late:
            [found] = await self.link.burst(("find_calls", array(s.call_id for s in late)))
            calls = {row[0]: row[1:] for row in found}
        for op in settles:
            self.answers.append((op, None))
            if hold := self._taken.get(op.call_id):
                for id, held in zip(hold.windows, hold.amounts, strict=True):
                    window = self._locked[id]
                    window.change(spent=held if op.swept else op.amount(window.metric))
                self._buckets.settle(hold, None if op.swept else int(op.amount("tokens")))
                if op.grant and not op.grant.is_for(hold.provider, hold.model):
                    # The hold moved and its call never heard of it, as its caller left or the connection broke. The
                    # amounts count in the windows of the new target, so the row names that one.
                    op.row |= {"provider": hold.provider, "model_served": hold.model, "price_id": hold.price_id}
                self._write_call(op)
            elif op.call_id in calls:
                self._adjust(op, *calls[op.call_id])
            elif not op.swept:
                for id in op.grant.windows if op.grant else ():
                    self._locked[id].change(spent=op.amount(self._locked[id].metric))
                self._write_call(op)

    def _write_call(self, op: Settle) -> None:
        self._writes["insert_calls"].append(op.row)
        if op.payload is not None:
            self._writes["insert_payloads"].append({"id": op.call_id, "content": op.payload})
        self._writes["insert_alerts"] += alerts.of_call(op.row)

    def _adjust(
        self, op: Settle, outcome: str, provider: str, model: str, cost_usd: Decimal | None, tokens: int, adjusted: bool
    ) -> None:
        """An owner that was only slow settles a call that was written off as lost; anything else was settled before."""
        assert op.grant is not None
        # Where the hold had moved without its call's knowing, nobody knows the windows any more: the estimate stays.
        if outcome != "lost" or adjusted or not op.grant.is_for(provider, model):
            return
        change = {"usd": op.usd - (cost_usd or ZERO), "tokens": Decimal(op.tokens - tokens), "calls": ZERO}
        for id in op.grant.windows:
            self._locked[id].change(spent=change[self._locked[id].metric])
        self._writes["insert_adjustments"].append({
            "call_id": op.call_id,
            "cost_usd": change["usd"],
            "tokens": op.tokens - tokens,
            "outcome": op.row["outcome"],
            "reason": "Settled after it had been written off as lost.",
            "actor": "ledger",
        })  # fmt: skip

    def _admit(self, hold: Hold, candidates: list[Candidate], rules: Rules) -> None:
        """Grants the first bid that no switch stops and that fits all its budgets; else the first one's refusal."""
        refusal: Refusal | None = None
        for candidate in candidates:
            answer = self._judge(hold, candidate, rules)
            if isinstance(answer, Grant):
                self.answers.append((hold, answer))
                return
            # Waiting helps against a rate limit, whatever stands against the other targets.
            refusal = answer if refusal is None or answer.by == "rate" else refusal
        assert refusal is not None
        earlier = self._taken.get(hold.call_id)
        if hold.moves and earlier and earlier.draft is not None:
            self._hold(
                hold, earlier.windows, earlier.amounts, earlier.draft, earlier.buckets or (), earlier.bucket_tokens or 0
            )
        elif earlier:
            self._buckets.undo(earlier)
        if refusal.budget:
            window = next(
                w for c in candidates for w, r in zip(c.windows, c.budgets, strict=True) if r is refusal.budget
            )
            self._writes["insert_alerts"].append(alerts.exhausted(refusal.budget, self._locked[window].starts_at))
        self.answers.append((hold, refusal))

    def _judge(self, hold: Hold, candidate: Candidate, rules: Rules) -> Grant | Refusal:
        if hold.moves and hold.call_id not in self._taken:
            return Refusal(by="lost", reason="The ledger has written this call off as lost, as its process was silent.")
        if switch := rules.switch_for(hold.at(candidate.bid)):
            return Refusal(by="switch", reason=f"{switch} is switched off: {switch.reason}")
        windows, amounts = [], []
        for id, rule in zip(candidate.windows, candidate.budgets, strict=True):
            amount, window = hold.amount(rule.metric, candidate.bid), self._locked[id]
            if rule.id in hold.exempt:
                continue
            if amount is None:
                return Refusal(
                    by="price",
                    reason=f"{candidate.bid.provider}/{candidate.bid.model} has no price, so it cannot be held to {rule}.",
                )
            if amount and window.spent + window.held + amount > rule.limit:
                return Refusal(by="budget", reason=alerts.no_room(rule, amount, window.spent, window.held), budget=rule)
            windows.append(id)
            amounts.append(amount)
        if hold.beside and set(windows) != set(self._taken[hold.call_id].windows):
            return Refusal(
                by="budget", reason="A budget counts only one of the two targets, so they are not asked at once."
            )
        tokens, earlier = candidate.bid.tokens + hold.spent_tokens, self._taken.get(hold.call_id)
        limited = self._buckets.of(hold)
        if found := lack(limited, tokens, earlier):
            return Refusal.of_rate(*found, tokens=tokens, rates=rates(limited))
        buckets = self._buckets.take(limited, tokens, earlier)
        self._hold(hold, windows, amounts, hold.draft_for(candidate.bid), buckets, tokens)
        return Grant(bid=candidate.bid, windows=tuple(windows), buckets=buckets, rates=rates(limited))

    def _hold(
        self,
        hold: Hold,
        windows: list[int],
        amounts: list[Decimal],
        draft: Row,
        buckets: Sequence[int],
        bucket_tokens: int,
    ) -> None:
        for id, amount in zip(windows, amounts, strict=True):
            self._locked[id].change(held=amount)
        self._writes["insert_holds"].append({
            "call_id": hold.call_id,
            "owner": self.memory.owner,
            "lifetime_s": hold.lifetime_s,
            "windows": windows,
            "amounts": amounts,
            "draft": draft,
            **({"buckets": buckets, "bucket_tokens": bucket_tokens} if buckets else {}),
        })  # fmt: skip

    async def _write_and_commit(self) -> None:
        statements: list[tuple[str, *tuple[str, ...]]] = []
        if changed := [w for w in self._locked.values() if w.touched]:
            ids, spent, held = (
                array(w.id for w in changed),
                array(w.spent for w in changed),
                array(w.held for w in changed),
            )
            statements.append(("update_windows", ids, spent, held))
        statements += self._buckets.writing()
        statements += [(name, json_rows(rows)) for name, rows in self._writes.items() if rows]
        await self.link.burst(*statements, ("commit",))
