"""Windows in a transaction of the ledger: which ones a call counts in, how they are made, and what locked ones hold."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, Self

from budgets.rules import BudgetRule, Metric, Place, Rules
from gateway.ledger.operations import Bid, Grant, Row
from gateway.types import ZERO

WindowKey = tuple[int, str, datetime]


class WindowRow(NamedTuple):
    """A window as `lock_windows` reads it; amounts in the metric of its budget, money in US dollars."""

    id: int
    budget_id: int
    value: str
    metric: Metric
    starts_at: datetime
    ends_at: datetime
    rate: Decimal | None
    spent: Decimal
    held: Decimal
    carried: Decimal
    alerted: int


@dataclass(slots=True)
class LockedWindow:
    """A window that this transaction has locked, or decides on as it was left; amounts as in its row.

    `rule` is None where its budget is no longer in force; `limit` is then 0, and nothing is held in it.
    """

    id: int
    value: str
    metric: Metric
    starts_at: datetime
    ends_at: datetime
    rate: Decimal | None
    spent: Decimal
    held: Decimal
    carried: Decimal
    alerted: int
    rule: BudgetRule | None
    limit: Decimal = ZERO
    touched: bool = False
    #: Whether `carried` or `rate` are to be written, which happens once in its life if at all.
    begun: bool = False
    before: Decimal = field(init=False)

    def __post_init__(self) -> None:
        # What counted in it when it was locked, the holds that this transaction takes included.
        self.before = self.spent - self.carried + self.held

    def change(self, *, spent: Decimal = ZERO, held: Decimal = ZERO) -> None:
        self.spent += spent
        self.held += held
        self.touched = True

    def row(self, found: WindowRow) -> WindowRow:
        """The row that is left of the one that was found."""
        return WindowRow(*found[:6], self.rate, self.spent, self.held, self.carried, self.alerted)

    def room(self) -> Decimal:
        """What is left to be held."""
        return max(self.limit - self.spent - self.held, ZERO)


class TakenHold(NamedTuple):
    """A hold that this transaction has deleted: its windows' ids, the amount held in each, the target that it was for;
    its draft row if it moves; its buckets' ids and the tokens that it took of each, None under no rate limit.
    """

    windows: list[int]
    amounts: list[Decimal]
    provider: str
    model: str
    price_id: int | None
    draft: Row | None
    buckets: list[int] | None
    bucket_tokens: int | None

    @classmethod
    def of(cls, grant: Grant) -> Self:
        """The hold as it was granted, with no buckets."""
        bid = grant.bid
        return cls(list(grant.windows), list(grant.amounts), bid.provider, bid.model, bid.price_id, None, None, None)

    def within(self, locked: Container[int]) -> Self:
        """The hold without windows that are not locked, as somebody deleted them."""
        if all(id in locked for id in self.windows):
            return self
        found = [(id, held) for id, held in zip(self.windows, self.amounts, strict=True) if id in locked]
        return self._replace(windows=[id for id, _ in found], amounts=[held for _, held in found])


@dataclass(slots=True)
class Candidate:
    """A bid of a hold with the places that it counts in, and the id of each one's window."""

    bid: Bid
    places: list[Place]
    windows: list[int] = field(default_factory=list)


def locked_window(row: WindowRow, rules: Rules, now: datetime) -> LockedWindow:
    """The window of a row with its budget's rule and its limit at this moment."""
    id, budget_id, value, metric, starts_at, ends_at, rate, spent, held, carried, alerted = row
    rule = rules.by_id.get(budget_id)
    window = LockedWindow(id, value, metric, starts_at, ends_at, rate, spent, held, carried, alerted, rule)
    if rule:
        if rule.is_foreign and window.rate is None:
            window.rate = rules.rate(rule, window.starts_at)
            window.begun = window.rate is not None
        if window.rate or not rule.is_foreign:
            window.limit = rules.limit(rule, value, window.rate, now)
    return window


def new_windows(places: Iterable[Place], rules: Rules) -> list[Row]:
    """Rows of windows that may have to be made."""
    return [
        {
            "budget_id": place.rule.id, "value": place.value, "calendar": place.rule.calendar,
            "starts_at": place.starts_at, "ends_at": place.ends_at, "rate": rules.rate(place.rule, place.starts_at),
        }
        for place in places
    ]  # fmt: skip


def carry(made: Iterable[tuple[int, int]], locked: dict[int, LockedWindow]) -> None:
    """Lets new windows begin with all that counts in those of their budget's earlier calendars that they overlap.

    `made` are pairs of a new window and one that it overlaps. Nobody knows when in the old one it was spent, so all of it
    counts: a budget whose calendar changes lets no more than its limit through in any period. What an old one had carried
    itself is in the windows that it had it from.
    """
    for new, old in made:
        window, amount = locked[new], locked[old].before
        window.carried += amount
        window.change(spent=amount)
        window.begun = True
