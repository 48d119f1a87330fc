"""The calls that a query finds, a page at a time, newest first: bounded in time however few of millions fit.

A search goes through the time range in slices of ids, the newest first, each larger than the one before while they are
read quickly. It ends when the page is full, when the range is over, or when its time is over; then it says how far it
came, and the next search goes on from there. Slices are ranges of the key, so that only their partitions are read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import perf_counter
from uuid import UUID

from django.db import OperationalError, transaction
from django.db import connection as database
from django.db.models import QuerySet

from gateway.explorer.conditions import conditions
from gateway.explorer.query import Query
from gateway.ledger.partitions import first_id
from gateway.models import Call
from gateway.models.calls import uuid7_time

PAGE = 50
#: How long a search may go on, and how long one slice should take; seconds.
BUDGET_S, SLICE_S = 0.09, 0.03
#: A slice that takes longer is given up and tried again in parts; the smallest is allowed more.
SLICE_TIMEOUT_MS, LAST_TIMEOUT_MS = 90, 5000
FIRST, LEAST = timedelta(hours=2), timedelta(minutes=1)


#: The calls that are looked for, of ids from the first to below the second.
Fitting = Callable[[UUID, UUID], QuerySet[Call]]


class TooMuch(Exception):
    """Even the shortest part of the range could not be read in time."""


@dataclass(frozen=True, slots=True)
class Range:
    """Where to look: ids from `low` to below `high`, made `since` and before `until`."""

    since: datetime
    until: datetime

    @property
    def low(self) -> UUID:
        return first_id(self.since)

    @property
    def high(self) -> UUID:
        return first_id(self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some calls, newest first, and the ids from which the neighbouring pages go on (empty: there is none).

    `searched_to` is how far a search came that had to stop before the page was full; None for a full page or the end.
    """

    calls: list[Call]
    older: str = ""
    newer: str = ""
    searched_to: datetime | None = None


def search(
    query: Query,
    within: Range,
    *,
    before: UUID | None = None,
    after: UUID | None = None,
    among: QuerySet[Call] | None = None,
    size: int = PAGE,
    budget_s: float | None = None,
) -> Page:
    """One page: the newest calls, or the next ones below `before` or above `after`. Raises TooMuch.

    `among` are the calls that the reader may see; None: all. `budget_s` is how long it may go on.
    """
    upwards = after is not None
    low, high = within.low, within.high
    if after is not None:
        low = max(low, UUID(int=min(after.int + 1, MOST_ID)))
    elif before is not None:
        high = min(high, before)
    allowed = Call.objects.all() if among is None else among
    whole = not allowed.query.where and not query.terms

    def fitting(start: UUID, end: UUID) -> QuerySet[Call]:
        return allowed.filter(conditions(query, start, end))

    walk = _Walk(fitting, low, high, upwards=upwards, whole=whole)
    ends_at = perf_counter() + (BUDGET_S if budget_s is None else budget_s)
    found: list[Call] = []
    while len(found) <= size and not walk.over:
        found += walk.step(size + 1 - len(found))
        if perf_counter() > ends_at:
            break
    more = len(found) > size
    stopped = not more and not walk.over
    found = found[:size]
    if upwards:
        found.reverse()
        older = str(found[-1].id) if found else str(low)
        newer = str(found[0].id) if more else str(walk.edge) if stopped else ""
        return Page(calls=found, older=older, newer=newer, searched_to=uuid7_time(walk.edge) if stopped else None)
    older = str(found[-1].id) if more else str(walk.edge) if stopped else ""
    newer = (str(found[0].id) if found else str(before)) if before is not None else ""
    return Page(calls=found, older=older, newer=newer, searched_to=uuid7_time(walk.edge) if stopped else None)


MOST_ID = 2**128 - 1
#: The bits of a UUIDv7 below its milliseconds.
BELOW = 80


class _Walk:
    """The way through a range of ids in slices; `edge` is where it has come to.

    `fitting` are the calls to find in a slice, from its first id to below its last.
    """

    def __init__(self, fitting: Fitting, low: UUID, high: UUID, *, upwards: bool, whole: bool) -> None:
        self.fitting, self.low, self.high, self.upwards = fitting, low, high, upwards
        self.edge = low if upwards else high
        self.width = (high.int - low.int) if whole else _width(FIRST)

    @property
    def over(self) -> bool:
        return self.edge >= self.high if self.upwards else self.edge <= self.low

    def step(self, most: int) -> list[Call]:
        """The calls of the next slice, at most so many; moves on by what was read whole."""
        while True:
            if self.upwards:
                start, end = self.edge.int, min(self.high.int, self.edge.int + self.width)
            else:
                start, end = max(self.low.int, self.edge.int - self.width), self.edge.int
            last = end - start <= _width(LEAST)
            began = perf_counter()
            rows = self._read(UUID(int=start), UUID(int=end), most, LAST_TIMEOUT_MS if last else SLICE_TIMEOUT_MS)
            if rows is None and last:
                raise TooMuch
            if rows is None:
                self.width = max(_width(LEAST), (end - start) // 16)
                continue
            took = max(perf_counter() - began, 1e-4)
            self.width = max(_width(LEAST), int((end - start) * min(16.0, max(0.25, SLICE_S / took))))
            self.edge = UUID(int=end if self.upwards else start)
            return rows

    def _read(self, start: UUID, end: UUID, most: int, timeout_ms: int) -> list[Call] | None:
        """The slice's calls in the walk's order; None where the time was over before."""
        rows = self.fitting(start, end).filter(id__gte=start, id__lt=end).order_by("id" if self.upwards else "-id")
        try:
            with transaction.atomic(), database.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = %s", [timeout_ms])
                return list(rows[:most])
        except OperationalError as error:
            if "statement timeout" in str(error):
                return None
            raise


def _width(span: timedelta) -> int:
    return int(span.total_seconds() * 1000) << BELOW
