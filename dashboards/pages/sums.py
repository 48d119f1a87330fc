"""Figures of calls added up, in the reporting currency: what tables and tiles of the pages show."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dashboards.currency import Currency
from dashboards.filters import Filters
from dashboards.rollups import Figures, figures

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Calls and what they cost, in the reporting currency: in all, for retries, for fallbacks, and for calls that were lost."""

    calls: int = 0
    ok: int = 0
    errors: int = 0
    cached_calls: int = 0
    fallback_calls: int = 0
    cost: Decimal = ZERO
    retried: Decimal = ZERO
    fallback: Decimal = ZERO
    lost: Decimal = ZERO

    @property
    def per_call(self) -> Decimal | None:
        return self.cost / self.calls if self.calls else None

    @property
    def per_ok(self) -> Decimal | None:
        """What a successful call costs, with what was spent on the others."""
        return self.cost / self.ok if self.ok else None

    @property
    def error_share(self) -> float:
        return self.errors / self.calls if self.calls else 0.0

    @property
    def cached_share(self) -> float:
        return self.cached_calls / self.calls if self.calls else 0.0

    @property
    def fallback_share(self) -> float:
        return self.fallback_calls / self.calls if self.calls else 0.0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(**{name: getattr(self, name) + getattr(other, name) for name in Sums.__slots__})

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(**{name: getattr(self, name) - getattr(other, name) for name in Sums.__slots__})


def of_row(row: Figures, currency: Currency) -> Sums:
    """One row of figures, its money by the rate of its time."""

    def money(usd: Decimal) -> Decimal:
        return currency.of(usd, row.at)

    return Sums(
        calls=row.calls, ok=row.ok, errors=row.errors, cached_calls=row.cached_calls, fallback_calls=row.fallback_calls,
        cost=money(row.cost_usd), retried=money(row.retried_cost_usd), fallback=money(row.fallback_cost_usd),
        lost=money(row.lost_cost_usd),
    )  # fmt: skip


def total(sums: Iterable[Sums]) -> Sums:
    return sum(sums, Sums())


def read(filters: Filters, by: Sequence[str], currency: Currency) -> dict[tuple[str, ...], Sums]:
    """What the calls come to, by values of these dimensions."""
    found: dict[tuple[str, ...], Sums] = {}
    for row in figures(filters, by=by, step=filters.step if currency.dated else None):
        found[row.values] = found.get(row.values, Sums()) + of_row(row, currency)
    return found


def change(now: Decimal | float | None, before: Decimal | float | None) -> str:
    """A change in words: `+12%`, `×3.4`, `new`; empty where there is nothing to say."""
    if now is None or before is None or (not now and not before):
        return ""
    if not before:
        return "new"
    ratio = float(now) / float(before)
    if ratio >= 3:
        return f"×{ratio:,.1f}" if ratio < 100 else f"×{ratio:,.0f}"
    percent = round(100 * (ratio - 1))
    return f"{'+' if percent > 0 else '−' if percent < 0 else '±'}{abs(percent)}%"


def share(part: Any, whole: Any) -> float:
    """A share, 0 of nothing."""
    return float(part) / float(whole) if whole else 0.0


def percent(value: float) -> str:
    """A share as `12.3%`; what is not nothing does not read as 0."""
    if 0 < value < 0.0005:
        return "<0.1%"
    return f"{100 * value:.1f}%"
