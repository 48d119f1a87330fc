"""What a channel tells of an alert: its figures, who spent most, and links to the pages where something can be done."""

import contextlib
from collections.abc import Iterator
from typing import cast

from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.http import urlencode

from budgets.channels.base import Event, Notice
from budgets.models import Alert, Channel, Delivery
from budgets.parcels import Parcel
from gateway.conf import settings
from gateway.notice_facts import Subject, bar, facts, subject

#: Kinds of alerts that a raise of their budget answers.
RAISABLE = ("budget_threshold", "budget_exhausted")


def notice(parcel: Parcel) -> Notice:
    """What is told of a parcel."""
    alert = parcel.alert
    about = subject(alert)
    scope = about.scope
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
        facts=tuple(_facts(parcel, about)),
        bar=None if many else bar(alert, about),
        links=tuple(_links(parcel, scope)),
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


def _facts(parcel: Parcel, about: Subject) -> Iterator[tuple[str, str]]:
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
    yield from facts(alert, about)


def _links(parcel: Parcel, scope: dict[str, str]) -> Iterator[tuple[str, str]]:
    alert = parcel.alert
    if parcel.count > 1:
        yield from _link("Alerts", "alert_changelist", query={"kind__exact": alert.kind})
        return
    yield from _link("Alert", "alert_change", alert.pk)
    named = {name: scope[name] for name in ("feature", "tenant") if scope[name]}
    if scope["feature"]:
        yield from _link("Spend", "feature_spend", scope["feature"], app="tollhouse_gateway")
    if named:
        yield from _link("Calls", "call_changelist", app="tollhouse_gateway", query={**named, "period": "24h"})
    if parcel.event != Delivery.Event.RESOLVE:
        yield from _remedies(alert, named)


def _remedies(alert: Alert, named: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Where somebody can do something about it: lift a switch, raise a budget, switch off what is `named`."""
    detail = alert.detail if isinstance(alert.detail, dict) else {}
    if alert.kind == "switch":
        if isinstance(detail.get("switch"), int):
            yield from _link("Lift", "switch_lift", query={"id": str(detail["switch"])})
        return
    if alert.kind in RAISABLE and isinstance(detail.get("budget"), int) and isinstance(detail.get("window"), int):
        yield from _link("Raise the budget", "budget_raise", detail["budget"], query={"window": str(detail["window"])})
    if named:
        name, value = next(iter(named.items()))
        rest = {"tenant": named["tenant"]} if len(named) > 1 else {}
        yield from _link(
            "Switch off", "switch_add", query={"scope": name, "value": value, **rest, "alert": str(alert.pk)}
        )


def _link(
    label: str, page: str, *args: int | str, app: str = "tollhouse_budgets", query: dict[str, str] | None = None
) -> Iterator[tuple[str, str]]:
    """A link to a page of the admin; none without PUBLIC_URL, or in a project without that page."""
    base = settings().PUBLIC_URL.rstrip("/")
    with contextlib.suppress(NoReverseMatch):
        path = reverse(f"admin:{app}_{page}", args=args)
        if base:
            yield label, f"{base}{path}{'?' + urlencode(query) if query else ''}"
