"""Somebody sets a channel up, tries it, routes alerts there, and follows one to its end."""

import threading

import pytest
from django.db import connections

from budgets.models import AlertRoute, Channel
from budgets.outbox import open_alert
from gateway import alerting
from tests.alert_receiver import AlertReceiver

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"


@pytest.fixture
def receiver():
    with AlertReceiver() as found:
        yield found


def deliver():
    """As a worker does; in a thread of its own, as this one has the browser's event loop."""

    def work():
        try:
            alerting.deliver()
        finally:
            connections.close_all()

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()


def test_a_channel_is_set_up_tried_and_routed_to(visitor, receiver):
    page = visitor.page
    visitor.open("/admin/tollhouse_budgets/channel/add/", "channel-add")
    page.fill("#id_name", "ops")
    page.select_option("#id_kind", "webhook")
    page.fill("#id_config", f'{{"url": "{receiver.url}"}}')
    page.fill("#id_secret", "nonsense")
    visitor.go("input[name=_save]")
    visitor.look("channel-mistake")
    assert "The secret is whsec_" in page.inner_text("#content")
    page.fill("#id_secret", SECRET)
    visitor.go("input[name=_continue]")
    visitor.look("channel-page")
    assert SECRET not in page.content()
    page.select_option("select[name=CHANGE_FORM-action]", "send_test")
    visitor.go("button:text-is('Run')")
    visitor.look("channel-tested")
    assert "The channel ops took the test (status 200): noted" in page.inner_text("body")
    assert receiver.told == [("test", 0)]

    visitor.open("/admin/tollhouse_budgets/alertroute/add/", "alert-route-add")
    page.fill("#id_name", "all")
    page.check("#id_channels input")
    visitor.go("input[name=_save]")
    visitor.look("alert-routes")
    assert [channel.name for channel in AlertRoute.objects.get().channels.all()] == ["ops"]

    open_alert("budget_threshold", "warning", "b:1", "70% of the day's budget is spent.", feature="support.reply")
    deliver()
    visitor.open("/admin/tollhouse_budgets/alert/", "alerts")
    visitor.go("#result_list tbody th a")
    visitor.look("alert-page")
    assert "noted" in page.inner_text("#content") and "Switch feature" in page.content()
    page.select_option("select[name=CHANGE_FORM-action]", "acknowledge")
    visitor.go("button:text-is('Run')")
    visitor.look("alert-acknowledged")
    deliver()
    assert [event for event, _ in receiver.told] == ["test", "triggered", "acknowledged"]
    visitor.open("/admin/tollhouse_budgets/delivery/", "deliveries")

    Channel.objects.update(failing_since="2026-01-01T00:00Z", dead_since="2026-01-01T00:10Z", last_error="status 503")
    visitor.open("/admin/", "overview-dead-channel")
    assert "Alerts do not arrive" in page.inner_text("#content")
