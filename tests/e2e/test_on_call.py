"""From a message in Slack to the reason, the switch and the end of the alert: a whole night of the person on call."""

import subprocess
import sys
import time
from datetime import timedelta
from decimal import Decimal

import httpx
import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from budgets.models import Alert, AlertRoute, Budget, Channel, Delivery, Switch, Window
from gateway import alerting
from tests.alert_receiver import AlertReceiver
from tests.budgets.channels.notices import conforms
from tests.e2e.conftest import Visitor
from tests.rows import make_call
from tests.server import ROOT, environment
from tests.world import RATES

#: What somebody on call may do: see, acknowledge, and switch off. No configuration, and no texts of calls.
MAY = [
    "view_feature", "view_call", "view_promptversion", "view_budget", "view_window", "view_alert", "acknowledge_alert",
    "view_delivery", "view_switch", "add_switch", "change_switch",
]  # fmt: skip
USUAL, DEAR = "gpt-4o-mini", "gpt-4o"
TENANTS = ("acme", "globex", "initech")
REASON = "acme's import runs wild"


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


class Slack(AlertReceiver):
    """A channel of Slack, as an incoming webhook fills it."""

    def next(self, seen: int) -> dict:
        """The message after those that were seen; it is as Slack's documentation wants it."""
        wait_for(lambda: len(self.got) > seen)
        conforms(self.got[seen], "slack_message")
        return self.got[seen]


def told(message: dict) -> str:
    """All that a message shows."""
    texts = []
    for block in message["blocks"]:
        parts = [block.get("text"), *block.get("fields", []), *block.get("elements", [])]
        texts += [part["text"] for part in parts if part and isinstance(part["text"], str)]
    return "\n".join(texts)


def button(message: dict, label: str) -> str:
    """Where a button of the message leads."""
    [actions] = [block for block in message["blocks"] if block["type"] == "actions"]
    return next(element["url"] for element in actions["elements"] if element["text"]["text"] == label)


@pytest.fixture
def slack():
    with Slack() as found:
        found.text = "ok"
        yield found


@pytest.fixture
def on_call(visitor, browser, live_server, django_user_model):
    user = django_user_model.objects.create_user("kim", password="correct horse", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=MAY, content_type__app_label__startswith="tollhouse")
    )
    found = Visitor(browser, live_server.url, visitor.width, visitor.scheme)
    found.log_in("kim", "correct horse")
    yield found
    found.page.context.close()


@pytest.fixture
def worker(live_server):
    """`manage.py worker`, started by calling it; its messages link to the live server."""
    started = []

    def start():
        variables = environment() | {"TOLLHOUSE_PUBLIC_URL": live_server.url}
        started.append(subprocess.Popen([sys.executable, "manage.py", "worker"], cwd=ROOT, env=variables))

    yield start
    for process in started:
        process.terminate()
        process.wait(30)


@pytest.fixture
def configured(visitor, world, slack):
    """A feature with two models and a budget, whose calls were cheap the day before, and everything told in Slack."""
    world.price(DEAR, {name: str(100 * int(rate)) for name, rate in RATES.items()})
    feature = world.feature("support.reply", USUAL, DEAR, owner="support-team")
    [version] = world.prompt(feature, {"messages": [{"role": "system", "content": "You are kind."}]})
    today = timezone.now()
    Budget.objects.create(
        feature="support.reply", period="range", starts_on=today - timedelta(days=3), ends_on=today + timedelta(days=3), limit=1
    )  # fmt: skip
    for number in range(12):
        make_call(
            at=today - timedelta(hours=25, minutes=20 * number), tenant=TENANTS[number % 3], provider="mock",
            model_served=USUAL, prompt_version=version.address, key="web", cohort="", cost_usd=Decimal("0.0004"),
        )  # fmt: skip
    channel = Channel(name="on-call", kind="slack")
    channel.secret_encrypted = alerting.encrypt(channel, slack.url)
    channel.save()
    AlertRoute.objects.create(name="all", severity="info").channels.set([channel])


@pytest.fixture
def call(configured, world, server):
    """Makes a call over HTTP; an answer."""
    key = world.key("support.*", name="web")
    server.catch_up()

    def post(tenant, model=USUAL, cohort=""):
        headers = {
            "authorization": f"Bearer {key}",
            "x-tollhouse-feature": "support.reply",
            "x-tollhouse-tenant": tenant,
        }
        return httpx.post(
            f"{server.url}/v1/chat/completions",
            json={"model": model, "variables": {}, "messages": [], "max_tokens": 20},
            headers=headers | ({"x-tollhouse-cohort": cohort} if cohort else {}),
            timeout=30,
        )

    return post


def test_from_slack_to_the_reason_the_switch_and_the_end_of_the_alert(on_call, call, worker, slack):
    # The rise: one tenant's import asks for the dear model, until 70% of the budget is spent.
    for tenant in TENANTS:
        assert call(tenant).status_code == 200
    while not Alert.objects.exists():
        assert call("acme", DEAR, cohort="import").status_code == 200
    threshold = Alert.objects.get()
    worker()
    message = slack.next(0)
    assert threshold.summary in told(message) and "*72%* of the limit" in told(message)
    assert "*Spent*\n$0.721 of $1.00" in told(message) and "*Most by tenant*\nacme $0.722, globex" in told(message)

    # From the message to the reason.
    page = on_call.page
    on_call.follow(button(message, "Alert"), "on-call-alert")
    assert threshold.summary in page.inner_text("#content")
    on_call.follow(button(message, "Spend"), "on-call-spend")
    why = page.inner_text("#why")
    assert f"model mock/{DEAR}" in why and "tenant acme" in why and "cohort import" in why
    assert threshold.summary in page.inner_text("#alerts")
    assert "support.reply@" in page.inner_text(".th-facts"), "all calls had one prompt version, which the page names"

    # Off.
    on_call.go("text=Switch off")
    assert threshold.summary in page.inner_text("#content")
    page.fill("#id_reason", REASON)
    on_call.look("on-call-switch")
    on_call.go("input[name=_save]")
    page.wait_for_url("**/switch/")
    refused = call("acme", DEAR)
    assert refused.status_code == 503 and REASON in refused.json()["error"]["message"]
    message = slack.next(1)
    assert REASON in told(message) and "kim" in told(message)

    # On again: the switch's alert is over, that of the budget is not, as the window has not ended.
    on_call.follow(button(message, "Spend"), "on-call-off")
    assert REASON in page.inner_text("#switches")
    on_call.follow(button(message, "Lift"), "on-call-lift")
    page.fill("#id_reason", "The import is stopped")
    on_call.go("button:text-is('Lift')")
    page.wait_for_url("**/switch/")
    assert call("globex").status_code == 200
    message = slack.next(2)
    assert "resolved" in told(message) and "Lifted by kim: The import is stopped" in told(message)
    on_call.follow(button(message, "Alert"), "on-call-switch-resolved")
    assert "resolved" in page.inner_text(".field-shown_state")
    threshold.refresh_from_db()
    assert threshold.state == "open" and not Switch.objects.in_force().exists()

    # The window ends.
    ended = timezone.now()
    Window.objects.update(ends_at=ended)
    Alert.objects.filter(pk=threshold.pk).update(ends_at=ended)
    message = slack.next(3)
    assert "resolved" in told(message) and threshold.summary in told(message)
    on_call.follow(button(message, "Alert"), "on-call-threshold-resolved")
    assert "resolved" in page.inner_text(".field-shown_state")
    wait_for(lambda: not Delivery.objects.exclude(state="sent").exists())
    assert len(slack.got) == 4
    on_call.open("/admin/tollhouse_budgets/alert/", "on-call-alerts")
    on_call.open("/admin/", "on-call-overview")
