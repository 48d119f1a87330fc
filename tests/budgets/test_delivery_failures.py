"""Channels that are slow, refuse, are away or badly set up: nothing is lost, and others step in."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from budgets.dispatch import plan
from budgets.models import Alert, Channel, Delivery
from budgets.outbox import resolve_alert
from gateway import alerting
from tests.budgets.deliveries import later, make_channel, make_route, raise_alert, states

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_429_is_waited_for_as_long_as_it_says(receiver):
    channel = make_channel(receiver)
    make_route(channel)
    receiver.answers = [(429, {"Retry-After": "120"})]
    alert = raise_alert()
    alerting.deliver()
    delivery = alert.deliveries.get()
    assert (delivery.state, delivery.status) == ("pending", 429)
    wait = (delivery.next_at - timezone.now()).total_seconds()
    assert 60 < wait <= 122
    raise_alert("b")
    alerting.deliver()
    assert len(receiver.got) == 1, "others do not go to a channel that asked for patience either"
    channel.refresh_from_db()
    assert channel.failures == 0 and channel.failing_since and not channel.dead_since
    later()
    alerting.deliver()
    assert [event for event, _ in receiver.told] == ["triggered"] * 3
    channel.refresh_from_db()
    assert channel.last_ok_at and channel.failing_since is None and channel.last_error == ""


def test_errors_are_tried_again_with_growing_pauses(receiver):
    make_route(make_channel(receiver))
    receiver.usual = 500
    alert = raise_alert()
    pauses = []
    for _ in range(6):
        alerting.deliver()
        delivery = alert.deliveries.get()
        assert (delivery.state, delivery.status) == ("pending", 500)
        pauses.append((delivery.next_at - timezone.now()).total_seconds())
        later()
    assert pauses[5] > 4 * pauses[1] and pauses[5] <= 64
    receiver.usual = 200
    alerting.deliver()
    assert states(alert) == {"ops": "sent"} and alert.deliveries.get().attempts == 7


def test_nothing_is_lost_when_the_other_side_is_down_for_an_hour(receiver):
    channel = make_channel(receiver)
    make_route(channel)
    receiver.usual = 503
    alerts = []
    for minute in range(60):
        alerts.append(raise_alert(f"m{minute}", kind=f"kind{minute % 20}"))
        alerting.deliver()
        Channel.objects.update(failing_since=F("failing_since") - timedelta(minutes=1))
        later()
    channel.refresh_from_db()
    assert channel.dead_since is not None and receiver.told
    receiver.usual = 200
    receiver.got.clear()
    for _ in range(4):
        later()
        alerting.deliver()
    told = {id for _, id in receiver.told}
    assert len(receiver.told) == len(told) == 60
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    channel.refresh_from_db()
    assert channel.dead_since is None
    assert Alert.objects.get(kind="channel_dead").resolution == "ops takes messages again."


def test_a_dead_channel_falls_over_and_is_told_of_elsewhere(receiver, other):
    stand_in = make_channel(other, "stand-in")
    channel = make_channel(receiver, fallback=stand_in)
    make_route(channel)
    receiver.usual = 410
    alert = raise_alert()
    alerting.deliver()
    alerting.deliver()
    assert states(alert) == {"ops": "failed", "stand-in": "sent"}
    assert alert.deliveries.get(channel=channel).answer.startswith("Fell over to stand-in.")
    dead = Alert.objects.get(kind="channel_dead")
    assert dead.severity == "critical" and "its messages go to stand-in" in dead.summary
    assert states(dead) == {"stand-in": "sent"}
    # The next one does not wait for the dead channel, which is not asked again before its time.
    second = raise_alert("b")
    alerting.deliver()
    alerting.deliver()
    assert len(receiver.got) == 1 and states(second) == {"ops": "failed", "stand-in": "sent"}
    # Nor is the end of an alert told where its beginning was not.
    resolve_alert("a", "over")
    alerting.deliver()
    assert receiver.told == [("triggered", alert.pk)] and ("resolved", alert.pk) in other.told
    # A probe finds it alive again.
    receiver.usual = 200
    Channel.objects.update(retry_at=None)
    third = raise_alert("c")
    alerting.deliver()
    assert states(third) == {"ops": "sent"}
    dead.refresh_from_db()
    assert dead.resolved_at


def test_an_end_planned_before_a_fall_over_follows_to_the_stand_in(receiver, other):
    channel = make_channel(receiver, fallback=make_channel(other, "stand-in"))
    make_route(channel)
    receiver.usual = 500
    alert = raise_alert(ends_at=timezone.now() - timedelta(seconds=1))
    plan()
    assert states(alert, "resolve") == {"ops": "pending"}
    Channel.objects.filter(pk=channel.pk).update(failures=7)
    for _ in range(3):
        alerting.deliver()
    events = [event for event, id in other.told if id == alert.pk]
    assert events == ["triggered", "resolved"]


def test_two_channels_that_fail_hand_nothing_in_circles(receiver, other):
    first, second = make_channel(receiver), make_channel(other, "second")
    make_route(first)
    Channel.objects.filter(pk=first.pk).update(fallback=second)
    Channel.objects.filter(pk=second.pk).update(fallback=first)
    receiver.usual = other.usual = 410
    alert = raise_alert()
    for _ in range(4):
        alerting.deliver()
        later()
    assert states(alert) == {"ops": "failed", "second": "pending"}


def test_what_a_lone_channel_with_a_bad_address_cannot_take_waits_until_it_is_mended(receiver):
    make_route(make_channel(receiver))
    receiver.usual = 410
    alert = raise_alert()
    alerting.deliver()
    assert Channel.objects.get().dead_since and states(alert) == {"ops": "pending"}
    receiver.usual = 200
    later()
    alerting.deliver()
    assert states(alert) == {"ops": "sent"} and ("triggered", alert.pk) in receiver.told


def test_an_inactive_channel_hands_over_what_waits(receiver, other):
    stand_in = make_channel(other, "stand-in")
    channel, lone = make_channel(receiver, fallback=stand_in), make_channel(receiver, "lone")
    make_route(channel, lone)
    alert = raise_alert()
    plan()
    Channel.objects.filter(pk__in=[channel.pk, lone.pk]).update(active=False)
    alerting.deliver()
    assert states(alert) == {"ops": "failed", "lone": "superseded", "stand-in": "sent"} and not receiver.got


def test_a_message_that_is_never_taken_does_not_stop_the_others(receiver):
    make_route(make_channel(receiver))
    receiver.answers = [500]
    first = raise_alert("a", kind="odd")
    alerting.deliver()
    later()
    second = raise_alert("b")
    receiver.answers = [200, 500]
    alerting.deliver()
    assert (states(first), states(second)) == ({"ops": "pending"}, {"ops": "sent"})


def test_what_cannot_be_decrypted_is_said_and_not_sent(receiver):
    channel = make_channel(receiver)
    make_route(channel)
    Channel.objects.update(config={"url": receiver.url + "?other"})
    alert = raise_alert()
    alerting.deliver()
    delivery = alert.deliveries.get()
    assert delivery.state == "pending" and "enter it again" in delivery.answer and not receiver.got
    assert Channel.objects.get().dead_since and Alert.objects.filter(kind="channel_dead").exists()
    # Nobody refused the message, so it waits until the set-up is right.
    Channel.objects.update(config={"url": receiver.url})
    later()
    alerting.deliver()
    assert receiver.told == [("triggered", alert.pk)]
