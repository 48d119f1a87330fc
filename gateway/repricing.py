"""Corrections of cost after the price book was corrected: adjustments, in batches, never a changed row.

Each batch is a transaction that compares what its calls count by now with what the price book says and books the
difference. So a run that was killed goes on where it stopped, and a second run finds nothing to do.

Windows: an adjustment counts in every window that is still open, that its call counted in (the budget's scope and the
window's value are the call's, and the window was made before it, or took one over that was), and leaves windows that are
over alone: what was refused then is not undone.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from budgets.rules import RaiseRule, RateRule, Rules, Scope
from gateway.ledger import alerts
from gateway.ledger.link import json_rows
from gateway.ledger.operations import Row
from gateway.ledger.partitions import first_id
from gateway.ledger.reading import budget_rule
from gateway.ledger.windows import LockedWindow, locked_window
from gateway.models import Adjustment, Provider, Target
from gateway.models.calls import uuid7_time
from gateway.prices.book import PriceBook
from gateway.prices.reprice import NewCost, Priced, new_cost
from gateway.sql import queries
from gateway.types import TOKEN_PARTS, ZERO, Usage

SQL, LEDGER = queries("reprice.sql"), queries("ledger.sql")
BATCH = 1000
#: A lost call's owner may still be alive and settle it; until then its cost is left alone.
LATE = timedelta(days=1)
#: A window is made by its first call, so by this much after that call began.
FIRST_CALL = timedelta(minutes=1)
#: Key of the advisory lock that lets one run reprice at a time; any number that nothing else takes.
LOCK = 7_065_810_052


class Busy(Exception):
    """Another run is repricing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Which calls: from `since` (inclusive) to `until` (exclusive), of a feature and a model as it was served; empty: all."""

    since: datetime
    until: datetime
    feature: str = ""
    model: str = ""


@dataclass(slots=True)
class Sum:
    """What a day's calls of a model change by. `unpriced` had no cost; `left` are those that cannot be corrected."""

    calls: int = 0
    unpriced: int = 0
    left: int = 0
    before_usd: Decimal = ZERO
    change_usd: Decimal = ZERO


class Correction(NamedTuple):
    """A call's row, its new cost, and what it was corrected by so far."""

    row: Mapping[str, Any]
    new: NewCost
    repriced_usd: Decimal

    @property
    def change_usd(self) -> Decimal:
        return self.new.usd - (self.row["cost_usd"] or ZERO) - self.repriced_usd


def reprice(wanted: Range, *, dry_run: bool, reason: str, actor: str) -> dict[tuple[date, str], Sum]:
    """Books what the calls of the range should cost more or less; returns it by UTC day and model.

    A dry run books nothing. Raises Busy while another run is under way. Not in a transaction of the caller's.
    """
    sums: dict[tuple[date, str], Sum] = defaultdict(Sum)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            raise Busy
    try:
        pricing = _Pricing()
        for rows in _batches(wanted):
            corrections = list(_corrections(rows, pricing, sums))
            if corrections and not dry_run:
                _book(corrections, reason, actor)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
    return sums


def _batches(wanted: Range) -> Iterator[list[dict[str, Any]]]:
    last, end = UUID(int=max(0, first_id(wanted.since).int - 1)), first_id(wanted.until)
    names = [wanted.feature, wanted.feature, wanted.model, wanted.model]
    while True:
        with connection.cursor() as cursor:
            cursor.execute(SQL["calls"], [last, end, *names, BATCH])
            columns = [column.name for column in cursor.description or ()]
            rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
        if rows:
            yield rows
        if len(rows) < BATCH:
            return
        last = rows[-1]["id"]


class _Pricing:
    """The price book, and under which names a call's model may stand in it."""

    def __init__(self) -> None:
        self.book = PriceBook.load()
        self.price_provider = {p.name: p.price_provider or p.name for p in Provider.objects.all()}
        self.targets: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for route, provider, model in Target.objects.values_list("route__name", "provider__name", "model"):
            self.targets[provider].append((route, model))

    def new_cost(self, row: Mapping[str, Any]) -> NewCost | None:
        usage = Usage(**{part: row[part] for part in TOKEN_PARTS})
        priced_at = uuid7_time(row["id"]) + timedelta(milliseconds=row["latency_ms"])
        return new_cost(
            Priced(
                provider=self.price_provider.get(row["provider"], row["provider"]),
                models=self._models(row),
                at=priced_at,
                usage=usage,
                price_id=row["price_id"],
                cost_usd=row["cost_usd"],
            ),
            self.book,
        )

    def _models(self, row: Mapping[str, Any]) -> Sequence[str]:
        """Names under which the call may have been priced, the likeliest first: a row keeps what was served only, which a
        provider may name by its date. Where there was no price, another model's is never taken."""
        targets, served = self.targets[row["provider"]], row["model_served"]
        own = [model for route, model in targets if route == row["route"]]
        likely = [model for model in own if served.startswith(model) or len(own) == 1]
        if served in own:
            likely = [served]
        others = [model for _, model in targets] if row["price_id"] else []
        return list(dict.fromkeys([*likely, served, *others]))


def _corrections(
    rows: list[dict[str, Any]], pricing: _Pricing, sums: dict[tuple[date, str], Sum]
) -> Iterator[Correction]:
    recent = timezone.now() - LATE
    for row in rows:
        day = sums[uuid7_time(row["id"]).date(), f"{row['provider']}/{row['model_served']}"]
        new = pricing.new_cost(row)
        may_be_late = row["outcome"] == "lost" and uuid7_time(row["id"]) > recent
        if new is None or row["settled_late"] or may_be_late:
            day.left += 1
            continue
        found = Correction(row, new, row["repriced_usd"])
        if found.change_usd or (row["cost_usd"] is None and not row["repriced"]):
            day.calls += 1
            day.unpriced += row["cost_usd"] is None and not row["repriced"]
            day.before_usd += (row["cost_usd"] or ZERO) + row["repriced_usd"]
            day.change_usd += found.change_usd
            yield found


def _book(corrections: list[Correction], reason: str, actor: str) -> None:
    """One transaction: locks the windows that move, looks again at what corrects the calls, books the rest."""
    with transaction.atomic(), connection.cursor() as cursor:
        rules = _rules(cursor)
        counted = _windows(corrections, rules, cursor)
        cursor.execute(LEDGER["lock_windows"], [sorted({id for ids in counted.values() for id in ids})])
        rows = cursor.fetchall()
        cursor.execute(SQL["repriced"], [[c.row["id"] for c in corrections]])
        repriced = dict(cursor.fetchall())
        moves: dict[int, Decimal] = defaultdict(Decimal)
        made = []
        for correction in corrections:
            id = correction.row["id"]
            change = correction._replace(repriced_usd=repriced.get(id, ZERO)).change_usd
            if id in repriced and not change:
                continue
            made.append(
                Adjustment(
                    call_id=id,
                    cost_usd=change,
                    price_id=correction.new.price_id,
                    reason=reason,
                    actor=actor,
                )
            )
            for window in counted.get(id, ()):
                moves[window] += change
        Adjustment.objects.bulk_create(made)
        cursor.execute("SELECT now()")
        [(now,)] = cursor.fetchall()
        locked = [locked_window(row, rules, now) for row in rows]
        _move([window for window in locked if window.ends_at > now], moves, cursor)


def _rules(cursor: Any) -> Rules:
    """The budgets that are in force, with their raises and rates."""

    def rows(name: str) -> list[tuple[Any, ...]]:
        cursor.execute(LEDGER[name])
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found

    return Rules(
        revision=None,
        budgets=map(budget_rule, rows("budgets")),
        switches=(),
        raises=[RaiseRule(*row) for row in rows("raises")],
        rates=[RateRule(*row) for row in rows("rates")],
    )


class Stretch(NamedTuple):
    """From when to when calls counted in an open window: its own time, or that of an earlier one that it took over."""

    window: int
    starts_at: datetime
    ends_at: datetime
    made_at: datetime | None

    def has(self, at: datetime) -> bool:
        return self.starts_at <= at < self.ends_at and (self.made_at is None or at >= self.made_at - FIRST_CALL)


def _windows(corrections: list[Correction], rules: Rules, cursor: Any) -> dict[UUID, set[int]]:
    """The open windows that each of these calls counted in. Calls that were never held count in none."""
    cursor.execute(SQL["windows"])
    stretches: dict[tuple[int, str], list[Stretch]] = defaultdict(list)
    for budget, value, *stretch in cursor.fetchall():
        stretches[budget, value].append(Stretch(*stretch))
    counted: dict[UUID, set[int]] = {}
    for row, new, _ in corrections:
        if row["held_usd"] is None:
            continue
        at, found = uuid7_time(row["id"]), dict[int, set[int]]()
        own = (row["feature"], row["tenant"], row["key"], row["user_ref"], row["cohort"])
        # The row has what was served, the window what was asked for: of a budget of each model it is one of the two.
        for model in (new.model, row["model_served"]):
            scope = Scope(*own, model=model, provider=row["provider"])
            for rule in rules.budgets_for(scope):
                # Diverted there, a call leaves the budget alone.
                if rule.on_hard != f"route:{row['route']}" and not found.get(rule.id):
                    of_value = stretches.get((rule.id, rule.value(scope)), ())
                    found[rule.id] = {stretch.window for stretch in of_value if stretch.has(at)}
        counted[row["id"]] = set().union(*found.values())
    return counted


def _move(windows: list[LockedWindow], moves: Mapping[int, Decimal], cursor: Any) -> None:
    """Books the changes in these windows, and tells of thresholds that they cross: the ledger will not see the crossing.

    What a window carries from an earlier one stays as it is noted, as that one, which is over, is left alone.
    """
    told: list[Row] = []
    for window in windows:
        if change := moves.get(window.id):
            window.change(spent=max(change, -window.spent))
            if crossed := alerts.crossed(window):
                told += [alerts.threshold(window, percent) for percent in crossed]
                window.alerted = crossed[-1]
            cursor.execute(SQL["move"], [window.spent, window.alerted, window.id])
    if told:
        cursor.execute(LEDGER["insert_alerts"], [json_rows(told)])
