"""The ledger transaction's part in rate limits: it finds and locks buckets, takes from them, and gives back.

A hold remembers its buckets and the tokens that it took of each (the same of all). Nothing changes when a hold is taken:
only a settlement gives back what was not used, and an admission takes, or compares with what its call has taken before. So
a batch that is repeated, or a hold that moves, takes no request twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import orjson
from django.db import connection

from budgets.rates import Bucket, LimitRule, Limits, Rates, Shortage, patience, tightest
from gateway.ledger.link import Link, Rows, array
from gateway.ledger.operations import Hold, Settle
from gateway.sql import queries

BucketKey = tuple[int, str]


class Taken(Protocol):
    """A hold that the transaction has taken: ids of its buckets and the tokens it took of each (None: it has none)."""

    @property
    def buckets(self) -> list[int] | None: ...

    @property
    def bucket_tokens(self) -> int | None: ...


@dataclass(slots=True)
class LockedBucket:
    """A bucket that this transaction has locked and refilled; `rule` is None where its limit is not active any more."""

    id: int
    rule: LimitRule | None
    state: Bucket
    touched: bool = False

    def change(self, *, requests: int = 0, tokens: int = 0, in_flight: int = 0) -> None:
        if self.rule:
            self.state.change(self.rule, requests=requests, tokens=tokens, in_flight=in_flight)
        else:
            self.state.in_flight = max(0, self.state.in_flight + in_flight)
        self.touched = True


Limited = tuple[LockedBucket, LimitRule]


class Buckets:
    """The buckets of one transaction. `remembered` are ids of buckets by limit and value, from earlier ones."""

    def __init__(self, link: Link, remembered: dict[BucketKey, int]) -> None:
        self._link = link
        self._remembered = remembered
        self._granted: set[int] = set()
        self._keys: dict[UUID, list[BucketKey]] = {}
        self._asked: set[int] = set()
        self._locked: dict[int, LockedBucket] = {}
        #: Ids of buckets that this transaction made or found; they may be remembered once it is committed.
        self.new: dict[BucketKey, int] = {}

    def expect(self, settles: Iterable[Settle]) -> None:
        """Notes the buckets of what is settled, as its grants know them."""
        self._granted = {id for settle in settles if settle.grant for id in settle.grant.buckets}

    def recall(self, limits: Limits, holds: Iterable[Hold]) -> bool:
        """Which buckets the batch may touch, from memory. False when one is not known."""
        self._keys = {hold.call_id: limits.of(hold.scope) for hold in holds} if limits else {}
        ids = {self._id(key) for keys in self._keys.values() for key in keys}
        if 0 in ids:
            return False
        self._asked = self._granted | ids
        return True

    async def find(self, limits: Limits, holds: Sequence[Hold], held: Rows) -> None:
        """As `recall`, after making those that nobody needed before; `held` are ids of the holds about to be taken."""
        if not self.recall(limits, holds):
            unknown = sorted({key for keys in self._keys.values() for key in keys if not self._id(key)})
            rows = orjson.dumps([{"limit_id": limit_id, "value": value} for limit_id, value in unknown]).decode()
            _, found = await self._link.burst(("make_buckets", rows), ("find_buckets", rows))
            self.new = {(limit_id, value): id for limit_id, value, id in found}
            self.recall(limits, holds)
        self._asked |= {id for (id,) in held}

    def locking(self) -> tuple[tuple[str, str], ...]:
        """The statement that locks them, by id; none where there are none."""
        return (("lock_buckets", array(sorted(self._asked))),) if self._asked else ()

    def lock(self, limits: Limits, answers: Sequence[Rows]) -> None:
        """Notes what was locked, refilled by the database's clock as it stood when the lock was had."""
        for id, limit_id, requests, tokens, in_flight, refilled_at, now in (row for rows in answers for row in rows):
            rule = limits.by_id.get(limit_id)
            state = Bucket(requests, tokens, in_flight, refilled_at)
            if rule:
                state.refill(rule, now)
            self._locked[id] = LockedBucket(id, rule, state)

    def forget(self) -> None:
        """Undoes `lock`, as the transaction is rolled back. What is gone (a limit deleted, a bucket that was full and idle) is
        not remembered any more.
        """
        for key in [key for keys in self._keys.values() for key in keys if self._id(key) not in self._locked]:
            self._remembered.pop(key, None)
        self._locked = {}

    def cover(self, taken: Iterable[Taken]) -> bool:
        """Whether everything is locked: the buckets of these holds, as far as they still exist, and of all that are new."""
        wanted = {self._id(key) for keys in self._keys.values() for key in keys}
        return self._locked.keys() >= wanted and all(self._asked.issuperset(hold.buckets or ()) for hold in taken)

    def settle(self, hold: Taken, used: int | None) -> None:
        """Frees the place of a call that took these, and gives back what it did not use; None: all was used."""
        took = hold.bucket_tokens or 0
        for bucket in self._of(hold):
            bucket.change(tokens=took - (took if used is None else used), in_flight=-1)

    def of(self, hold: Hold) -> list[Limited]:
        """The buckets that a call has to take from."""
        if not self._keys:
            return []
        found = [self._locked[self._id(key)] for key in self._keys[hold.call_id]]
        return [(bucket, bucket.rule) for bucket in found if bucket.rule]

    def take(self, limited: list[Limited], tokens: int, earlier: Taken | None) -> tuple[int, ...]:
        """Takes the call's request, tokens and place, as far as it has not taken them before; the ids of its buckets."""
        before = {bucket.id: bucket for bucket in self._of(earlier)} if earlier else {}
        took = earlier.bucket_tokens or 0 if earlier else 0
        for bucket, _ in limited:
            if before.pop(bucket.id, None):
                bucket.change(tokens=took - tokens)
            else:
                bucket.change(requests=-1, tokens=-tokens, in_flight=1)
        for bucket in before.values():
            bucket.change(tokens=took, in_flight=-1)
        return tuple([bucket.id for bucket, _ in limited])

    def undo(self, hold: Taken) -> None:
        """Gives all back that a hold took whose call nobody was told of, and which is refused after all."""
        for bucket in self._of(hold):
            bucket.change(requests=1, tokens=hold.bucket_tokens or 0, in_flight=-1)

    def writing(self) -> tuple[tuple[str, *tuple[str, ...]], ...]:
        """The statement that writes what has changed; none where nothing has."""
        changed = [bucket for bucket in self._locked.values() if bucket.touched]
        if not changed:
            return ()
        states = [bucket.state for bucket in changed]
        return (
            (
                "update_buckets",
                array(bucket.id for bucket in changed),
                array("NULL" if state.requests is None else state.requests for state in states),
                array("NULL" if state.tokens is None else state.tokens for state in states),
                array(state.in_flight for state in states),
                array(state.refilled_at for state in states),
            ),
        )

    def _id(self, key: BucketKey) -> int:
        """The bucket's id; 0 where it is not known."""
        return self.new.get(key) or self._remembered.get(key, 0)

    def _of(self, hold: Taken) -> list[LockedBucket]:
        """A hold's buckets; one that was deleted with its limit is none any more."""
        return [self._locked[id] for id in hold.buckets or () if id in self._locked]


def lack(limited: list[Limited], tokens: int, earlier: Taken | None) -> tuple[LimitRule, Shortage] | None:
    """The limit that does not let a call pass, and what it lacks; of several, the one with the longest wait.

    `earlier` is the call's own hold so far, whose request, tokens and place it has already.
    """
    before = earlier.buckets or () if earlier else ()
    took = earlier.bucket_tokens or 0 if earlier else 0
    found = []
    for bucket, rule in limited:
        first = 0 if bucket.id in before else 1
        need = tokens if first else tokens - took
        if shortage := bucket.state.shortage(rule, requests=first, tokens=need, places=first):
            found.append((rule, shortage))
    return max(found, key=lambda one: patience(one[1])) if found else None


def rates(limited: list[Limited]) -> Rates | None:
    """How a call's buckets stand; None where it is under no limit."""
    return tightest(bucket.state.rates(rule) for bucket, rule in limited) if limited else None


def forget_idle() -> None:
    """Deletes buckets that have been full for long, so that values that came once (users, say) leave nothing behind."""
    with connection.cursor() as cursor:
        cursor.execute(queries("ledger.sql")["forget_idle_buckets"])
