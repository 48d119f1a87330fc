"""What calls came to in a range of time: from the rollups, and from the rows that these have not counted yet, in one snapshot."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from django.db import OperationalError, connection, transaction

from dashboards.filters import DIMENSIONS, Filters
from dashboards.rollups import changes, sketch
from dashboards.rollups.changes import CONSTANTS, EVER, IN_RANGE, PIECES, SQL, TOTALS
from dashboards.rollups.found import Figures, Found, Quantiles
from dashboards.rollups.sets import RollupSet, covering, several_names
from gateway.ledger.partitions import first_id

Step = Literal["hour", "day"] | None
Metric = Literal["latency", "first_token", "gate", "provider"]
#: Calls that are read one by one, at most, where no rollup has what is asked for.
MOST_CALLS = 200_000
TIMEOUT_MS = 5000
HOUR = timedelta(hours=1)
#: How often a reader begins anew when the rollups moved on before its statement began.
ATTEMPTS = 5


class TooMuchData(Exception):
    """What is asked for would mean to read too many calls; the message says what to ask for instead."""


def figures(filters: Filters, by: Sequence[str] = (), step: Step = None) -> list[Figures]:
    """What the calls came to, by these dimensions and by hour or day; those without calls are left out, except where there is one
    answer only. The range is widened to whole hours of the reporting time zone. By label, a call counts for each of its labels.

    Raises TooMuchData where no rollup has these dimensions together and the range has more than MOST_CALLS calls, and
    ValueError for an unknown dimension.
    """
    found: dict[tuple[Any, ...], Figures] = {}
    for at, values, outcome, counts in _Query(filters, (*by, "outcome"), step).figures():
        # Where it is asked by outcome, it is there twice.
        found.setdefault((at, values), Figures(at, values)).add(outcome, counts)
    if not found and not by and step is None:
        return [Figures(None, ())]
    return sorted((one for one in found.values() if one.calls), key=_order)


def quantiles(
    filters: Filters,
    metric: Metric,
    by: Sequence[str] = (),
    step: Step = None,
    q: Sequence[float] = (0.5, 0.95, 0.99),
) -> list[Quantiles]:
    """Quantiles (each 0 to 1) of a latency in milliseconds, within `sketch.ERROR` of the calls' own, at the ranks q(n-1) rounded
    down; otherwise like `figures`.

    `latency` is of calls that were answered by a provider or from the cache, `provider` the part of it that was spent at
    providers, `gate` the rest, `first_token` of streams.
    """
    found = []
    for at, values, entries in _Query(filters, by, step, sketched=True).sketches(metric):
        calls, ms = sketch.quantiles(entries, q)
        if calls:
            found.append(Quantiles(at, values, calls, ms))
    if not found and not by and step is None:
        return [Quantiles(None, (), 0, tuple(None for _ in q))]
    return sorted(found, key=_order)


def entities(filters: Filters, by: Sequence[str] = (), step: Step = None) -> list[Found]:
    """How much personal data was found, by type and otherwise like `figures`."""
    rows = _Query(filters, by, step, kinds=("core",)).entities()
    return sorted((Found(at, values, entity, count) for at, values, entity, count in rows if count), key=_order)


@dataclass(frozen=True, slots=True)
class Basis:
    """What the rollups have counted: everything before the `watermark`; 0 and not `usable`: nothing that could be read.

    `days`: their days are those of the reporting time zone.
    """

    watermark: int | None
    usable: bool
    days: bool
    shift_s: int

    @classmethod
    def read(cls) -> "Basis":
        with connection.cursor() as cursor:
            cursor.execute(SQL["basis"])
            row = cursor.fetchone()
        name, shift_s = changes.zone()
        if row is None:
            return cls(None, usable=False, days=False, shift_s=shift_s)
        watermark, built, time_zone, rolled_shift_s = row
        return cls(watermark, usable=built, days=time_zone == name, shift_s=rolled_shift_s)

    def hour(self, at: datetime) -> datetime:
        """The start of the hour that the moment is in."""
        shift = timedelta(seconds=self.shift_s)
        past = at.astimezone(UTC) - shift
        return past.replace(minute=0, second=0, microsecond=0) + shift


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """How one kind of answer is summed up: `table` and `rolled` from rollups, with the query `new` from calls, `totals` of both.

    `extra` is a further value of each row, as the rollups and as the calls have it.
    """

    new: str
    table: str
    rolled: str
    totals: str
    pieces: Mapping[str, str]
    extra: tuple[str, str] | None = None


class _Query:
    """One question; `kinds` are those of the sets that can answer it, default: all."""

    def __init__(
        self, filters: Filters, by: Sequence[str], step: Step, *, sketched: bool = False, kinds: Sequence[str] = ()
    ) -> None:
        if unknown := {*by, *filters.where} - {*DIMENSIONS}:
            raise ValueError(f"No such dimension: {', '.join(sorted(unknown))}. There are {', '.join(DIMENSIONS)}.")
        self.filters, self.by, self.step = filters, tuple(by), step
        #: Whether a call is there once for each of its labels.
        self.labelled = "label" in by or ("label" in filters.where and not several_names(filters.where))
        self.set: RollupSet | None = None
        if self.labelled or "label" not in filters.where:
            self.set = covering((*by, *filters.where), sketched=sketched, kinds=kinds)

    def figures(self) -> Iterator[tuple[Any, tuple[str, ...], str, Sequence[Any]]]:
        """Time, values, outcome and counts; the outcome is the last of `by`."""
        part = _Part(
            new="new_figures", table="tollhouse_rollup", rolled=TOTALS, totals=TOTALS, pieces={"sums": PIECES["sums"]}
        )
        count = len(self.by)
        for at, *row in self._rows(part):
            yield at, tuple(row[: count - 1]), row[count - 1], row[count:]

    def sketches(self, metric: Metric) -> Iterator[tuple[Any, tuple[str, ...], bytes]]:
        part = _Part(
            new="new_sketches", table="tollhouse_rollup_sketch", rolled=f"string_agg(r.{metric}, ''::bytea) AS entries",
            totals="string_agg(entries, ''::bytea) AS entries",
            pieces={"metric": f"{metric}_ms", "bucket": PIECES["bucket"]},
        )  # fmt: skip
        for at, *values, entries in self._rows(part):
            yield at, tuple(values), bytes(entries)

    def entities(self) -> Iterator[tuple[Any, tuple[str, ...], str, int]]:
        part = _Part(
            new="new_entities", table="tollhouse_rollup_entity", rolled="sum(r.found)::bigint AS found",
            totals="sum(found)::bigint AS found", pieces={}, extra=("r.entity", "e.name"),
        )  # fmt: skip
        for at, *values, entity, count in self._rows(part):
            yield at, tuple(values), entity, count

    def _rows(self, part: _Part) -> Iterator[tuple[Any, ...]]:
        with transaction.atomic(), connection.cursor() as cursor:
            # To compile such a query would take longer than to run it.
            cursor.execute(
                f"SET LOCAL statement_timeout = {TIMEOUT_MS}; SET LOCAL jit = off; SET LOCAL work_mem = '32MB'"
            )
            for _ in range(ATTEMPTS):
                basis = Basis.read()
                given = self._given(basis)
                rows = _fetch(cursor, self._sql(part, basis, given), given)
                if rows[0][0] == basis.watermark:
                    break
            else:
                raise TooMuchData("The figures change faster than they can be read. Try again in a moment.")
        # Where nothing was found there is a row without totals.
        return (row[1:] for row in rows if row[-1] is not None)

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

    def _sql(self, part: _Part, basis: Basis, given: dict[str, Any]) -> str:
        """One part for each stretch of rolled days or hours, and one for the calls that are not counted in them."""
        columns = [f"k.{name}" for name in self.by]
        rolled, new = [*columns], [*columns]
        if part.extra:
            rolled.append(part.extra[0])
            new.append(part.extra[1])
        names = [f"v{n}" for n in range(len(new))]
        shape = {"places": ", ".join(str(n + 1) for n in range(len(new) + 1)), "conditions": self._conditions()}
        parts = []
        if self.set and basis.usable:
            made = changes.written_since(IN_RANGE)
            for n, (grain, since, until) in enumerate(self._stretches(basis, given)):
                given |= {f"since{n}": since, f"until{n}": until}
                parts.append(
                    SQL["rolled"].format(
                        at=self._at("r.at"), values=_named(rolled, names), totals=part.rolled, table=part.table,
                        grain=grain, since=f"since{n}", until=f"until{n}", **shape,
                    )
                )  # fmt: skip
        else:
            self._refuse_too_many(given)
            made = changes.of_range()
        if self.labelled:
            made = changes.labelled(made)
        parts.append(
            SQL[part.new].format(
                at=self._at("k.at"), values=_named(new, names), names=", ".join(["at", *names]), hour=PIECES["hour"],
                changes=made, **part.pieces, **shape,
            )
        )  # fmt: skip
        return SQL["read"].format(
            names=", ".join(["at", *names]), totals=part.totals, parts=" UNION ALL ".join(f"({one})" for one in parts)
        )

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

    def _stretches(self, basis: Basis, given: Mapping[str, Any]) -> Iterator[tuple[str, datetime, datetime]]:
        """The range in whole days as far as it has any, and in hours."""
        since, until, place = given["since"], given["until"], ZoneInfo(given["zone"])
        first = _midnight(since.astimezone(place).date(), place)
        if first < since:
            first = _midnight(since.astimezone(place).date() + timedelta(days=1), place)
        last = _midnight(until.astimezone(place).date(), place)
        if self.step == "hour" or not basis.days or first >= last:
            yield "hour", since, until
            return
        yield "day", first, last
        if since < first:
            yield "hour", since, first
        if last < until:
            yield "hour", last, until

    def _refuse_too_many(self, given: Mapping[str, Any]) -> None:
        with connection.cursor() as cursor:
            [(count,)] = _fetch(cursor, SQL["some_calls"], {**given, "most": MOST_CALLS + 1})
        if count <= MOST_CALLS:
            return
        if self.set:
            raise TooMuchData(
                "The figures are being counted anew, and there are too many calls to read them one by one. A worker does it: "
                "see `manage.py rollups status`. Meanwhile choose a shorter range."
            )
        asked = sorted({*self.by, *self.filters.where} - {"outcome"})
        raise TooMuchData(
            f"There is too much data for {' and '.join(asked)} together in this range. Choose fewer of them, or a shorter range: "
            f"up to {MOST_CALLS:,} calls any of them go together."
        )


def _midnight(day: date, place: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), place).astimezone(UTC)


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


def _order(one: Figures | Quantiles | Found) -> tuple[Any, ...]:
    return (one.at is not None and one.at, one.values)
