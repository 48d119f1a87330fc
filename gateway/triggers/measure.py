"""What a switch rule measures now, from the newest calls and the price book; bounded in time, and without effects."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from statistics import median
from typing import Any

from django.db import OperationalError, connection, transaction

from budgets.models import SwitchTrigger
from gateway.ledger.partitions import first_id
from gateway.models import Feature, Price, Provider, Revision, Target
from gateway.prices.book import PriceBook, Quote
from gateway.prices.rates import MILLION
from gateway.sql import queries
from gateway.switches import database_now

SQL = queries("triggers.sql")
#: A measurement that takes longer is given up.
TIMEOUT_MS = 2_000
#: Spend is compared with the median of the same time in so many weeks before, of which so many must have had any.
WEEKS, LEAST_WEEKS = 4, 2
#: The change of a price that was nothing before.
ENDLESS = Decimal(1_000_000)

Condition, Scope = SwitchTrigger.Condition, SwitchTrigger.Scope


class TookTooLong(Exception):
    """The measurement was given up after TIMEOUT_MS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured for one name. `amount` is in the condition's unit, None where there is too little to tell;
    `occasion` is what it belongs to where that never comes again.
    """

    value: str
    amount: Decimal | None
    words: str
    over: bool
    occasion: str = ""


def measure(trigger: SwitchTrigger) -> list[Measured]:
    """What the rule measures now, for every name that it is for and that has something to measure. Raises TookTooLong."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = %s", [TIMEOUT_MS])
            found = list(_measured(trigger, database_now()))
            cursor.execute("SET LOCAL statement_timeout TO DEFAULT")
    except OperationalError as error:
        if "statement timeout" in str(error):
            raise TookTooLong from None
        raise
    return found


def names(trigger: SwitchTrigger) -> list[str]:
    """The configured names that the rule is for; one that is empty for everything."""
    known: dict[str, Any] = {
        Scope.FEATURE: Feature.objects.values_list("slug", flat=True),
        Scope.MODEL: Target.objects.values_list("model", flat=True).distinct(),
        Scope.PROVIDER: Provider.objects.values_list("name", flat=True),
        Scope.EVERYTHING: [""],
    }
    return sorted(name for name in known[trigger.scope] if fnmatchcase(name, trigger.value))


def _measured(trigger: SwitchTrigger, now: datetime) -> Iterator[Measured]:
    if trigger.condition == Condition.PRICE_CHANGE_PERCENT:
        return _price_changes(trigger, now)
    if trigger.condition == Condition.SPEND_TIMES:
        return _spend(trigger, now)
    return _calls(trigger, now)


def _calls(trigger: SwitchTrigger, now: datetime) -> Iterator[Measured]:
    over_time = f"in {trigger.minutes} min"
    since = first_id(now - timedelta(minutes=trigger.minutes))
    by_feature = trigger.scope in (Scope.FEATURE, Scope.EVERYTHING)
    rows = _rows(
        "feature_calls" if by_feature else "target_calls", since=since, names=names(trigger),
        whole=trigger.scope == Scope.EVERYTHING, by_provider=trigger.scope == Scope.PROVIDER,
    )  # fmt: skip
    for subject, failed, calls, p95_ms, timed in rows:
        if trigger.condition == Condition.ERROR_PERCENT:
            count, amount = calls, Decimal(100 * failed) / calls
            words = f"{amount:.1f} % of {calls} calls failed {over_time}"
        else:
            count, amount = timed, Decimal(str(p95_ms or 0))
            words = f"95 % of {timed} calls took up to {amount:.0f} ms {over_time}"
        enough = count >= trigger.min_calls
        words += "" if enough else f", too few to tell (at least {trigger.min_calls})"
        yield Measured(
            value=subject, amount=amount if enough else None, words=words, over=enough and amount > trigger.above
        )


def _spend(trigger: SwitchTrigger, now: datetime) -> Iterator[Measured]:
    length = timedelta(minutes=trigger.minutes)
    weeks: list[dict[str, Decimal]] = []
    for week in range(WEEKS + 1):
        until = now - timedelta(weeks=week)
        rows = _rows(
            "spend", scope=trigger.scope, names=names(trigger), since=first_id(until - length), until=first_id(until)
        )
        weeks.append(dict(rows))
    for value, usd in weeks[0].items():
        before = [spent for spent in (week.get(value) for week in weeks[1:]) if spent]
        words = f"${usd:.2f} spent in {trigger.minutes} min"
        amount = None
        if len(before) < LEAST_WEEKS:
            words += f"; nothing to compare with yet ({len(before)} of the last {WEEKS} weeks)"
        elif usd < trigger.min_usd:
            words += f", too little to tell (at least ${trigger.min_usd.normalize():f})"
        else:
            amount = usd / median(before)
            words += f", {amount:.1f} times the usual ${median(before):.2f}"
        yield Measured(value=value, amount=amount, words=words, over=amount is not None and amount > trigger.above)


def _price_changes(trigger: SwitchTrigger, now: datetime) -> Iterator[Measured]:
    """Changes of prices of configured targets since the rule was made, by the rows that calls are billed with."""
    book = _book(Revision.objects.filter(name="prices").values_list("value", flat=True).first())
    fitting = set(names(trigger))
    for target in Target.objects.select_related("provider").order_by("provider__name", "model"):
        provider = target.provider.price_provider or target.provider.name
        newest, before, *_ = [*book.ranked(provider, target.model, now), None, None]
        if newest is None or before is None or not _since(newest, trigger.created_at):
            continue
        amount, words = _change(before, newest)
        for value in _subjects(trigger, target) & fitting:
            yield Measured(
                value=value, amount=amount, words=f"price of {target}: {words}", over=amount > trigger.above,
                occasion=f"price {newest.id}",
            )  # fmt: skip


def _subjects(trigger: SwitchTrigger, target: Target) -> set[str]:
    """What the rule would switch off for a target's sake."""
    if trigger.scope == Scope.FEATURE:
        return set(Feature.objects.filter(route=target.route_id).values_list("slug", flat=True))
    return {{Scope.MODEL: target.model, Scope.PROVIDER: target.provider.name}.get(Scope(trigger.scope), "")}


def _since(quote: Quote, at: datetime) -> bool:
    """Whether the price came into force after that moment."""
    return quote.effective_from >= at or Price.objects.filter(id=quote.id, created_at__gte=at).exists()


def _change(before: Quote, after: Quote) -> tuple[Decimal, str]:
    """By how many percent the rate moved that moved most, up or down, and in words."""
    old, new = before.rates.level(0).usd_per_token, after.rates.level(0).usd_per_token
    part = max((part for part in new if part in old), key=lambda part: _percent(old[part], new[part]))
    percent = _percent(old[part], new[part])
    return percent, (
        f"{part} from ${(old[part] * MILLION).normalize():f} to ${(new[part] * MILLION).normalize():f} a million tokens, "
        f"{percent.normalize():.0f} %"
    )


def _percent(old: Decimal, new: Decimal) -> Decimal:
    if old == new:
        return Decimal(0)
    return abs(new - old) / old * 100 if old else ENDLESS


@lru_cache(maxsize=1)
def _book(revision: int | None) -> PriceBook:
    """The price book of that revision; thousands of rows, which few changes make worth reading again."""
    return PriceBook.load()


def _rows(query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(SQL[query], parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found
