"""One question to the rollups: which stretches of weeks, days and hours answer it, and which calls besides."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from django.db import OperationalError, connection, transaction

from dashboards.filters import DIMENSIONS, Filters
from dashboards.rollups import changes
from dashboards.rollups.changes import COLUMNS, CONSTANTS, EVER, PIECES, SQL, TOLD, TOLD_COUNTED, TOLD_SUMS
from dashboards.rollups.sets import HOURS_KEPT, RollupSet, block, covering, several_names
from gateway.ledger.partitions import first_id

Step = Literal["hour", "day"] | None
Metric = Literal["latency", "first_token", "gate", "provider"]
#: Calls that are read one by one, at most, where no rollup has what is asked for.
MOST_CALLS = 200_000
TIMEOUT_MS = 5000
#: Sums of more keys than this are found sooner by reading through all of them.
MOST_KEYS = 5000
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
#: To compile such queries would take longer than to run them.
SETTINGS = f"SET LOCAL statement_timeout = {TIMEOUT_MS}; SET LOCAL jit = off; SET LOCAL work_mem = '32MB'"
#: How often a reader begins anew when the rollups moved on before its statement began.
ATTEMPTS = 5


class TooMuchData(Exception):
    """What is asked for would mean to read too many calls; the message says what to ask for instead."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What the rollups have counted: everything before the `watermark`; 0 and not `usable`: nothing that could be read.

    `days`: their days are those of the reporting time zone. `hours_since`: from then on there are hours of all sets.
    """

    watermark: int | None
    usable: bool
    days: bool
    shift_s: int
    hours_since: datetime | None = None

    @classmethod
    def read(cls) -> "Basis":
        with connection.cursor() as cursor:
            cursor.execute(SQL["basis"])
            row = cursor.fetchone()
        name, shift_s = changes.zone()
        if row is None:
            return cls(None, usable=False, days=False, shift_s=shift_s)
        watermark, built, time_zone, rolled_shift_s, hours_since = row
        return cls(watermark, usable=built, days=time_zone == name, shift_s=rolled_shift_s, hours_since=hours_since)

    def hour(self, at: datetime) -> datetime:
        """The start of the hour that the moment is in."""
        shift = timedelta(seconds=self.shift_s)
        past = at.astimezone(UTC) - shift
        return past.replace(minute=0, second=0, microsecond=0) + shift


@dataclass(slots=True)
class Shared:
    """What questions of one snapshot need to ask but once: what the rollups have counted, and what they have not."""

    basis: Basis
    _not_counted: tuple[Any, ...] | None = None

    def not_counted(self) -> tuple[Any, ...]:
        if self._not_counted is None:
            self._not_counted = _since(self.basis)
        return self._not_counted


_shared: ContextVar[Shared | None] = ContextVar("shared", default=None)


@contextmanager
def one_snapshot() -> Iterator[None]:
    """All questions inside are answered as of one moment, so that figures beside each other agree; it also takes less time. In a
    transaction that goes on already, each is answered as of its own.
    """
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; {SETTINGS}")
        token = _shared.set(Shared(Basis.read()))
        try:
            yield
        finally:
            _shared.reset(token)


def _since(basis: Basis) -> tuple[Any, ...]:
    """The first call that is not counted, and the first and the last one that was corrected since."""
    with connection.cursor() as cursor:
        [found] = _fetch(cursor, SQL["since"], {"after": basis.watermark})
    return found


class Stretch(NamedTuple):
    """Sums of a grain, or calls, from a moment to another; with the sign -1 they are taken away."""

    grain: str
    since: datetime
    until: datetime
    sign: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """How one kind of answer is summed up: from these `columns` of the rollups' `table` as `totals`, with `query`, and from calls
    with `new`, which needs further `pieces`.

    `extra` is a further value of each row, as the rollups and as the calls have it.
    """

    new: str
    table: str
    columns: str
    totals: str
    pieces: Mapping[str, str]
    extra: tuple[str, str] | None = None
    query: str = "rolled"


FIGURES = Part(
    new="new_figures", table="tollhouse_rollup", columns=", ".join(f"r.{name}" for name in COLUMNS), totals=TOLD,
    pieces={"sums": TOLD_SUMS, "counts": TOLD_COUNTED},
)  # fmt: skip
#: Nano-dollars and calls alone.
AMOUNTS = Part(
    new="new_figures", table="tollhouse_rollup", columns="r.cost_nano, r.calls", query="rolled_by_key",
    totals="sum(cost_nano)::bigint AS cost_nano, sum(calls)::bigint AS calls",
    pieces={
        "sums": "sum(sign * cost_nano)::bigint AS cost_nano, sum(sign)::bigint AS calls", "counts": "cost_nano, calls",
    },
)  # fmt: skip
ENTITIES = Part(
    new="new_entities", table="tollhouse_rollup_entity", columns="r.entity, r.found", totals="sum(r.found)::bigint AS found",
    pieces={}, extra=("r.entity", "e.name"),
)  # fmt: skip


def sketches(metrics: Sequence[Metric]) -> Part:
    """Of each metric the entries of its sketch."""
    return Part(
        new="new_sketches", table="tollhouse_rollup_sketch", columns=", ".join(f"r.{name}" for name in metrics),
        totals=", ".join(f"string_agg(r.{name}, ''::bytea) AS {name}" for name in metrics),
        pieces={
            "metrics": ", ".join(f"('{name}', {name}_ms)" for name in metrics),
            "bucket": PIECES["bucket"].format(ms="ms"),
            "entries": ", ".join(PIECES["entries_of"].format(metric=name) for name in metrics),
        },
    )  # fmt: skip


class Query:
    """One question; `needs` are further dimensions that a set must have, with latencies (`sketched`) or what was `found`.

    Raises ValueError for an unknown dimension.
    """

    def __init__(
        self, filters: Filters, by: Sequence[str], step: Step, *, needs: Sequence[str] = (), sketched: bool = False,
        found: bool = False,
    ) -> None:  # fmt: skip
        if unknown := {*by, *filters.where} - {*DIMENSIONS}:
            raise ValueError(f"No such dimension: {', '.join(sorted(unknown))}. There are {', '.join(DIMENSIONS)}.")
        self.filters, self.by, self.step = filters, tuple(by), step
        #: Whether a call is there once for each of its labels.
        self.labelled = "label" in by or ("label" in filters.where and not several_names(filters.where))
        #: None where only the calls themselves have these dimensions together.
        self.set: RollupSet | None = None
        if self.labelled or "label" not in filters.where:
            self.set = covering((*by, *filters.where, *needs), sketched=sketched, found=found)

    def rows(self, part: Part, wrapped: str = "{parts}") -> list[tuple[Any, ...]]:
        """Time, values and totals; the same values may come twice, to be added up. `wrapped` is a query around all of it.

        Raises TooMuchData.
        """
        shared = _shared.get()
        with transaction.atomic(), connection.cursor() as cursor:
            if shared is None:
                cursor.execute(SETTINGS)
            for _ in range(ATTEMPTS):
                basis = shared.basis if shared else Basis.read()
                given = self._given(basis)
                parts = " UNION ALL ".join(f"({one})" for one in self._parts(part, basis, given))
                rows = _fetch(cursor, SQL["read"].format(parts=wrapped.format(parts=parts)), given)
                if rows[0][:2] == (basis.watermark, basis.hours_since):
                    break
            else:
                raise TooMuchData("The figures change faster than they can be read. Try again in a moment.")
        # Where nothing was found there is a row without totals.
        return [row[2:] for row in rows if row[-1] is not None]

    def _given(self, basis: Basis) -> dict[str, Any]:
        since, until = basis.hour(self.filters.since), basis.hour(self.filters.until)
        if until < self.filters.until:
            until += HOUR
        return {
            **CONSTANTS, **{f"where_{name}": list(values) for name, values in self.filters.where.items()},
            "since": since, "until": until, "first": first_id(since), "last": first_id(until),
            "after": basis.watermark, "upto": EVER, "zone": changes.zone()[0], "shift": basis.shift_s,
            "kind": self.set.kind if self.set else "",
        }  # fmt: skip

    def _parts(self, part: Part, basis: Basis, given: dict[str, Any]) -> Iterator[str]:
        """Queries of what the rollups have, of calls in place of hours that they have not any more, and of calls that they have
        not counted."""
        columns = [f"k.{name}" for name in self.by]
        rolled, new = [*columns], [*columns]
        if part.extra:
            rolled.append(part.extra[0])
            new.append(part.extra[1])
        names = [f"v{n}" for n in range(len(new))]
        shape = {"places": ", ".join(str(n + 1) for n in range(len(new) + 1)), "conditions": self._conditions()}

        def of_calls(rows: str) -> str:
            return SQL[part.new].format(
                at=self._at("k.at"), values=_named(new, names), names=", ".join(["at", *names]), hour=PIECES["hour"],
                changes=changes.labelled(rows) if self.labelled else rows, **part.pieces, **shape,
            )  # fmt: skip

        if not (self.set and basis.usable):
            self._refuse_too_many(given, usable=False)
            yield of_calls(changes.of_range())
            return
        sums, stretches = [], [*self._stretches(basis, given)]
        for n, one in enumerate(stretches):
            if one.grain == "calls":
                given |= {f"first{n}": first_id(one.since), f"last{n}": first_id(one.until)}
                self._refuse_too_many({"first": given[f"first{n}"], "last": given[f"last{n}"]}, usable=True)
                yield of_calls(changes.of_range(f"first{n}", f"last{n}", "after", one.sign))
            else:
                given |= {f"since{n}": one.since, f"until{n}": one.until}
                sums.append((n, one.grain))
        narrowed = self._narrowed(given)
        summed = " UNION ALL ".join(
            SQL["stretch"].format(table=part.table, columns=part.columns, grain=grain, n=n, narrowed=narrowed)
            for n, grain in sums
        )
        # Of nothing at all, too, something has to be asked.
        if (made := self._not_counted(basis, given)) or not stretches:
            yield of_calls(made or changes.of_range())
        if sums:
            # Keys that were named fulfil the conditions. The planner would think that few do, and compare each with each.
            shape["conditions"] = (
                f"{'true' if 'keys' in given else shape['conditions']} {narrowed.replace('r.key_id', 'k.id')}"
            )
            yield SQL[part.query].format(
                at=self._at("r.at"), values=_named(rolled, names), totals=part.totals, stretches=summed, **shape
            )

    def _narrowed(self, given: dict[str, Any]) -> str:
        """A condition for the few keys of some tenants, users or labels, or else those of one feature, so that only their
        sums are read; empty for all."""
        if {"tenant", "user_ref", "label"} & self.filters.where.keys():
            with connection.cursor() as cursor:
                query = SQL["keys_of"].format(conditions=self._conditions())
                keys = [key for (key,) in _fetch(cursor, query, {**given, "most_keys": MOST_KEYS + 1})]
            if len(keys) <= MOST_KEYS:
                given["keys"] = keys
                return "AND r.key_id = ANY(%(keys)s)"
        if len(features := self.filters.where.get("feature", ())) == 1:
            ids = block(features[0])
            given |= {"first_key": ids.start, "last_key": ids.stop}
            return "AND r.key_id >= %(first_key)s AND r.key_id < %(last_key)s"
        return ""

    def _not_counted(self, basis: Basis, given: dict[str, Any]) -> str:
        """The query of what the rollups have not counted, in as few partitions as it may be in; empty where there is nothing."""
        shared = _shared.get()
        made, oldest, newest = shared.not_counted() if shared else _since(basis)
        new = old = ""
        if made and made < given["last"]:
            given["made"] = max(made, given["first"])
            new = "c.id >= %(made)s AND c.id < %(last)s"
        if oldest and oldest < given["last"] and newest >= given["first"]:
            given |= {"oldest": max(oldest, given["first"]), "newest": newest}
            old = "c.id >= %(oldest)s AND c.id <= %(newest)s AND c.id < %(last)s"
        return changes.written_since(new, old)

    def _conditions(self) -> str:
        """Which keys, or calls, are asked for."""
        found = [f"k.{name} = ANY(%(where_{name})s)" for name in self.filters.where if name != "label"]
        if "label" in self.filters.where:
            found.append("k.label = ANY(%(where_label)s)" if self.labelled else PIECES["any_label"])
        return " AND ".join(found) or "true"

    def _at(self, column: str) -> str:
        if self.step is None:
            return "NULL::timestamptz"
        return column if self.step == "hour" else f"date_trunc('day', {column}, %(zone)s)"

    def _stretches(self, basis: Basis, given: Mapping[str, Any]) -> Iterator[Stretch]:
        """The range in whole weeks and days as far as it has any, and in hours; where there are no hours any more, in calls:
        those of the hours, or, if that is the longer part of the day, the day without those of the others."""
        fine = self.step == "hour" or not basis.days
        grains = ("hour",) if fine else ("hour", "day", "week") if self.step is None else ("hour", "day")
        kept = basis.hours_since
        place = ZoneInfo(given["zone"])
        for grain, since, until in _covered(grains, given["since"], given["until"], place):
            if grain == "hour" and self.set and not self.set.hourly and kept and since < kept:
                until_kept = min(until, kept)
                day = _start(since, "day", place), _start(until_kept, "day", place, up=True)
                if fine or 2 * (until_kept - since) <= day[1] - day[0] or day[1] > kept:
                    yield Stretch("calls", since, until_kept)
                else:
                    yield Stretch("day", *day)
                    rest = (day[0], since), (until_kept, day[1])
                    yield from (Stretch("calls", *ends, -1) for ends in rest if ends[0] < ends[1])
                since = until_kept
            if since < until:
                yield Stretch(grain, since, until)

    def _refuse_too_many(self, given: Mapping[str, Any], *, usable: bool) -> None:
        with connection.cursor() as cursor:
            [(count,)] = _fetch(cursor, SQL["some_calls"], {**given, "most": MOST_CALLS + 1})
        if count <= MOST_CALLS:
            return
        asked = " and ".join(sorted({*self.by, *self.filters.where} - {"outcome"}))
        if self.set and usable:
            raise TooMuchData(
                f"By {asked} there are sums of single hours for the last {HOURS_KEPT.days} days only, and too many calls to read "
                "them one by one. Choose whole days, more than three."
            )
        if self.set:
            raise TooMuchData(
                "The figures are being counted anew, and there are too many calls to read them one by one. A worker does it: "
                "see `manage.py rollups status`. Meanwhile choose a shorter range."
            )
        raise TooMuchData(
            f"There is too much data for {asked} together in this range. Choose fewer of them, or a shorter range: "
            f"up to {MOST_CALLS:,} calls any of them go together."
        )


def _covered(
    grains: Sequence[str], since: datetime, until: datetime, place: ZoneInfo
) -> Iterator[tuple[str, datetime, datetime]]:
    """A range in stretches of the coarsest of the grains as far as it has any whole ones, and of finer ones before and after."""
    grain, *coarser = grains
    if coarser:
        first, last = _start(since, coarser[0], place, up=True), _start(until, coarser[0], place)
        if first < last:
            yield grain, since, first
            yield from _covered(coarser, first, last, place)
            yield grain, last, until
            return
    yield grain, since, until


def _start(at: datetime, grain: str, place: ZoneInfo, *, up: bool = False) -> datetime:
    """When the day or week begins that the moment is in; `up`: when the next one does, unless it is that moment."""
    days = 7 if grain == "week" else 1
    day = at.astimezone(place).date()
    day -= timedelta(days=day.weekday() % days)
    begins = datetime.combine(day, time(), place).astimezone(UTC)
    return datetime.combine(day + timedelta(days=days), time(), place).astimezone(UTC) if up and begins < at else begins


def _named(columns: Sequence[str], names: Sequence[str]) -> str:
    """Columns with the names that they have in the answer, each after a comma."""
    return "".join(f", {column} AS {name}" for column, name in zip(columns, names, strict=True))


def _fetch(cursor: Any, query: str, given: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Raises TooMuchData when it takes longer than the time allowed."""
    try:
        cursor.execute(query, given)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found
    except OperationalError as error:
        if "statement timeout" in str(error):
            raise TooMuchData("This took too long to read. Choose a shorter range, or fewer dimensions.") from None
        raise
