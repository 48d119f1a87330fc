"""One transaction of the ledger: everything that is waiting, admitted, settled and written together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import psycopg

from budgets.rules import Place, Rules
from gateway.ledger import alerts
from gateway.ledger.buckets import BucketKey, Buckets, lack, rates
from gateway.ledger.link import Link, Rows, array, json_rows
from gateway.ledger.operations import (
    BLANK,
    Grant,
    Hold,
    Operation,
    Refusal,
    Row,
    Settle,
    beyond_blank,
    empties,
    lost_row,
    one_of_each,
)  # fmt: skip
from gateway.ledger.reading import load_rules
from gateway.ledger.windows import (
    Candidate,
    LockedWindow,
    TakenHold,
    WindowKey,
    carry,
    locked_window,
    new_windows,
    remember,
)
from gateway.models import Call
from gateway.sql import queries
from gateway.types import ZERO

SQL = queries("ledger.sql")
SQL["insert_calls"] = SQL["insert_calls"].format(
    columns=", ".join(str(f.column) for f in Call._meta.concrete_fields), blank=json_rows({**BLANK, **empties()})
)

#: What a transaction is made of; the writer's connection has it prepared.
STATEMENTS = {
    name: SQL[name]
    for name in (
        "begin", "state", "make_windows", "find_windows", "find_overlapped", "held_windows", "lock_windows", "take_holds",
        "find_calls", "update_windows", "begin_windows", "insert_holds", "insert_calls", "insert_payloads",
        "insert_adjustments", "insert_alerts", "make_buckets", "find_buckets", "held_buckets", "lock_buckets",
        "update_buckets", "commit", "rollback",
    )
}  # fmt: skip

#: Ids of buckets that a writer remembers; all are forgotten when there are more.
MOST_BUCKETS = 20_000


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
        self._overlapped: list[tuple[int, int]] = []
        self._asked: set[int] = set()
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
        moving += [s.call_id for s in settles if s.swept]
        granted = {id for s in settles if s.grant for id in s.grant.windows}
        self._buckets.expect(settles)
        candidates = None
        if not self.repeat and not any(s.swept for s in settles):
            candidates = await self._open_from_memory(holds, granted, taking, moving)
        if candidates is None:
            candidates = await self._open(holds, granted, taking, moving)
        rules = self.memory.rules
        carry(self._overlapped, self._locked)
        await self._settle(settles)
        if holds and (rows := self._inserts("insert_calls", "insert_payloads", "insert_adjustments")):
            # The server writes these while we decide on the holds. Without any it is woken once, at the end.
            self.link.send(*rows)
        for hold, listed in zip(holds, candidates, strict=True):
            self._admit(hold, listed, rules)
        for window in self._locked.values():
            if crossed := alerts.crossed(window):
                self._writes["insert_alerts"] += [alerts.threshold(window, percent) for percent in crossed]
                window.alerted, window.touched = crossed[-1], True
        await self._write_and_commit()
        remember(self.memory.windows, self._new_windows)
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
        if then is None:
            return None
        candidates = self._candidates(holds, then)
        places = {place.key: place for listed in candidates for c in listed for place in c.places}
        known = {key: self.memory.windows.get(key, 0) for key in places}
        if not all(known.values()) or not self._buckets.recall(rules.limits, holds):
            return None
        _, [(now, revision)], locked, *buckets, took = await self.link.burst(
            ("begin",), ("state",), *self._locking(ids | set(known.values()), taking, moving)
        )
        same_rules = revision is not None and revision == rules.revision and rules.same_at(then, now)
        same_windows = all(place.starts_at <= now < place.ends_at for place in places.values())
        there = self._lock(locked, buckets, took, now) and self._open_still(places.values(), known)
        if not (same_rules and same_windows and there):
            await self.link.burst(("rollback",))
            self._locked, self._taken = {}, {}
            self._buckets.forget()
            return None
        self.memory.now = now
        for candidate in (c for listed in candidates for c in listed):
            candidate.windows = [known[place.key] for place in candidate.places]
        return candidates

    async def _open(
        self, holds: list[Hold], ids: set[int], taking: list[UUID], moving: list[UUID]
    ) -> list[list[Candidate]]:
        """Reads the rules and which windows the batch may touch, makes missing ones, then locks them all."""
        now, rules, held, in_buckets = await self._begin(taking)
        candidates = self._candidates(holds, now)
        places = {place.key: place for listed in candidates for c in listed for place in c.places}
        known = await self._find_windows(places, rules)
        await self._buckets.find(rules.limits, holds, in_buckets)
        for candidate in (c for listed in candidates for c in listed):
            candidate.windows = [known[place.key] for place in candidate.places]
        ids = ids | held | set(known.values()) | {old for _, old in self._overlapped}
        locked, *buckets, took = await self.link.burst(*self._locking(ids, taking, moving))
        if not self._lock(locked, buckets, took, now):
            # The owner of a hold moved it between our two reads, or a bucket is gone; the batch starts over.
            self._buckets.forget()
            raise psycopg.errors.SerializationFailure("a hold moved to other windows")
        if not self._open_still(places.values(), known):
            self.memory.windows.clear()
            raise psycopg.errors.SerializationFailure("a window is gone, or its budget has another calendar")
        self.memory.now = now
        return candidates

    def _candidates(self, holds: list[Hold], at: datetime) -> list[list[Candidate]]:
        """The bids of each hold, with the windows that they count in at this moment."""
        rules = self.memory.rules
        return [[Candidate(bid, rules.places(h.at(bid), at)) for bid in h.bids] for h in holds]

    async def _begin(self, taking: list[UUID]) -> tuple[datetime, Rules, set[int], Rows]:
        """The database's clock, the rules as they are now, and the windows and buckets of the holds about to be taken."""
        _, [(now, revision)], held, in_buckets = await self.link.burst(
            ("begin",), ("state",), ("held_windows", array(taking)), ("held_buckets", array(taking))
        )
        if revision is None or revision != self.memory.rules.revision:
            self.memory.rules = await load_rules(self.link.connection, revision)
            self.memory.windows.clear()
        return now, self.memory.rules, {id for (id,) in held}, in_buckets

    async def _find_windows(self, places: dict[WindowKey, Place], rules: Rules) -> dict[WindowKey, int]:
        """The ids of the windows, after making those that nobody needed before."""
        unknown = [place for key, place in places.items() if key not in self.memory.windows]
        if unknown:
            rows = json_rows(new_windows(unknown, rules))
            moved = [("find_overlapped", rows)] if any(place.rule.calendar for place in unknown) else []
            made, found, *overlapped = await self.link.burst(("make_windows", rows), ("find_windows", rows), *moved)
            self._new_windows = {(budget, value, start): id for budget, value, start, id in found}
            fresh = {id for (id,) in made}
            self._overlapped = [(new, old) for pairs in overlapped for new, old in pairs if new in fresh]
        known = self.memory.windows | self._new_windows if unknown else self.memory.windows
        if not known.keys() >= places.keys():
            raise psycopg.errors.SerializationFailure("a budget has another calendar")
        return {key: known[key] for key in places}

    def _locking(
        self, ids: set[int], taking: list[UUID], moving: list[UUID]
    ) -> tuple[tuple[str, *tuple[str, ...]], ...]:
        """Locks every window that this batch may touch, by id, then every bucket, then takes the holds that it settles or
        moves.
        """
        self._asked = ids
        windows, holds = ("lock_windows", array(sorted(ids))), ("take_holds", array(taking), array(moving))
        return windows, *self._buckets.locking(), holds

    def _open_still(self, places: Iterable[Place], known: dict[WindowKey, int]) -> bool:
        """Whether all these windows were locked, and none was ended early, as it is when a budget's calendar changes."""
        locked = self._locked
        return all((id := known[place.key]) in locked and locked[id].ends_at == place.ends_at for place in places)

    def _lock(self, locked: Rows, buckets: list[Rows], took: Rows, now: datetime) -> bool:
        """Notes what was locked and taken. False when a hold counts in a window or bucket that nobody locked."""
        self._buckets.lock(self.memory.rules.limits, buckets)
        for row in locked:
            self._locked[row[0]] = locked_window(row, self.memory.rules, now)
        for call_id, *values in took:
            hold = TakenHold(*values)
            if not self._asked.issuperset(hold.windows):
                return False
            self._taken[call_id] = hold.within(self._locked)
        return self._buckets.cover(self._taken.values())

    async def _settle(self, settles: list[Settle]) -> None:
        self.answers += [(op, None) for op in settles]
        ops = one_of_each(settles)
        calls = {}
        if known := [op.call_id for op in ops if (op.swept if op.call_id in self._taken else op.grant)]:
            [found] = await self.link.burst(("find_calls", array(known)))
            calls = {row[0]: row[1:] for row in found}
        for op in ops:
            # It is nobody's any more: a move in the same batch finds its call settled.
            hold = self._taken.pop(op.call_id, None)
            if hold and op.call_id in calls:
                # The server committed it after its process had given it up and settled the call without it.
                self._free(hold)
                self._buckets.settle(hold, 0)
            elif hold:
                self._settle_hold(op, hold)
            elif op.call_id in calls:
                self._adjust(op, *calls[op.call_id])
            elif not op.swept:
                for window in self._granted(op):
                    window.change(spent=op.amount(window.metric))
                self._write_call(op)

    def _settle_hold(self, op: Settle, hold: TakenHold) -> None:
        self._free(hold)
        for id, held in zip(hold.windows, hold.amounts, strict=True):
            window = self._locked[id]
            window.change(spent=held if op.swept else op.amount(window.metric))
        if hold.buckets:
            self._buckets.settle(hold, None if op.swept else int(op.amount("tokens")))
        if op.swept and hold.draft is not None:
            # As it stands now: the hold may have moved since somebody saw that it was dead.
            op.row |= lost_row(op.call_id, hold.draft)
        if op.grant and not op.grant.is_for(hold.provider, hold.model):
            # The hold moved and its call never heard of it, as its caller left or the connection broke. The
            # amounts count in the windows of the new target, so the row names that one.
            op.row |= {"provider": hold.provider, "model_served": hold.model, "price_id": hold.price_id}
        self._write_call(op)

    def _granted(self, op: Settle) -> list[LockedWindow]:
        """The windows that the call was granted in, as far as they still exist."""
        return [self._locked[id] for id in (op.grant.windows if op.grant else ()) if id in self._locked]

    def _free(self, hold: TakenHold) -> None:
        """Nothing is held any more for a hold that was taken."""
        for id, amount in zip(hold.windows, hold.amounts, strict=True):
            self._locked[id].change(held=-amount)

    def _write_call(self, op: Settle) -> None:
        self._writes["insert_calls"].append(beyond_blank(op.row))
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
        for window in self._granted(op):
            window.change(spent=change[window.metric])
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
        earlier = self._taken.get(hold.call_id)
        if earlier:
            # Not before it is this one's turn: where the move is refused, the room has to be there for the earlier one.
            self._free(earlier)
        for candidate in candidates:
            answer = self._judge(hold, candidate, rules)
            if isinstance(answer, Grant):
                self.answers.append((hold, answer))
                return
            # Waiting helps against a rate limit, whatever stands against the other targets.
            refusal = answer if refusal is None or answer.by == "rate" else refusal
        assert refusal is not None
        if hold.moves and earlier and earlier.draft is not None:
            self._hold(
                hold, earlier.windows, earlier.amounts, earlier.draft, earlier.buckets or (), earlier.bucket_tokens or 0
            )
        elif earlier:
            self._buckets.undo(earlier)
        if refusal.window and refusal.budget:
            window = self._locked[refusal.window]
            alert = alerts.exhausted(window, rules.last_raise(refusal.budget, window.value))
            self._writes["insert_alerts"].append(alert)
        self.answers.append((hold, refusal))

    def _judge(self, hold: Hold, candidate: Candidate, rules: Rules) -> Grant | Refusal:
        if hold.moves and hold.call_id not in self._taken:
            return Refusal(by="lost", reason="The ledger has written this call off as lost, as its process was silent.")
        assert self.memory.now is not None
        if switch := rules.switch_for(hold.at(candidate.bid), self.memory.now):
            left = (switch.expires_at - self.memory.now).total_seconds() if switch.expires_at else None
            return Refusal(by="switch", reason=switch.sentence, retry_after_s=left)
        windows, amounts = [], []
        for id, place in zip(candidate.windows, candidate.places, strict=True):
            rule, window = place.rule, self._locked[id]
            amount = hold.amount(rule.metric, candidate.bid)
            if rule.id in hold.exempt:
                continue
            if rule.is_foreign and window.rate is None:
                return Refusal(by="price", reason=f"There is no rate for {rule.currency}, which {rule} is in; add one.")
            if amount is None:
                return Refusal(
                    by="price",
                    reason=f"{candidate.bid.provider}/{candidate.bid.model} has no price, so it cannot be held to {rule}.",
                )
            if amount and window.spent + window.held + amount > window.limit:
                reason = alerts.no_room(rule, window, amount)
                return Refusal(by="budget", reason=reason, budget=rule, window=id, resets_at=window.ends_at)
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
            columns = (
                array(w.id for w in changed), array(w.spent for w in changed), array(w.held for w in changed),
                array(w.alerted for w in changed),
            )  # fmt: skip
            statements.append(("update_windows", *columns))
        if begun := [{"id": w.id, "carried": w.carried, "rate": w.rate} for w in self._locked.values() if w.begun]:
            statements.append(("begin_windows", json_rows(begun)))
        statements += self._buckets.writing()
        statements += self._inserts(*self._writes)
        await self.link.burst(*statements, ("commit",))

    def _inserts(self, *names: str) -> list[tuple[str, str]]:
        """The statements that insert what has been gathered for them since they were last asked for."""
        gathered = {name: self._writes[name] for name in names if self._writes[name]}
        self._writes |= {name: [] for name in gathered}
        return [(name, json_rows(rows)) for name, rows in gathered.items()]
