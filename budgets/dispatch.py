"""From the outbox to deliveries: each alert's channels are chosen once, in the transaction that notes that they were."""

from collections.abc import Callable, Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from budgets.models import Alert, AlertRoute, Channel, Delivery
from budgets.routing import Quiet, Route, choose

#: Alerts that one transaction takes.
BATCH = 500
#: Kind of the alert that says that a channel is dead; its detail names the channel, which it is not sent to.
CHANNEL_DEAD = "channel_dead"

Event, State = Delivery.Event, Delivery.State


def plan() -> int:
    """Plans deliveries of all alerts that are new or over; how many alerts those were. Any number of workers may plan."""
    end_overdue()
    return _repeat(_plan_triggers) + _repeat(_plan_resolves)


def end_overdue() -> int:
    """Resolves the alerts whose time is over."""
    overdue = Alert.objects.filter(resolved_at=None, ends_at__lte=Now())
    return overdue.update(resolved_at=F("ends_at"), resolution="Its time is over.")


def acknowledge(alerts: models.QuerySet[Alert], user: str) -> list[Alert]:
    """Notes who looks after these alerts, as far as they are open, and plans to tell it; the alerts that were open."""
    with transaction.atomic():
        found = list(alerts.filter(resolved_at=None, acknowledged_at=None).select_for_update())
        ids = [alert.pk for alert in found]
        Alert.objects.filter(pk__in=ids).update(acknowledged_at=Now(), acknowledged_by=user)
        follow(ids, Event.ACKNOWLEDGE)
    return found


def is_over_unheard() -> Q:
    """Triggers whose alert was resolved before anybody heard of it, and not just because its time was over."""
    resolved_early = Q(alert__ends_at=None) | Q(alert__resolved_at__lt=F("alert__ends_at"))
    return (
        Q(event=Event.TRIGGER, state=State.PENDING, uncertain=False, alert__resolved_at__isnull=False) & resolved_early
    )


def _repeat(step: Callable[[], int]) -> int:
    total = 0
    while count := step():
        total += count
    return total


def _plan_triggers() -> int:
    with transaction.atomic():
        # With the database's time: by it a delivery is due, and a worker's own clock may be wrong.
        waiting = Alert.objects.filter(routed_at=None).annotate(now=Now())
        alerts = list(waiting.order_by("id").select_for_update(skip_locked=True)[:BATCH])
        if not alerts:
            return 0
        # Both are read anew for each batch, so that what was just configured counts.
        channels = {channel.pk: channel for channel in Channel.objects.select_related("fallback")}
        routes = read_routes()
        planned = [row for alert in alerts for row in _deliveries(alert, routes, channels, alert.now)]
        Delivery.objects.bulk_create(planned, ignore_conflicts=True)
        Alert.objects.filter(pk__in=[alert.pk for alert in alerts]).update(routed_at=Now())
        return len(alerts)


def _deliveries(alert: Alert, routes: list[Route], channels: dict[int, Channel], now: datetime) -> Iterable[Delivery]:
    chosen = choose(
        routes, kind=alert.kind, severity=alert.severity, feature=alert.feature, tenant=alert.tenant, at=now
    )
    dead = alert.detail.get("channel") if alert.kind == CHANNEL_DEAD and isinstance(alert.detail, dict) else None
    given: set[int] = set()
    for id, until in chosen.items():
        channel = channels[id]
        stands_in = [channel, *channel.fallbacks()]
        target = next((c.pk for c in stands_in if c.active and c.pk != dead), None)
        if target is not None and target not in given:
            given.add(target)
            yield Delivery(
                alert=alert, channel_id=target, event=Event.TRIGGER, next_at=until or now, held_back=until is not None
            )


def _plan_resolves() -> int:
    with transaction.atomic():
        over = Alert.objects.filter(resolved_at__isnull=False, end_routed_at=None, routed_at__isnull=False)
        ids = list(over.order_by("id").select_for_update(skip_locked=True).values_list("pk", flat=True)[:BATCH])
        if ids:
            follow(ids, Event.RESOLVE)
            Alert.objects.filter(pk__in=ids).update(end_routed_at=Now())
        return len(ids)


def follow(alert_ids: list[int], event: Delivery.Event) -> None:
    """Plans to tell an event wherever the beginning of these alerts was told, or still may be."""
    told = Delivery.objects.filter(
        alert__in=alert_ids, event=Event.TRIGGER, state__in=[State.PENDING, State.SENDING, State.SENT]
    )
    Delivery.objects.bulk_create(
        [Delivery(alert_id=t.alert_id, channel_id=t.channel_id, event=event, trigger=t, next_at=Now()) for t in told],
        ignore_conflicts=True,
    )


def read_routes() -> list[Route]:
    """The active routes, in order."""
    return [
        Route(
            severity=row.severity,
            kinds=tuple(row.kinds),
            features=tuple(row.features),
            tenants=tuple(row.tenants),
            channels=tuple(channel.pk for channel in row.channels.all()),
            goes_on=row.goes_on,
            quiet=_quiet(row),
        )
        for row in AlertRoute.objects.filter(active=True).prefetch_related("channels")
    ]


def _quiet(row: AlertRoute) -> Quiet | None:
    if row.quiet_from is None or row.quiet_until is None:
        return None
    return Quiet(
        start=row.quiet_from,
        end=row.quiet_until,
        zone=ZoneInfo(row.quiet_timezone),
        breaks_through=row.breaks_through,
    )
