"""Channels, routes and alerts of tests."""

from django.db.models import F
from django.utils import timezone

from budgets.models import Alert, AlertRoute, Channel, Delivery
from budgets.outbox import open_alert
from gateway import alerting

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"


def make_channel(receiver, name="ops", **values):
    channel = Channel(name=name, kind="webhook", config={"url": receiver.url}, **values)
    channel.secret_encrypted = alerting.encrypt(channel, SECRET)
    channel.save()
    return channel


def make_route(*channels, **values):
    route = AlertRoute.objects.create(**{"name": f"r{AlertRoute.objects.count()}", "severity": "info", **values})
    route.channels.set(channels)
    return route


def raise_alert(key="a", kind="test_kind", severity="warning", **values):
    assert open_alert(kind, severity, key, f"summary of {key}", **values)
    return Alert.objects.get(dedup_key=key)


def states(alert, event="trigger"):
    return dict(alert.deliveries.filter(event=event).values_list("channel__name", "state"))


def later():
    """As if all that waits for its time had waited."""
    Delivery.objects.filter(state="pending").update(next_at=timezone.now(), created_at=F("created_at"))
    Channel.objects.update(retry_at=None)
