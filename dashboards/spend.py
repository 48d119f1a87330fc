"""What a feature spent in a stretch of time beside an earlier one: by slices of time, and by what calls are told apart by."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from heapq import nsmallest
from typing import Any

from django.db import OperationalError, connection, transaction

from dashboards.causes import DIMENSIONS, Compared, Dimension, Spend, dimension
from dashboards.filters import Filters
from dashboards.rollups import Figures, TooMuchData, amounts, figures
from dashboards.rollups.found import ERRORS, NANO
from dashboards.spans import Range, Span, Stretch
from gateway.ledger.partitions import first_id
from gateway.sql import queries

SQL = queries("spend.sql")
TIMEOUT_MS = 5000
#: How many values of each dimension are told of one by one.
MOST = 8
#: Dimensions of few values, which one question tells of together, with the slices of time; of the others there may be many.
FEW = ("cohort", "provider", "model", "prompt_version")
MANY = ("tenant", "key", "user_ref")
#: Nano-dollars and calls.
Amount = tuple[int, int]
NOTHING: Amount = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals(Spend):
    """Spend with how many calls failed, and their tokens; `unpriced` ones are not in `usd`."""

    errors: int = 0
    tokens: int = 0
    unpriced: int = 0

    @property
    def error_percent(self) -> float:
        return 100 * self.errors / self.calls if self.calls else 0.0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(**{name: getattr(self, name) + getattr(other, name) for name in TOTALS})


TOTALS = ("usd", "calls", "errors", "tokens", "unpriced")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpend:
    """`slices` are those of the span, in order; `dimensions` the ones that were asked for, but for those `left_out`, of which
    there is too much to read.
    """

    now: Totals
    before: Totals
    slices: tuple[Compared, ...]
    dimensions: tuple[Dimension, ...]
    left_out: tuple[str, ...]

    @property
    def whole(self) -> Compared:
        return Compared(now=self.now, before=self.before)


@dataclass(slots=True)
class _Sums:
    """What the calls of one stretch come to: by slice, and by dimension the amounts of each value."""

    stretch: Stretch
    slices: list[Totals]
    values: dict[str, dict[str, Amount]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def whole(self) -> Totals:
        return sum(self.slices, Totals())

    def add_slice(self, number: int, totals: Totals) -> None:
        self.slices[number] += totals

    def add_value(self, dimension: str, value: str, nano: int, calls: int) -> None:
        known = self.values[dimension]
        had = known.get(value, NOTHING)
        known[value] = (had[0] + nano, had[1] + calls)

    def slice_of(self, at: datetime) -> int:
        """Where an hour or a day counts that begins then, which may be before the first slice does."""
        return max(0, bisect_right(self.stretch.starts, at) - 1)


def read(
    feature: str, span: Span, dimensions: Collection[str] = DIMENSIONS, tenants: Collection[str] | None = None
) -> FeatureSpend:
    """The spend of a feature; with `tenants`, for them alone. Raises TooMuchData where it cannot be read in the time allowed."""
    where = {"feature": (feature,)} | ({} if tenants is None else {"tenant": tuple(tenants)})
    now, before = (_Sums(stretch, [Totals() for _ in stretch.starts]) for stretch in (span.now, span.before))
    left_out = {name for sums in (now, before) for name in _add_rolled(sums, where, span, dimensions)}
    _add_calls(now, before, where, dimensions)
    whole = Compared(now=now.whole, before=before.whole)
    told = [name for name in DIMENSIONS if name in dimensions]
    return FeatureSpend(
        now=now.whole, before=before.whole,
        slices=tuple(
            Compared(now=slice, before=before.slices[number] if number < len(before.slices) else Totals())
            for number, slice in enumerate(now.slices)
        ),
        dimensions=tuple(
            _dimension(name, whole, now.values[name], before.values[name]) for name in told if name not in left_out
        ),
        left_out=tuple(name for name in told if name in left_out),
    )  # fmt: skip


def _dimension(name: str, whole: Compared, now: Mapping[str, Amount], before: Mapping[str, Amount]) -> Dimension:
    """The values whose spend changed the most, and all others as one."""

    def changed(value: str) -> tuple[int, int, int, str]:
        (nano, calls), (nano_before, _) = now.get(value, NOTHING), before.get(value, NOTHING)
        return -abs(nano - nano_before), -nano, -calls, value

    values = now.keys() | before.keys()
    found = {
        value: Compared(now=_spend(now.get(value, NOTHING)), before=_spend(before.get(value, NOTHING)))
        for value in nsmallest(MOST, values, key=changed)
    }
    return dimension(name, whole, found, len(values))


def _spend(amount: Amount) -> Spend:
    nano, calls = amount
    return Spend(usd=nano * NANO, calls=calls)


def _add_rolled(
    sums: _Sums, where: Mapping[str, tuple[str, ...]], span: Span, dimensions: Collection[str]
) -> list[str]:
    """Adds what rollups tell of a stretch; returns the dimensions of which there is too much to read."""
    if sums.stretch.rolled is None:
        return []
    filters = Filters(*sums.stretch.rolled, where)
    for row in figures(filters, FEW, span.step):
        _add_figures(sums, row)
    left_out = []
    for name in MANY:
        if name not in dimensions:
            continue
        try:
            for value, (nano, calls) in amounts(filters, name).items():
                sums.add_value(name, value, nano, calls)
        except TooMuchData:
            left_out.append(name)
    return left_out


def _add_figures(sums: _Sums, row: Figures) -> None:
    """Adds an hour or a day of calls that are alike in all of FEW."""
    assert row.at is not None
    totals = Totals(
        usd=row.cost_usd, calls=row.calls, errors=row.errors, tokens=row.tokens, unpriced=row.unpriced_calls
    )
    sums.add_slice(sums.slice_of(row.at), totals)
    cohort, provider, model, version = row.values
    for name, value in (
        ("cohort", cohort), ("model", f"{provider}/{model}" if provider else model), ("prompt_version", version)
    ):  # fmt: skip
        sums.add_value(name, value, row.cost_nano, row.calls)


def _add_calls(now: _Sums, before: _Sums, where: Mapping[str, tuple[str, ...]], dimensions: Collection[str]) -> None:
    """Adds what is to be read call by call."""
    ranges = [*before.stretch.beside, *now.stretch.beside]
    if not ranges:
        return
    for name, value, is_now, *counts in _rows(ranges, now, before, where, dimensions):
        sums = now if is_now else before
        nano, calls, errors, tokens, unpriced = counts
        if name == "slice":
            number = int(value) - (len(before.slices) if is_now else 0)
            totals = Totals(usd=Decimal(nano) * NANO, calls=calls, errors=errors, tokens=tokens, unpriced=unpriced)
            sums.add_slice(number, totals)
        else:
            sums.add_value(name, value, nano, calls)


def _rows(
    ranges: Iterable[Range],
    now: _Sums,
    before: _Sums,
    where: Mapping[str, tuple[str, ...]],
    dimensions: Collection[str],
) -> list[tuple[Any, ...]]:
    given: dict[str, Any] = {
        "feature": where["feature"][0], "tenants": list(where["tenant"]) if "tenant" in where else None,
        "edges": [first_id(at) for at in (*before.stretch.starts, *now.stretch.starts)],
        "since": first_id(now.stretch.since), "errors": list(ERRORS), "dimensions": list(dimensions),
    }  # fmt: skip
    places = []
    for number, (since, until) in enumerate(ranges):
        given |= {f"first{number}": first_id(since), f"last{number}": first_id(until)}
        places.append(f"{{id}} >= %(first{number})s AND {{id}} < %(last{number})s")
    which = " OR ".join(places)
    query = SQL["spend"].format(ranges=which.format(id="c.id"), corrected=which.format(id="call_id"))
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {TIMEOUT_MS}; SET LOCAL jit = off")
            cursor.execute(query, given)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found
    except OperationalError as error:
        if "statement timeout" in str(error):
            raise TooMuchData("This took too long to read. Choose a shorter time.") from None
        raise
