"""What a feature spent in a stretch of time beside an earlier one: by slices of time, and by what calls are told apart by."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import OperationalError, connection, transaction

from dashboards.causes import DIMENSIONS, Compared, Dimension, Spend, dimension
from gateway.admin.call_list import TooMuch
from gateway.ledger.partitions import first_id
from gateway.sql import queries

SQL = queries("spend.sql")
TIMEOUT_MS = 5000
#: How many values of each dimension are told of one by one.
MOST = 8
#: Outcomes that are somebody's failure; refusals are not.
ERRORS = ("provider_error", "timeout", "ledger_unavailable", "lost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of time and an equally long one before it, each in `slices` equal parts for the chart.

    `key` is its name in addresses; `label` what it is called, `before` what the other one is.
    """

    key: str
    label: str
    before: str
    since: datetime
    until: datetime
    before_since: datetime
    slices: int

    @property
    def length(self) -> timedelta:
        return self.until - self.since

    @property
    def before_until(self) -> datetime:
        return self.before_since + self.length

    def start(self, slice: int) -> datetime:
        """When the slice begins, counted from 0; that of `slices` is the end."""
        return self.since + self.length * slice / self.slices


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpend:
    """`slices` are those of the span, in order; `dimensions` the ones that were asked for."""

    whole: Compared
    slices: tuple[Compared, ...]
    dimensions: tuple[Dimension, ...]


def read(
    feature: str, span: Span, dimensions: Collection[str] = DIMENSIONS, tenants: Collection[str] | None = None
) -> FeatureSpend:
    """The spend of a feature; with `tenants`, for them alone. Raises TooMuch when it takes longer than the time allowed."""
    found: dict[str, dict[str, Compared]] = {name: {} for name in ("all", "slice", *DIMENSIONS)}
    of_values: dict[str, int] = {}
    for name, value, count, *figures in _rows(feature, span, dimensions, tenants):
        found[name][value] = Compared(now=_spend(figures[:5]), before=_spend(figures[5:]))
        of_values[name] = count
    nothing = Compared(now=Spend(), before=Spend())
    whole = found["all"].get("", nothing)
    return FeatureSpend(
        whole=whole,
        slices=tuple(_slice(span, found["slice"], number) for number in range(span.slices)),
        dimensions=tuple(
            dimension(name, whole, found[name], of_values.get(name, 0)) for name in DIMENSIONS if name in dimensions
        ),
    )


def _rows(
    feature: str, span: Span, dimensions: Collection[str], tenants: Collection[str] | None
) -> list[tuple[Any, ...]]:
    given: dict[str, Any] = {
        "feature": feature, "edges": _edges(span), "since": first_id(span.since), "until": first_id(span.until),
        "before_since": first_id(span.before_since), "before_until": first_id(span.before_until),
        "errors": list(ERRORS), "dimensions": list(dimensions), "most": MOST,
        "tenants": None if tenants is None else list(tenants),
    }  # fmt: skip
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = %s", [TIMEOUT_MS])
            cursor.execute(SQL["spend"], given)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found
    except OperationalError as error:
        if "statement timeout" in str(error):
            raise TooMuch from None
        raise


def _edges(span: Span) -> list[UUID]:
    """Where slices begin, as ids: those of the time before, its end, and those of the span. The database counts from 1."""
    apart = span.since - span.before_since
    starts = [span.start(number) for number in range(span.slices + 1)]
    return [first_id(at) for at in [*(start - apart for start in starts), *starts[:-1]]]


def _slice(span: Span, found: dict[str, Compared], number: int) -> Compared:
    nothing = Compared(now=Spend(), before=Spend())
    before, now = found.get(str(number + 1), nothing), found.get(str(span.slices + number + 2), nothing)
    return Compared(now=now.now, before=before.before)


def _spend(figures: list[Any]) -> Spend:
    usd, calls, errors, tokens, unpriced = figures
    return Spend(usd=usd, calls=calls, errors=errors, tokens=tokens, unpriced=unpriced)
