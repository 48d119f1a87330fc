"""The rules that must never be stale: budgets, kill switches and rate limits, as the ledger's transaction saw them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from budgets.rates import LimitRule, Limits
from budgets.windows import window_bounds

Metric = Literal["usd", "tokens", "calls"]


class Scope(NamedTuple):
    """What a call is, as far as budgets and switches ask; empty where unknown."""

    feature: str
    tenant: str
    key: str
    user: str
    cohort: str
    model: str
    provider: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRule:
    """An active budget. `limit` is in its metric: US dollars, tokens or calls."""

    id: int
    scope: Scope
    metric: Metric
    period: str
    zone: ZoneInfo
    limit: Decimal
    soft_percent: int
    on_hard: str

    def __str__(self) -> str:
        named = ", ".join(f"{name} {value}" for name, value in self.scope._asdict().items() if value)
        return f"the {self.period}'s budget of {self.limit.normalize():f} {self.metric} for {named or 'everything'}"

    @property
    def divert_to(self) -> str:
        """The route that calls take when this budget is spent; empty when they are refused."""
        return self.on_hard.removeprefix("route:") if self.on_hard != "block" else ""

    def amount(self, *, usd: Decimal | None, tokens: int) -> Decimal | None:
        """What one call counts in this budget's metric; None when that is money and no price is known."""
        return {"usd": usd, "tokens": Decimal(tokens), "calls": Decimal(1)}[self.metric]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchRule:
    """A kill switch in force."""

    scope: str
    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.scope} {self.value}".strip()


class Rules:
    """All active budgets, switches and rate limits, indexed so that a call's cost does not grow with those of others."""

    def __init__(
        self,
        *,
        revision: int | None,
        budgets: Iterable[BudgetRule],
        switches: Iterable[SwitchRule],
        limits: Iterable[LimitRule] = (),
    ) -> None:
        self.limits = Limits(limits)
        self.revision = revision
        # One index for each set of scope fields that some budget uses; a call makes one look-up in each.
        self._budgets: dict[tuple[int, ...], dict[tuple[str, ...], list[BudgetRule]]] = {}
        for fields, rules in groupby(sorted(budgets, key=_fields), key=_fields):
            index = self._budgets.setdefault(fields, {})
            for rule in rules:
                index.setdefault(tuple(rule.scope[i] for i in fields), []).append(rule)
        self._switches: Mapping[tuple[str, str], SwitchRule] = {(s.scope, s.value): s for s in switches}
        self._windows: dict[int, tuple[datetime, datetime]] = {}
        self.by_id = {rule.id: rule for index in self._budgets.values() for rules in index.values() for rule in rules}

    def budgets_for(self, scope: Scope) -> list[BudgetRule]:
        """Every budget that a call of this scope counts in."""
        found: list[BudgetRule] = []
        for fields, index in self._budgets.items():
            found += index.get(tuple(scope[i] for i in fields), ())
        return found

    def switch_for(self, scope: Scope) -> SwitchRule | None:
        """A switch that stops a call of this scope, the widest first."""
        if not self._switches:
            return None
        for key in (
            ("everything", ""),
            ("tenant", scope.tenant),
            ("feature", scope.feature),
            ("provider", scope.provider),
            ("model", scope.model),
        ):
            if switch := self._switches.get(key):
                return switch
        return None

    def window(self, rule: BudgetRule, now: datetime) -> tuple[datetime, datetime]:
        """Bounds of the budget's window at `now`, by `budgets.windows`."""
        bounds = self._windows.get(rule.id)
        if bounds is None or not bounds[0] <= now < bounds[1]:
            bounds = self._windows[rule.id] = window_bounds(rule.period, rule.zone, now)
        return bounds


def _fields(rule: BudgetRule) -> tuple[int, ...]:
    return tuple(i for i, value in enumerate(rule.scope) if value)
