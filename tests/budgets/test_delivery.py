"""Alerts reach a channel once, in order, and are never lost."""

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from budgets.dispatch import acknowledge, plan
from budgets.models import Alert, Channel, Delivery
from budgets.outbox import resolve_alert
from gateway import alerting
from tests.budgets.channels.receiver import MailServer, in_thread
from tests.budgets.deliveries import SECRET, later, make_channel, make_route, raise_alert, states
from tests.server import ROOT, environment

pytestmark = pytest.mark.django_db(transaction=True)

WORKER = "import django; django.setup(); from gateway import alerting; alerting.plan(); alerting.courier().deliver()"


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


def test_a_worker_whose_clock_is_ahead_puts_nothing_off(receiver, monkeypatch):
    right = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: right() + timedelta(hours=1))
    make_route(make_channel(receiver))
    raise_alert()
    alerting.deliver()
    assert [event for event, _ in receiver.told] == ["triggered"]


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


def test_an_email_that_is_refused_to_one_of_two_is_sent_in_part(settings, admin_client):
    with in_thread(MailServer()) as mail_server:
        mail_server.replies["<finance@example.com>"] = "550 no such user"
        options = {"host": "127.0.0.1", "port": mail_server.port}
        settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": options}}
        to = {"to": ["oncall@example.com", "finance@example.com"], "from": "gate@example.com"}
        channel = Channel.objects.create(name="mail", kind="email", config=to)
        make_route(channel)
        alert = raise_alert()
        alerting.deliver()
        later()
        alerting.deliver()
    assert len(mail_server.letters) == 1 and states(alert) == {"mail": "sent"}
    told = "for 1 of 2 recipients. Refused: finance@example.com (550 no such user)"
    channel.refresh_from_db()
    assert told in channel.last_error and channel.failing_since is None
    for page in ("alert_change", "delivery_changelist"):
        path = reverse(f"admin:tollhouse_budgets_{page}", args=[alert.pk] if page == "alert_change" else [])
        shown = admin_client.get(path).content.decode()
        assert '<span class="th-pill warn">sent in part</span>' in shown and told in shown


def test_without_a_route_nothing_is_sent_and_nothing_waits(receiver):
    make_channel(receiver)
    alert = raise_alert()
    alerting.deliver()
    alert.refresh_from_db()
    assert alert.routed_at and not Delivery.objects.exists()
