"""The figures that a channel tells of an alert: what is spent of which limit, until when, the forecast, and who spent most."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from django.db import OperationalError, connection, transaction

from budgets.forecast_words import in_words
from budgets.models import SCOPE_FIELDS, Alert, Budget, Window
from budgets.scopes import split_value
from gateway.ledger.partitions import first_id
from gateway.sql import queries
from gateway.templatetags.tollhouse import amount, rounded

SQL = queries("alerts.sql")
#: A notice does not wait longer for its figures; it goes out without them then.
TIMEOUT_MS = 2000
#: Who spent most is looked for in this time before an alert that has no window.
LOOK_BACK = timedelta(hours=1)
LABELS = {
    "feature": "Most by feature", "tenant": "Most by tenant", "user": "Top callers", "model": "Most by model",
    "version": "Most by prompt version",
}  # fmt: skip
#: How much of a value is shown; of addresses and references the beginning tells them apart.
SHOWN, USUALLY_SHOWN = {"version": 8, "user": 12}, 80
#: What of an alert's detail the summary or another figure tells, or is of use to programs only.
TOLD_ELSEWHERE = {
    "budget", "window", "value", "metric", "spent", "held", "limit", "percent", "on_hard", "starts_at", "ends_at", "link",
    "expected", "low", "high", "runs_out_at", "switch", "scope", "tenant", "until", "reason", "by", "channel", "owner",
    "first_call",
}  # fmt: skip
NAMES = {"running": "Calls under way", "note": "The forecast rests on"}


@dataclass(frozen=True, slots=True)
class Subject:
    """What an alert is about: its budget and window, if it has them, and the scope of its calls. `whole` is False where that
    scope is of more calls than the alert, as those without a tenant cannot be asked for."""

    budget: Budget | None
    window: Window | None
    scope: dict[str, str]
    whole: bool = True


def subject(alert: Alert) -> Subject:
    window = _window(alert)
    budget = window.budget if window else _budget(alert)
    scope = {name: getattr(budget, name) if budget else "" for name in SCOPE_FIELDS}
    values = dict(zip(budget.each, split_value(budget.each, window.value), strict=True)) if budget and window else {}
    own = {"feature": alert.feature, "tenant": alert.tenant}
    scope |= {name: value for name, value in (values | {k: v for k, v in own.items() if v}).items() if value}
    return Subject(budget, window, scope, whole=all(values.values()))


def facts(alert: Alert, about: Subject) -> Iterator[tuple[str, str]]:
    """Label and text of each figure, the most important first."""
    detail = _detail(alert)
    metric = about.budget.metric if about.budget else "usd"
    if found := bar(alert, about):
        yield "Spent", f"{rounded(found[0], metric)} of {amount(found[1], metric)}"
    if held := _decimal(detail.get("held")):
        yield "Held by calls in flight", rounded(held, metric)
    forecast = getattr(about.window, "forecast", None)
    if about.window and forecast and forecast.expected is not None:
        yield (
            "Forecast",
            in_words(forecast, about.window, ZoneInfo(about.window.budget.timezone)).removeprefix("expected "),
        )
    if alert.ends_at and (about.window or "until" in detail):
        zone = ZoneInfo(about.budget.timezone if about.budget else "UTC")
        yield "Until", f"{alert.ends_at.astimezone(zone):%Y-%m-%d %H:%M %Z}"
    for name, value in detail.items():
        if name not in TOLD_ELSEWHERE and isinstance(value, str | int | float) and not isinstance(value, bool):
            yield NAMES.get(name) or name.replace("_", " ").capitalize(), str(value)[:200]
    if about.whole and (about.budget or any(about.scope.values())):
        yield from _biggest(alert, about)


def bar(alert: Alert, about: Subject) -> tuple[Decimal, Decimal] | None:
    """Spent and limit of the alert's window, as the alert knows them or as they are now."""
    limit, spent = (_decimal(_detail(alert).get(name)) for name in ("limit", "spent"))
    if spent is None and about.window:
        spent = about.window.spent
    return (spent, limit) if spent is not None and limit is not None else None


def _biggest(alert: Alert, about: Subject) -> list[tuple[str, str]]:
    """Who and what spent most, by label; nothing where that takes too long to find out."""
    since = about.window.starts_at if about.window else alert.created_at - LOOK_BACK
    bounds = {"first": first_id(since), "last": first_id(alert.created_at + timedelta(seconds=1))}
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {TIMEOUT_MS}")
            cursor.execute(SQL["biggest"], {**about.scope, **bounds})
            rows = cursor.fetchall()
    except OperationalError:
        return []
    found: dict[str, list[str]] = {}
    for part, value, cost in rows:
        if not about.scope.get(part):
            found.setdefault(part, []).append(f"{value[: SHOWN.get(part, USUALLY_SHOWN)]} {rounded(cost, 'usd')}")
    return [(label, ", ".join(found[part])) for part, label in LABELS.items() if part in found]


def _detail(alert: Alert) -> dict[str, Any]:
    return alert.detail if isinstance(alert.detail, dict) else {}


def _budget(alert: Alert) -> Budget | None:
    id = _detail(alert).get("budget")
    return Budget.objects.filter(pk=id).first() if isinstance(id, int) else None


def _window(alert: Alert) -> Window | None:
    id = _detail(alert).get("window")
    return Window.objects.select_related("budget", "forecast").filter(pk=id).first() if isinstance(id, int) else None


def _decimal(value: Any) -> Decimal | None:
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None
