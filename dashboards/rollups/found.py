"""What rollups answer with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from dashboards.rollups.changes import COLUMNS
from gateway.types import OUTCOMES, TOKEN_PARTS

NANO = Decimal("1e-9")
#: Outcomes that are somebody's failure; refusals are not.
ERRORS = ("provider_error", "timeout", "ledger_unavailable", "lost")


@dataclass(slots=True)
class Figures:
    """What some calls came to. `at` is when their hour or day begins (None: all of the range), `values` those of the dimensions
    asked for, in that order. `outcomes` are calls by outcome, `lost_nano` the nano-dollars of those that were lost.

    `retried_calls` needed more than one attempt, `fallback_calls` were answered by another target than the first;
    `unpriced_calls` had tokens and no price. `adjusted_tokens` are corrections of which no part is known. `cost_squared` is the
    sum of squares of the costs in US dollars, for confidence intervals.
    """

    at: datetime | None
    values: tuple[str, ...]
    calls: int = 0
    cost_nano: int = 0
    unpriced_calls: int = 0
    cached_calls: int = 0
    retried_calls: int = 0
    retried_nano: int = 0
    fallback_calls: int = 0
    fallback_nano: int = 0
    entity_calls: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    audio_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_output_tokens: int = 0
    adjusted_tokens: int = 0
    cost_squared: float = 0.0
    outcomes: dict[str, int] = field(default_factory=dict)
    lost_nano: int = 0

    @classmethod
    def of(cls, at: datetime | None, values: tuple[str, ...], counts: Sequence[Any]) -> "Figures":
        """From the sums of COLUMNS, the calls of each of OUTCOMES, and what lost ones cost."""
        *ends, lost = counts[len(COLUMNS) :]
        outcomes = {name: count for name, count in zip(OUTCOMES, ends, strict=True) if count}
        sums = dict(zip(COLUMNS, counts, strict=False))
        return cls(at, values, **sums, outcomes=outcomes, lost_nano=lost)

    @property
    def cost_usd(self) -> Decimal:
        return self.cost_nano * NANO

    @property
    def retried_cost_usd(self) -> Decimal:
        """What calls cost that needed more than one attempt."""
        return self.retried_nano * NANO

    @property
    def fallback_cost_usd(self) -> Decimal:
        return self.fallback_nano * NANO

    @property
    def lost_cost_usd(self) -> Decimal:
        """What calls count whose end nobody saw: all that was held for them."""
        return self.lost_nano * NANO

    @property
    def ok(self) -> int:
        return self.outcomes.get("ok", 0)

    @property
    def lost_calls(self) -> int:
        return self.outcomes.get("lost", 0)

    @property
    def errors(self) -> int:
        return sum(self.outcomes.get(name, 0) for name in ERRORS)

    @property
    def refused(self) -> int:
        return sum(count for name, count in self.outcomes.items() if name.startswith("refused_"))

    @property
    def tokens(self) -> int:
        """All tokens, corrections included."""
        found: int = sum(getattr(self, part) for part in TOKEN_PARTS)
        return found + self.adjusted_tokens

    @property
    def cost_per_call_usd(self) -> Decimal | None:
        return self.cost_usd / self.calls if self.calls else None

    @property
    def cost_per_ok_usd(self) -> Decimal | None:
        """What all calls cost, for each that was successful."""
        return self.cost_usd / self.ok if self.ok else None


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of a latency in milliseconds, in the order asked for, of so many calls; None where there are none."""

    at: datetime | None
    values: tuple[str, ...]
    calls: int
    ms: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """How much personal data of a type was found."""

    at: datetime | None
    values: tuple[str, ...]
    entity: str
    count: int
