"""Channels, routes and alerts in the admin: secrets go in and never out, tests show the answer, changes are audited."""

import logging

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.urls import reverse

from budgets.models import Alert, AlertRoute, Channel, Delivery
from budgets.outbox import open_alert, resolve_alert
from gateway import alerting
from gateway.models import AuditEntry
from tests.alert_receiver import AlertReceiver

pytestmark = pytest.mark.django_db

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
CHANNELS = reverse("admin:tollhouse_budgets_channel_changelist")
ALERTS = reverse("admin:tollhouse_budgets_alert_changelist")


@pytest.fixture
def receiver():
    with AlertReceiver() as found:
        yield found


@pytest.fixture
def form(receiver):
    return {
        "name": "ops",
        "kind": "webhook",
        "config": f'{{"url": "{receiver.url}"}}',
        "secret": SECRET,
        "active": "on",
    }


@pytest.fixture
def channel(admin_client, form):
    answer = admin_client.post(reverse("admin:tollhouse_budgets_channel_add"), form)
    assert answer.status_code == 302, answer.context["errors"]
    return Channel.objects.get()


def page(channel):
    return reverse("admin:tollhouse_budgets_channel_change", args=[channel.pk])


def run(client, path, action, row):
    answer = client.post(path, {"action": action, "_selected_action": [row.pk]}, follow=True)
    return answer.content.decode()


def test_a_secret_goes_in_and_never_out(admin_client, channel, form, caplog):
    caplog.set_level(logging.DEBUG)
    assert alerting.secret(channel) == SECRET
    assert SECRET not in channel.secret_encrypted
    pages = [page(channel), CHANNELS, page(channel).replace("change", "history"), "/admin/"]
    wrong = admin_client.post(page(channel), {**form, "name": "", "config": "{"}).content.decode()
    for text in (*(admin_client.get(path).content.decode() for path in pages), wrong, caplog.text):
        assert SECRET not in text and channel.secret_encrypted not in text
    call_command("catalog", "export")
    entry = AuditEntry.objects.get(action="channel.create")
    assert entry.detail["values"]["secret"] == "(hidden)" and SECRET not in str(entry.detail)


def test_a_test_shows_the_answer_and_is_audited(admin_client, channel, receiver):
    receiver.text = "noted, thank you"
    text = run(admin_client, CHANNELS, "send_test", channel)
    assert "The channel ops took the test (status 200): noted, thank you" in text
    assert receiver.told == [("test", 0)]
    receiver.usual, receiver.text = 500, f"<b>what is {SECRET}</b>"
    text = run(admin_client, CHANNELS, "send_test", channel)
    assert "The channel ops did not take the test (status 500): &lt;b&gt;what is" in text and SECRET not in text
    channel.refresh_from_db()
    assert channel.last_ok_at and "what is" in channel.last_error and channel.failing_since is None
    assert [e.detail for e in AuditEntry.objects.filter(action="channel.test").order_by("id")] == [
        {"ok": True, "status": 200},
        {"ok": False, "status": 500},
    ]


def test_the_button_is_on_the_channels_page(admin_client, channel):
    assert "Send a test" in admin_client.get(page(channel)).content.decode()


def test_a_stored_secret_is_not_sent_anywhere_else(admin_client, channel, form):
    moved = {**form, "config": '{"url": "https://elsewhere.example/hook"}', "secret": ""}
    answer = admin_client.post(page(channel), moved).content.decode()
    assert "has to be given again" in answer
    same = {**form, "secret": "", "active": ""}
    assert admin_client.post(page(channel), same).status_code == 302
    channel.refresh_from_db()
    assert not channel.active and alerting.secret(channel) == SECRET
    again = {**moved, "secret": SECRET}
    assert admin_client.post(page(channel), again).status_code == 302
    channel.refresh_from_db()
    assert alerting.secret(channel) == SECRET


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"secret": "nonsense"}, "whsec_"),
        ({"config": "{}"}, "https://"),
        ({"config": '["x"]'}, "Write a JSON object"),
        ({"config": '{"url": "https://x.example/h", "colour": "red"}'}, "There is no setting &#x27;colour&#x27; here"),
        ({"secret_env": "ALERT_HOOK"}, "not both"),
        ({"secret": "", "secret_env": "OPENAI_API_KEY"}, "CHANNEL_SECRET_ENV allows ALERT_*"),
        ({"secret": "", "secret_env": "TOLLHOUSE_PEPPER"}, "may not hold"),
    ],
)
def test_what_cannot_work_is_said_and_not_kept(admin_client, form, given, told):
    answer = admin_client.post(reverse("admin:tollhouse_budgets_channel_add"), {**form, **given})
    assert told in answer.content.decode() and not Channel.objects.exists()


def test_channels_do_not_fall_back_to_each_other(admin_client, channel, form):
    second = Channel.objects.create(name="second", kind="webhook", fallback=channel)
    answer = admin_client.post(page(channel), {**form, "secret": "", "fallback": second.pk})
    assert "in a ring" in answer.content.decode()


def test_a_route_is_made_and_its_changes_are_audited(admin_client, channel):
    add = reverse("admin:tollhouse_budgets_alertroute_add")
    form = {
        "position": "1", "name": "all", "active": "on", "severity": "warning", "kinds": "budget_*\nlost", "channels": [channel.pk],
        "quiet_from": "22:00", "quiet_until": "07:00", "quiet_timezone": "Europe/Paris", "breaks_through": "critical",
    }  # fmt: skip
    wrong = admin_client.post(add, {**form, "quiet_timezone": "Mars", "quiet_until": ""}).content.decode()
    assert "is no time zone" in wrong
    assert "Quiet hours need" in admin_client.post(add, {**form, "quiet_until": ""}).content.decode()
    assert admin_client.post(add, form).status_code == 302
    route = AlertRoute.objects.get()
    assert route.kinds == ["budget_*", "lost"] and list(route.channels.all()) == [channel]
    other = Channel.objects.create(name="other", kind="webhook")
    change = reverse("admin:tollhouse_budgets_alertroute_change", args=[route.pk])
    assert admin_client.post(change, {**form, "channels": [other.pk]}).status_code == 302
    noted = AuditEntry.objects.filter(action="alertroute.change").order_by("id")
    assert [e.detail["changes"] for e in noted] == [{"channels": [[], ["ops"]]}, {"channels": [["ops"], ["other"]]}]


def test_without_a_route_the_pages_say_that_nothing_is_sent(admin_client):
    for path in (ALERTS, reverse("admin:tollhouse_budgets_alertroute_changelist"), "/admin/"):
        assert "no alert is sent anywhere" in admin_client.get(path).content.decode()
    AlertRoute.objects.create(name="all")
    for path in (ALERTS, "/admin/"):
        assert "no alert is sent anywhere" not in admin_client.get(path).content.decode()


def test_a_dead_channel_is_on_the_first_page(admin_client, channel):
    Channel.objects.update(failing_since="2026-01-01T00:00Z", dead_since="2026-01-01T00:10Z", last_error="status 503")
    text = admin_client.get("/admin/").content.decode()
    assert "Alerts do not arrive" in text and "status 503" in text
    assert ">dead<" in admin_client.get(CHANNELS, {"state": "dead"}).content.decode()


def test_an_alert_is_acknowledged_once_and_by_those_who_may(admin_client, client, django_user_model):
    open_alert("k", "critical", "a", "too much", feature="support.reply")
    alert = Alert.objects.get()
    user = django_user_model.objects.create_user("bob", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_alert"))
    client.force_login(user)
    run(client, ALERTS, "acknowledge", alert)
    alert.refresh_from_db()
    assert alert.acknowledged_at is None
    assert "Acknowledged: too much" in run(admin_client, ALERTS, "acknowledge", alert)
    assert "nothing, none was open" in run(admin_client, ALERTS, "acknowledge", alert)
    alert.refresh_from_db()
    assert alert.acknowledged_by == "admin"
    assert AuditEntry.objects.get().action == "alert.acknowledge"
    resolve_alert("a", "gone")
    for state, shown in (("open", False), ("acknowledged", False), ("resolved", True)):
        assert ("too much" in admin_client.get(ALERTS, {"state": state}).content.decode()) is shown


def test_the_page_of_an_alert_has_its_log_and_where_to_go(admin_client, channel):
    open_alert("k", "critical", "a", "too much", feature="support.reply", detail={"spent": "7", "limit": "10"})
    alert = Alert.objects.get()
    Delivery.objects.bulk_create(
        [Delivery(alert=alert, channel=channel, event="trigger", state="failed", status=503, answer="come back later")]
    )
    text = admin_client.get(reverse("admin:tollhouse_budgets_alert_change", args=[alert.pk])).content.decode()
    assert "come back later" in text and "503" in text
    assert "/switch/add/?scope=feature&amp;value=support.reply&amp;alert=" in text
    assert "/call/?feature=support.reply" in text
