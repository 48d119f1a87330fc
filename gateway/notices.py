"""What a channel tells of an alert: its figures, who spent most, and links to the pages where something can be done."""

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from django.db import OperationalError, connection, transaction
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.http import urlencode

from budgets.channels.base import Event, Notice
from budgets.models import SCOPE_FIELDS, Alert, Budget, Channel, Delivery, Window
from budgets.parcels import Parcel
from gateway.conf import settings
from gateway.ledger.partitions import first_id
from gateway.sql import queries
from gateway.templatetags.tollhouse import amount, usd

SQL = queries("alerts.sql")
#: A notice does not wait longer for its figures; it goes out without them then.
TIMEOUT_MS = 2000
#: Who spent most is looked for in this time before an alert that has no window.
LOOK_BACK = timedelta(hours=1)
LABELS = {
    "feature": "Most by feature", "tenant": "Most by tenant", "user": "Top callers", "model": "Most by model",
    "version": "Most by prompt version",
}  # fmt: skip
#: What of an alert's detail is told in a better way, or is of use to programs only.
TOLD_ELSEWHERE = {
    "budget", "window", "value", "metric", "starts_at", "ends_at", "spent", "limit", "link", "channel", "owner", "first_call",
}  # fmt: skip


def notice(parcel: Parcel) -> Notice:
    """What is told of a parcel."""
    alert = parcel.alert
    scope = _scope(alert, _budget(alert))
    at = {Delivery.Event.RESOLVE: alert.resolved_at, Delivery.Event.ACKNOWLEDGE: alert.acknowledged_at}
    many = parcel.count > 1
    return Notice(
        event=cast(Event, parcel.event.value),
        alert_id=alert.pk,
        dedup_key=alert.dedup_key,
        kind=alert.kind,
        severity=parcel.severity,
        summary=f"{parcel.count} alerts of the kind {alert.kind}, first: {alert.summary}" if many else alert.summary,
        at=at.get(parcel.event) or alert.created_at,
        feature="" if many else scope["feature"],
        tenant="" if many else scope["tenant"],
        facts=tuple(_facts(parcel)),
        bar=None if many else _bar(alert),
        links=tuple(_links(alert, scope, many=many)),
        resolution=alert.resolution,
        count=parcel.count,
        reference=parcel.reference,
    )


def test_notice(channel: Channel, user: str) -> Notice:
    """What the button "Send a test" sends."""
    return Notice(
        event="test",
        alert_id=0,
        dedup_key=f"test:{channel.pk}",
        kind="test",
        severity="info",
        summary=f"A test of the channel {channel.name}, sent by {user}. Nothing is wrong.",
        at=timezone.now(),
        links=tuple(_link("Channel", "channel_change", channel.pk)),
    )


def _facts(parcel: Parcel) -> Iterator[tuple[str, str]]:
    alert = parcel.alert
    if parcel.event == Delivery.Event.ACKNOWLEDGE:
        yield "Acknowledged by", alert.acknowledged_by or "someone"
    if parcel.count > 1:
        yield from (("Among them", text) for text in parcel.quoted)
        return
    if parcel.event != Delivery.Event.TRIGGER:
        return
    if alert.resolved_at:
        yield "Over since", f"{alert.resolved_at:%Y-%m-%d %H:%M} UTC"
    budget = _budget(alert)
    if found := _bar(alert):
        metric = budget.metric if budget else "usd"
        yield "Spent", f"{amount(found[0], metric)} of {amount(found[1], metric)}"
    for name, value in alert.detail.items() if isinstance(alert.detail, dict) else ():
        if name not in TOLD_ELSEWHERE and isinstance(value, str | int | float) and not isinstance(value, bool):
            yield name.replace("_", " ").capitalize(), str(value)[:200]
    scope = _scope(alert, budget)
    if budget or any(scope.values()):
        yield from _biggest(alert, scope)


def _scope(alert: Alert, budget: Budget | None) -> dict[str, str]:
    """What the alert is about: the scope of its budget, and the feature and tenant of its own."""
    scope = {name: getattr(budget, name) if budget else "" for name in SCOPE_FIELDS}
    return scope | {name: value for name, value in (("feature", alert.feature), ("tenant", alert.tenant)) if value}


def _biggest(alert: Alert, scope: dict[str, str]) -> list[tuple[str, str]]:
    """Who and what spent most, by label; nothing where that takes too long to find out."""
    since = _window(alert) or alert.created_at - LOOK_BACK
    bounds = {"first": first_id(since), "last": first_id(alert.created_at + timedelta(seconds=1))}
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {TIMEOUT_MS}")
            cursor.execute(SQL["biggest"], {**scope, **bounds})
            rows = cursor.fetchall()
    except OperationalError:
        return []
    found: dict[str, list[str]] = {}
    for part, value, cost in rows:
        if not scope.get(part):
            found.setdefault(part, []).append(f"{value[:80]} {usd(cost)}")
    return [(label, ", ".join(found[part])) for part, label in LABELS.items() if part in found]


def _bar(alert: Alert) -> tuple[Decimal, Decimal] | None:
    """Spent and limit of the alert's window, as the alert knows them or as they are now."""
    detail = alert.detail if isinstance(alert.detail, dict) else {}
    limit, spent = _decimal(detail.get("limit")), _decimal(detail.get("spent"))
    if spent is None and limit is not None and (start := _window(alert)) and isinstance(detail.get("budget"), int):
        windows = Window.objects.filter(budget=detail["budget"], starts_at=start).values_list("spent", flat=True)[:2]
        spent = windows[0] if len(windows) == 1 else None
    return (spent, limit) if spent is not None and limit is not None else None


def _budget(alert: Alert) -> Budget | None:
    id = alert.detail.get("budget") if isinstance(alert.detail, dict) else None
    return Budget.objects.filter(pk=id).first() if isinstance(id, int) else None


def _window(alert: Alert) -> datetime | None:
    """When the window began that the alert is about; None where it is about none."""
    value = alert.detail.get("starts_at") if isinstance(alert.detail, dict) else None
    with contextlib.suppress(ValueError):
        found = parse_datetime(value) if isinstance(value, str) else None
        return found if found is None or found.tzinfo else None
    return None


def _decimal(value: Any) -> Decimal | None:
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _links(alert: Alert, scope: dict[str, str], *, many: bool) -> Iterator[tuple[str, str]]:
    if many:
        yield from _link("Alerts", "alert_changelist", query={"kind__exact": alert.kind})
        return
    yield from _link("Alert", "alert_change", alert.pk)
    named = {name: scope[name] for name in ("feature", "tenant") if scope[name]}
    if scope["feature"]:
        yield from _link("Spend", "feature_spend", scope["feature"], app="tollhouse_gateway")
    if named:
        calls = {**named, "period": "24h"}
        yield from _link("Calls", "call_changelist", app="tollhouse_gateway", query=calls)
        name, value = next(iter(named.items()))
        yield from _link("Switch off", "switch_add", query={"scope": name, "value": value, "alert": str(alert.pk)})


def _link(
    label: str, page: str, *args: int | str, app: str = "tollhouse_budgets", query: dict[str, str] | None = None
) -> Iterator[tuple[str, str]]:
    """A link to a page of the admin; none without PUBLIC_URL, or in a project without that page."""
    base = settings().PUBLIC_URL.rstrip("/")
    with contextlib.suppress(NoReverseMatch):
        path = reverse(f"admin:{app}_{page}", args=args)
        if base:
            yield label, f"{base}{path}{'?' + urlencode(query) if query else ''}"
