"""Alerts reach a channel once, in order, and are never lost."""

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.db.models import F
from django.utils import timezone

from budgets.dispatch import acknowledge, plan
from budgets.models import Alert, AlertRoute, Channel, Delivery
from budgets.outbox import open_alert, resolve_alert
from gateway import alerting
from tests.alert_receiver import AlertReceiver
from tests.server import ROOT, environment

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"


@pytest.fixture
def receiver():
    with AlertReceiver() as found:
        yield found


@pytest.fixture
def other():
    with AlertReceiver() as found:
        yield found


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


def test_an_alert_is_told_once_and_so_is_its_end(receiver):
    make_route(make_channel(receiver))
    alert = raise_alert()
    for _ in range(3):
        alerting.deliver()
    assert receiver.told == [("triggered", alert.pk)]
    delivery = alert.deliveries.get()
    assert (delivery.state, delivery.status, delivery.attempts, delivery.answer) == ("sent", 200, 1, "noted")
    resolve_alert("a", "the switch was lifted")
    for _ in range(3):
        alerting.deliver()
    assert receiver.told == [("triggered", alert.pk), ("resolved", alert.pk)]
    assert receiver.got[1]["data"]["resolution"] == "the switch was lifted"
    assert receiver.got[0]["data"]["dedup_key"] == receiver.got[1]["data"]["dedup_key"] == "a"


def test_many_workers_at_once_tell_each_alert_once(receiver):
    make_route(make_channel(receiver))
    # Five kinds with few of each, so that nothing is told as a group.
    alerts = [raise_alert(f"k{n}", kind=f"kind{n % 5}") for n in range(20)]

    def work(_):
        try:
            for _ in range(5):
                alerting.deliver()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert sorted(id for _, id in receiver.told) == sorted(alert.pk for alert in alerts)
    assert set(Delivery.objects.values_list("state", "attempts")) == {("sent", 1)}


def test_many_planners_at_once_make_one_row_for_each(receiver):
    make_route(make_channel(receiver), make_channel(receiver, "second"))
    for n in range(50):
        raise_alert(f"k{n}")

    def work(_):
        try:
            return plan()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 50
    assert Delivery.objects.count() == 100


WORKER = "import django; django.setup(); from gateway import alerting; alerting.plan(); alerting.courier().deliver()"


def test_a_worker_killed_between_sending_and_noting_it_leaves_one_row_and_the_same_key(receiver):
    channel = make_channel(receiver)
    make_route(channel)
    alert = raise_alert()
    receiver.held = True
    worker = subprocess.Popen([sys.executable, "-c", WORKER], cwd=ROOT, env=environment())
    try:
        assert receiver.arrived.wait(60)
    finally:
        worker.kill()
        worker.wait()
    receiver.held = False
    assert states(alert) == {"ops": "sending"}
    alerting.deliver()
    assert len(receiver.got) == 1, "the lease of the dead worker is respected"
    Channel.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    alerting.deliver()
    assert receiver.told == [("triggered", alert.pk)] * 2
    assert receiver.got[0]["data"]["dedup_key"] == receiver.got[1]["data"]["dedup_key"]
    assert receiver.headers[0]["webhook-id"] == receiver.headers[1]["webhook-id"]
    assert states(alert) == {"ops": "sent"} and Delivery.objects.count() == 1


def test_an_alert_that_ends_while_a_dead_worker_was_telling_it_is_told_first(receiver):
    make_route(make_channel(receiver))
    alert = raise_alert()
    plan()
    Delivery.objects.update(state="sending")
    resolve_alert("a", "over")
    alerting.deliver()
    assert receiver.told == [("triggered", alert.pk), ("resolved", alert.pk)]


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


def test_what_was_over_before_anybody_heard_of_it_is_not_told(receiver):
    make_route(make_channel(receiver))
    receiver.usual = 500
    alert = raise_alert(ends_at=timezone.now() + timedelta(hours=1))
    alerting.deliver()
    receiver.usual = 200
    resolve_alert("a", "the switch was lifted")
    later()
    alerting.deliver()
    assert len(receiver.got) == 1
    assert states(alert) == {"ops": "superseded"} == states(alert, "resolve")


def test_what_may_have_been_heard_is_told_in_full(receiver):
    """The other side took the request and no answer came: it may know of the alert, so it must hear of its end."""
    channel = make_channel(receiver)
    channel.config["timeout_s"] = 0.2
    channel.secret_encrypted = alerting.encrypt(channel, SECRET)
    channel.save()
    make_route(channel)
    receiver.held = True
    alert = raise_alert()
    alerting.deliver()
    assert alert.deliveries.get().uncertain and receiver.told == [("triggered", alert.pk)]
    receiver.held = False
    resolve_alert("a", "over")
    later()
    alerting.deliver()
    assert receiver.told == [("triggered", alert.pk)] * 2 + [("resolved", alert.pk)]


def test_a_refused_connection_was_surely_not_heard(receiver):
    channel = make_channel(receiver)
    channel.config = {"url": "http://127.0.0.1:1/hook"}
    channel.secret_encrypted = alerting.encrypt(channel, SECRET)
    channel.save()
    make_route(channel)
    alert = raise_alert()
    alerting.deliver()
    delivery = alert.deliveries.get()
    assert (delivery.state, delivery.status, delivery.uncertain) == ("pending", None, False)
    assert "127.0.0.1" in delivery.answer


def test_an_alert_ends_by_itself_and_that_is_told_after_it(receiver):
    make_route(make_channel(receiver))
    alert = raise_alert(ends_at=timezone.now() - timedelta(minutes=1))
    alerting.deliver()
    alert.refresh_from_db()
    assert alert.resolved_at == alert.ends_at and alert.resolution
    assert receiver.told == [("triggered", alert.pk), ("resolved", alert.pk)]


def test_who_looks_after_it_is_told_where_it_was_told(receiver):
    make_route(make_channel(receiver))
    alert = raise_alert()
    alerting.deliver()
    assert acknowledge(Alert.objects.all(), "ada") == [alert]
    assert acknowledge(Alert.objects.all(), "bob") == []
    alerting.deliver()
    assert receiver.told == [("triggered", alert.pk), ("acknowledged", alert.pk)]
    assert {"label": "Acknowledged by", "value": "ada"} in receiver.got[1]["data"]["facts"]
    alert.refresh_from_db()
    assert alert.acknowledged_by == "ada" and alert.state == "acknowledged"


def test_ten_thousand_of_a_kind_are_few_messages(receiver):
    make_route(make_channel(receiver))
    Alert.objects.bulk_create(
        Alert(kind="budget_threshold", severity="warning", dedup_key=f"t{n}", summary=f"tenant {n}")
        for n in range(10_000)
    )
    alerting.deliver()
    assert len(receiver.got) == 1
    told = receiver.got[0]["data"]
    assert told["count"] == 10_000 and "10000 alerts" in told["summary"]
    assert Delivery.objects.filter(state="sent", group__isnull=False).count() == 10_000
    # Its end is told once, when the last of them is over.
    Alert.objects.exclude(dedup_key="t17").update(resolved_at=timezone.now())
    alerting.deliver()
    assert len(receiver.got) == 1
    resolve_alert("t17", "over")
    alerting.deliver()
    assert [event for event, _ in receiver.told] == ["triggered", "resolved"]
    assert receiver.got[0]["data"]["dedup_key"] == receiver.got[1]["data"]["dedup_key"] == "t0"


def test_after_five_messages_of_a_kind_the_rest_of_the_minute_is_told_together(receiver):
    make_route(make_channel(receiver))
    for n in range(9):
        raise_alert(f"k{n}")
        alerting.deliver()
    raise_alert("other", kind="other")
    alerting.deliver()
    assert len(receiver.got) == 6 and receiver.got[-1]["data"]["kind"] == "other"
    Delivery.objects.filter(state="sent").update(sent_at=F("sent_at") - timedelta(minutes=1))
    later()
    alerting.deliver()
    assert [body["data"]["count"] for body in receiver.got] == [1] * 6 + [4]
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}


def test_what_quiet_hours_held_back_is_told_together_when_they_end(receiver):
    now = timezone.now()
    quiet = {"quiet_from": (now - timedelta(hours=1)).time(), "quiet_until": (now + timedelta(hours=1)).time()}
    make_route(make_channel(receiver), **quiet)
    alerts = [raise_alert(f"k{n}") for n in range(3)]
    loud = raise_alert("loud", severity="critical")
    alerting.deliver()
    assert receiver.told == [("triggered", loud.pk)]
    waiting = Delivery.objects.filter(state="pending")
    assert {round((d.next_at - now).total_seconds() / 60) for d in waiting} == {60}
    # One that is over by then, as its time was, is told with the others; one whose reason is gone is not.
    Alert.objects.filter(pk=alerts[0].pk).update(ends_at=now)
    resolve_alert("k1", "lifted")
    later()
    alerting.deliver()
    assert [body["data"]["count"] for body in receiver.got] == [1, 2]
    assert states(alerts[1]) == {"ops": "superseded"}


def test_the_worker_delivers_within_its_time(receiver):
    make_route(make_channel(receiver))
    worker = subprocess.Popen([sys.executable, "manage.py", "worker"], cwd=ROOT, env=environment())
    try:
        alert = raise_alert()
        assert receiver.arrived.wait(60)
        worker.terminate()
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()
    assert receiver.told == [("triggered", alert.pk)] and states(alert) == {"ops": "sent"}


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


def test_secrets_are_in_no_answer_and_no_log(receiver, caplog):
    caplog.set_level(logging.DEBUG)
    receiver.text = f"you sent {SECRET} to me"
    receiver.usual = 500
    make_route(make_channel(receiver))
    alert = raise_alert()
    alerting.deliver()
    delivery, channel = alert.deliveries.get(), Channel.objects.get()
    assert "you sent" in delivery.answer
    for text in (delivery.answer, channel.last_error, caplog.text, channel.secret_encrypted):
        assert SECRET not in text and SECRET.removeprefix("whsec_") not in text


def test_without_a_route_nothing_is_sent_and_nothing_waits(receiver):
    make_channel(receiver)
    alert = raise_alert()
    alerting.deliver()
    alert.refresh_from_db()
    assert alert.routed_at and not Delivery.objects.exists()
