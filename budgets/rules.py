"""The rules that must never be stale: budgets, kill switches and rate limits, as the ledger's transaction saw them."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import groupby
from types import MappingProxyType
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from budgets.limits import converted
from budgets.rates import LimitRule, Limits
from budgets.scopes import in_words, join_value, split_value
from budgets.windows import range_bounds, window_bounds

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
    """An active budget. `limit` is in its metric: tokens, calls or money of its currency.

    `each` are fields whose every value has the limit for itself. `starts_on` and `ends_on` are the days of the period
    `range`, None with any other. `soft_percents` are in ascending order.
    """

    id: int
    scope: Scope
    each: tuple[str, ...] = ()
    metric: Metric
    currency: str = "USD"
    period: str
    starts_on: date | None = None
    ends_on: date | None = None
    calendar: int = 0
    zone: ZoneInfo
    limit: Decimal
    soft_percents: tuple[int, ...]
    on_hard: str

    def __str__(self) -> str:
        return self.describe()

    def describe(self, value: str | None = None) -> str:
        """The budget in words, for one of the values that it gives its limit to; None for all of them."""
        unit = self.currency if self.metric == "usd" else self.metric
        when = f"the {self.period}'s budget" if self.starts_on is None else "the budget"
        dates = "" if self.starts_on is None else f" from {self.starts_on} to {self.ends_on}"
        named = [f"{name} {part}" for name, part in self.scope._asdict().items() if part]
        if self.each:
            named.append(" and ".join(f"each {name}" for name in self.each) if value is None else self.of(value))
        return f"{when} of {self.limit.normalize():f} {unit}{dates} for {', '.join(named) or 'everything'}"

    def of(self, value: str) -> str:
        """The value in words, e.g. `tenant acme`."""
        return in_words(self.each, value)

    @property
    def is_foreign(self) -> bool:
        """Whether its limit is in another currency than the ledger."""
        return self.metric == "usd" and self.currency != "USD"

    @property
    def divert_to(self) -> str:
        """The route that calls take when this budget is spent; empty when they are refused."""
        return self.on_hard.removeprefix("route:") if self.on_hard.startswith("route:") else ""

    def value(self, scope: Scope) -> str:
        """For which value of `each` a call of this scope counts; empty for a budget that is not divided."""
        return join_value([getattr(scope, name) for name in self.each]) if self.each else ""

    def named(self, field: Literal["feature", "tenant"], value: str) -> str:
        """The feature or tenant that a window of the value is of; empty where it is of any."""
        if field in self.each:
            return split_value(self.each, value)[self.each.index(field)]
        found: str = getattr(self.scope, field)
        return found

    def amount(self, *, usd: Decimal | None, tokens: int) -> Decimal | None:
        """What one call counts in this budget's metric; None when that is money and no price is known."""
        return {"usd": usd, "tokens": Decimal(tokens), "calls": Decimal(1)}[self.metric]


class RaiseRule(NamedTuple):
    """More of a budget for one of its values, until a moment; in what the limit is in."""

    budget: int
    value: str
    amount: Decimal
    expires_at: datetime


class RateRule(NamedTuple):
    """What one US dollar is in a currency from a day on. Of two of a day the later one in the list counts."""

    currency: str
    effective_from: date
    per_usd: Decimal


class Place(NamedTuple):
    """A window that a call counts in, whether there is a row of it or not: of a budget, one of its values, and a start.

    `key` is what is different in all of them under the same rules.
    """

    rule: BudgetRule
    value: str
    starts_at: datetime
    ends_at: datetime
    key: tuple[int, str, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchRule:
    """A kill switch that was in force when it was read; `expires_at` (None: never) is when it ends by itself.

    `tenant` narrows a feature down to one tenant.
    """

    scope: str
    value: str
    reason: str
    tenant: str = ""
    expires_at: datetime | None = None

    def __str__(self) -> str:
        of = f" of tenant {self.tenant}" if self.tenant else ""
        return f"{self.scope} {self.value}{of}".strip()

    @property
    def sentence(self) -> str:
        """What everyone reads whose call it stops."""
        until = f" until {self.expires_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if self.expires_at else ""
        return f"{self} is switched off{until}: {self.reason}"

    def in_force(self, now: datetime) -> bool:
        return self.expires_at is None or now < self.expires_at

    def stops(self, scope: Scope) -> bool:
        """Whether a call of this scope is one that it stops."""
        return (self.scope, self.value, self.tenant) in switch_keys(scope)


def switch_keys(scope: Scope) -> list[tuple[str, str, str]]:
    """Scope, value and tenant of every switch that would stop a call of this scope, the widest first."""
    named = {name: getattr(scope, name) for name in ("tenant", "key", "cohort", "user", "feature", "provider", "model")}
    keys = [("everything", "", ""), *((name, value, "") for name, value in named.items() if value)]
    return [*keys, ("feature", scope.feature, scope.tenant)] if scope.tenant else keys


class Rules:
    """All active budgets, switches and rate limits, indexed so that a call's cost does not grow with those of others."""

    def __init__(
        self,
        *,
        revision: int | None,
        budgets: Iterable[BudgetRule],
        switches: Iterable[SwitchRule],
        raises: Iterable[RaiseRule] = (),
        last_raises: Mapping[tuple[int, str], int] = MappingProxyType({}),
        rates: Iterable[RateRule] = (),
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
        self._switches: Mapping[tuple[str, str, str], SwitchRule] = {(s.scope, s.value, s.tenant): s for s in switches}
        # Bounds are the same for all values of a budget, so what is kept does not grow with them: that of the empty value.
        self._places: dict[int, Place] = {}
        self.by_id = {rule.id: rule for index in self._budgets.values() for rules in index.values() for rule in rules}
        ranges = {rule.id: _range(rule) for rule in self.by_id.values() if rule.starts_on}
        self._ranges = ranges
        self._edges = sorted({edge for bounds in ranges.values() for edge in bounds})
        self._raises: dict[tuple[int, str], list[RaiseRule]] = {}
        for found in raises:
            self._raises.setdefault((found.budget, found.value), []).append(found)
        ends = {found.expires_at for of_value in self._raises.values() for found in of_value}
        self._changes = sorted({*self._edges, *ends})
        self._last_raises = last_raises
        self._rates: dict[str, list[RateRule]] = {}
        for rate in rates:
            self._rates.setdefault(rate.currency, []).append(rate)

    def budgets_for(self, scope: Scope) -> list[BudgetRule]:
        """Every budget that a call of this scope counts in, at some time."""
        found: list[BudgetRule] = []
        for fields, index in self._budgets.items():
            found += index.get(tuple(scope[i] for i in fields), ())
        return found

    def places(self, scope: Scope, at: datetime) -> list[Place]:
        """Every window that a call of this scope counts in at this moment."""
        return [
            self._place(rule, at) if not rule.each else self._place_of(rule.value(scope), rule, at)
            for rule in self.budgets_for(scope)
            if rule.starts_on is None or self._applies(rule, at)
        ]

    def same_at(self, one: datetime, other: datetime) -> bool:
        """Whether the same budgets with fixed dates apply at both moments."""
        return not self._edges or bisect_right(self._edges, one) == bisect_right(self._edges, other)

    def next_change(self, at: datetime) -> datetime | None:
        """When the next budget with fixed dates begins or ends, or the next raise is over; None when none does."""
        place = bisect_right(self._changes, at)
        return self._changes[place] if place < len(self._changes) else None

    def limit(self, rule: BudgetRule, value: str, rate: Decimal | None, now: datetime) -> Decimal:
        """What a window of the budget may hold and spend, raises included; in US dollars, tokens or calls."""
        raises = self._raises.get((rule.id, value), ())
        return converted(rule.limit + sum(found.amount for found in raises if now < found.expires_at), rate)

    def last_raise(self, rule: BudgetRule, value: str) -> int:
        """The id of the last raise that was given, in force or not; 0 before the first."""
        return self._last_raises.get((rule.id, value), 0)

    def rate(self, rule: BudgetRule, starts_at: datetime) -> Decimal | None:
        """The rate that a window of the budget is made with; None for US dollars, tokens and calls, and where there is none.

        That of the day on which it starts in the budget's zone; the first one that there is when that is older than all.
        """
        rates: Sequence[RateRule] = self._rates.get(rule.currency, ()) if rule.is_foreign else ()
        if not rates:
            return None
        day = starts_at.astimezone(rule.zone).date()
        return rates[max(0, bisect_right(rates, day, key=lambda rate: rate.effective_from) - 1)].per_usd

    def _applies(self, rule: BudgetRule, at: datetime) -> bool:
        first, last = self._ranges[rule.id]
        return first <= at < last

    def switch_for(self, scope: Scope, now: datetime) -> SwitchRule | None:
        """A switch that stops a call of this scope at `now`, the widest first."""
        if not self._switches:
            return None
        found = (self._switches.get(key) for key in switch_keys(scope))
        return next((switch for switch in found if switch and switch.in_force(now)), None)

    def window(self, rule: BudgetRule, now: datetime) -> tuple[datetime, datetime]:
        """Bounds of the budget's window at `now`, by `budgets.windows`; those of its days, whenever that is."""
        return self._ranges[rule.id] if rule.starts_on else window_bounds(rule.period, rule.zone, now)

    def _place(self, rule: BudgetRule, at: datetime) -> Place:
        place = self._places.get(rule.id)
        if place is None or not place.starts_at <= at < place.ends_at:
            starts_at, ends_at = self.window(rule, at)
            place = self._places[rule.id] = Place(rule, "", starts_at, ends_at, (rule.id, "", starts_at))
        return place

    def _place_of(self, value: str, rule: BudgetRule, at: datetime) -> Place:
        _, _, starts_at, ends_at, _ = self._place(rule, at)
        return Place(rule, value, starts_at, ends_at, (rule.id, value, starts_at))


def _fields(rule: BudgetRule) -> tuple[int, ...]:
    return tuple(i for i, value in enumerate(rule.scope) if value)


def _range(rule: BudgetRule) -> tuple[datetime, datetime]:
    assert rule.starts_on is not None and rule.ends_on is not None
    return range_bounds(rule.starts_on, rule.ends_on, rule.zone)
