"""One transaction of the ledger: everything that is waiting, admitted, settled and written together."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import psycopg

from budgets.rules import Place, Rules
from gateway.ledger.buckets import Buckets
from gateway.ledger.decision import Decision
from gateway.ledger.link import Link, Rows, array, json_rows
from gateway.ledger.memory import Memory
from gateway.ledger.operations import BLANK, Hold, Operation, Refusal, Settle, empties
from gateway.ledger.reading import load_rules
from gateway.ledger.windows import (
    Candidate,
    TakenHold,
    WindowKey,
    WindowRow,
    carry,
    locked_window,
    new_windows,
)
from gateway.models import Call
from gateway.sql import queries

SQL = queries("ledger.sql")
COLUMNS = {
    "columns": ", ".join(str(f.column) for f in Call._meta.concrete_fields), "blank": json_rows({**BLANK, **empties()})
}  # fmt: skip
SQL |= {name: SQL[name].format(**COLUMNS) for name in ("insert_calls", "ahead_settling")}
SETTLING = {"taking": SQL["ahead_taking"], "and_taken": SQL["ahead_taken"], "settling": SQL["ahead_settling"]}
SQL |= {
    "ahead_holds": SQL["ahead"].format(taking="", and_taken="", settling=""),
    "ahead": SQL["ahead"].format(**SETTLING),
}  # fmt: skip

#: What a transaction is made of; the writer's connection has it prepared.
STATEMENTS = {
    name: SQL[name]
    for name in (
        "ahead", "ahead_holds",
        "begin", "state", "make_windows", "find_windows", "find_overlapped", "held_windows", "lock_windows",
        "take_holds", "find_calls", "update_windows", "begin_windows", "insert_holds", "insert_calls", "insert_payloads",
        "insert_adjustments", "insert_alerts", "make_buckets", "find_buckets", "held_buckets", "lock_buckets",
        "update_buckets", "commit", "rollback",
    )
}  # fmt: skip

#: Later than anything changes.
EVER = datetime.max.replace(tzinfo=UTC)


class Transaction(Decision):
    """Runs a batch on a connection in autocommit mode; after `run` returned, `answers` holds what to tell the waiters.

    Raises psycopg.Error when the batch did not commit, or when nobody knows because the connection broke. Running the
    same batch again with `repeat` is safe then: an operation whose traces are found is not done twice.
    """

    def __init__(self, link: Link, memory: Memory, *, repeat: bool) -> None:
        super().__init__(memory, Buckets(link, memory.buckets))
        self.link = link
        self.repeat = repeat
        self._new_windows: dict[WindowKey, int] = {}
        self._overlapped: list[tuple[int, int]] = []
        self._asked: set[int] = set()
        self._found: list[WindowRow] = []

    async def run(self, batch: Sequence[Operation]) -> None:
        """One transaction for the whole batch: in one round trip where that can be, else in as many as it takes."""
        holds = [op for op in batch if isinstance(op, Hold) and not op.abandoned]
        settles = [op for op in batch if isinstance(op, Settle)]
        if not await self._go_ahead(holds, settles):
            self._forget()
            await self._go_carefully(holds, settles)
        self.memory.learn(self._new_windows, self._buckets.new)
        self.memory.leave(self._found, self._locked)

    async def _go_ahead(self, holds: list[Hold], settles: list[Settle]) -> bool:
        """Decides on what the last transactions have left, and writes it all in one statement if it still stands so.

        Only for what nearly all calls are: holds that are granted and settlements of such. Everything else, and what is to be
        told with the figures of this moment, is for `_go_carefully`; False, with nothing done.
        """
        memory, rules, then = self.memory, self.memory.rules, self.memory.now
        if self.repeat or then is None or rules.revision is None or _special(holds, settles, rules):
            return False
        grants = {op.call_id: op.grant for op in settles if op.grant}
        candidates = self._candidates(holds, then)
        places = {place.key: place for listed in candidates for c in listed for place in c.places}
        known = {key: memory.windows.get(key, 0) for key in places}
        ids = sorted({*known.values(), *(id for grant in grants.values() for id in grant.windows)})
        rows = memory.alone(ids)
        if rows is None:
            return False
        self._found = rows
        self._locked = {row.id: locked_window(row, rules, then) for row in rows}
        self._taken = {call_id: TakenHold.of(grant) for call_id, grant in grants.items()}
        taken = dict(self._taken)
        if any(w.begun for w in self._locked.values()) or not self._open_still(places.values(), known):
            return False
        self._place(candidates, known)
        self._settle(settles, {})
        self._admit_all(holds, candidates)
        if self._writes["insert_alerts"] or any(isinstance(answer, Refusal) for _, answer in self.answers):
            return False
        until = min((place.ends_at for place in places.values()), default=EVER)
        until = min(until, rules.next_change(then) or EVER)
        statement, parameters = self._ahead(taken, settles, then, until)
        [[(done, now)]] = await self.link.burst((statement, *parameters))
        if not done:
            memory.surprised(ids)
            return False
        memory.now = now
        return True

    def _ahead(
        self, taken: dict[UUID, TakenHold], settles: list[Settle], since: datetime, until: datetime
    ) -> tuple[str, list[str]]:
        """The statement that writes what was decided, with its parameters, if windows and holds (`taken`) are as they were left,
        and the time is within these moments."""
        found = self._found
        left = [self._locked[row.id] for row in found]
        parameters = [
            str(len(found)), str(self.memory.rules.revision), str(since), str(until),
            array(row.id for row in found), array(row.ends_at for row in found),
            array("NULL" if row.rate is None else row.rate for row in found),
            array(row.spent for row in found), array(row.held for row in found), array(row.carried for row in found),
            array(row.alerted for row in found), array(window.spent for window in left), array(window.held for window in left),
        ]  # fmt: skip
        holds = json_rows(self._writes["insert_holds"])
        if not settles:
            return "ahead_holds", [*parameters, holds]
        expected = [
            {
                "call_id": id,
                "windows": hold.windows,
                "amounts": hold.amounts,
                "provider": hold.provider,
                "model": hold.model,
            }
            for id, hold in taken.items()
        ]
        unknown = array(op.call_id for op in settles if not op.grant)
        rows = (json_rows(self._writes[name]) for name in ("insert_calls", "insert_payloads"))
        return "ahead", [*parameters, json_rows(expected), str(len(expected)), unknown, holds, *rows]

    async def _go_carefully(self, holds: list[Hold], settles: list[Settle]) -> None:
        """Reads the rules, locks the windows, decides, writes, commits."""
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
        carry(self._overlapped, self._locked)
        calls = {}
        if doubtful := self._in_doubt(settles):
            [found] = await self.link.burst(("find_calls", array(doubtful)))
            calls = {row[0]: row[1:] for row in found}
        self._settle(settles, calls)
        if holds and (rows := self._inserts("insert_calls", "insert_payloads", "insert_adjustments")):
            # The server writes these while we decide on the holds. Without any it is woken once, at the end.
            self.link.send(*rows)
        self._admit_all(holds, candidates)
        await self._write_and_commit()

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
            self._forget()
            return None
        self.memory.now = now
        self._place(candidates, known)
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
        self._place(candidates, known)
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

    @staticmethod
    def _place(candidates: list[list[Candidate]], known: dict[WindowKey, int]) -> None:
        """Notes the ids of the windows that each candidate counts in."""
        for candidate in (c for listed in candidates for c in listed):
            candidate.windows = [known[place.key] for place in candidate.places]

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
        self._found = [WindowRow(*row) for row in locked]
        self._locked = {row.id: locked_window(row, self.memory.rules, now) for row in self._found}
        for call_id, *values in took:
            hold = TakenHold(*values)
            if not self._asked.issuperset(hold.windows):
                return False
            self._taken[call_id] = hold.within(self._locked)
        return self._buckets.cover(self._taken.values())

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


def _special(holds: list[Hold], settles: list[Settle], rules: Rules) -> bool:
    """Whether something of it is moved, swept, held to a rate limit, or was granted elsewhere than in the ledger."""
    grants = [op.grant for op in settles if op.grant]
    return (
        any(op.moves or (rules.limits and rules.limits.of(op.scope)) for op in holds)
        or any(op.swept for op in settles)
        or any(grant.buckets or len(grant.amounts) != len(grant.windows) for grant in grants)
    )
