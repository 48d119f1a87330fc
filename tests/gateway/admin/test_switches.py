"""Switches in the admin: one click from a call or an alert, lifting with a reason, rules with what they measure now."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from budgets.models import Alert, Switch, SwitchTrigger
from gateway.models import AuditEntry
from gateway.switches import switch_off
from tests.rows import make_call
from tests.world import World

ADD, LIST, LIFT = (f"/admin/tollhouse_budgets/switch/{page}" for page in ("add/", "", "lift/"))
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def world():
    made = World("http://127.0.0.1:9/v1")
    made.feature("support.reply", "gpt-4o-mini")
    return made


@pytest.fixture
def staff(client, django_user_model):
    """Logs somebody in with just these permissions."""

    def log_in(*codenames):
        user = django_user_model.objects.create_user("bob", password="x", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(user)
        return client

    return log_in


def form(**values):
    return {"scope": "feature", "value": "support.reply", "reason": "wild", "running": "finish", **values}


def alert_of(**values):
    return Alert.objects.create(
        **{
            "kind": "x",
            "severity": "warning",
            "dedup_key": "x",
            "summary": "It is dear",
            "feature": "support.reply",
            **values,
        }
    )


def page_of(call):
    return f"/admin/tollhouse_gateway/call/{call.pk}/change/"


def test_a_call_offers_what_it_is_to_those_who_may(staff):
    call = make_call(tenant="acme", user_ref="0f3a", cohort="beta", key="web", route="support.reply", provider="mock",
                     model_served="gpt-4o-mini-2024-07-18")  # fmt: skip
    page = staff("view_call").get(page_of(call))
    listed = page.client.get("/admin/tollhouse_gateway/call/").content.decode()
    assert page.context["off_links"] == [] and "witch off" not in page.content.decode() + listed
    bob = page.client
    bob.get(page_of(call))
    page.wsgi_request.user.user_permissions.add(Permission.objects.get(codename="add_switch"))
    labels = [link.label for link in bob.get(page_of(call)).context["off_links"]]
    assert labels == ["feature support.reply of tenant acme", "feature support.reply", "user 0f3a", "tenant acme", "cohort beta",
                      "key web", "model gpt-4o-mini", "provider mock"]  # fmt: skip
    listed = bob.get("/admin/tollhouse_gateway/call/", {"q": "feature:support.reply tenant:acme"})
    [link] = listed.context["off_links"]
    assert link.label == "Switch support.reply off"
    assert parse_qs(urlsplit(link.url).query) == {"scope": ["feature"], "value": ["support.reply"], "tenant": ["acme"]}
    # The link fills the form in and does nothing by itself.
    filled = bob.get(link.url)
    assert filled.context["adminform"].form.initial == {"scope": "feature", "value": "support.reply", "tenant": "acme"}
    assert not Switch.objects.exists()


def switches_of(client, alert):
    """The links on an alert's page that switch something off."""
    tools = client.get(f"/admin/tollhouse_budgets/alert/{alert.pk}/change/").context["tools"]
    return [tool for tool in tools if tool.label.startswith("Switch")]


def test_an_alert_leads_to_the_form_and_stands_in_the_audit_log(admin_client):
    alert = alert_of()
    [tool] = switches_of(admin_client, alert)
    assert tool.label == "Switch feature support.reply off"
    page = admin_client.get(tool.url).content.decode()
    assert "You come from the alert: It is dear" in page and f'name="alert" value="{alert.pk}"' in page
    assert admin_client.post(tool.url, form(alert=alert.pk, lasts="60", running="cut")).status_code == 302
    switch = Switch.objects.get()
    assert (switch.set_by, switch.running) == ("admin", "cut")
    assert timedelta(minutes=59) < switch.expires_at - timezone.now() <= timedelta(minutes=60)
    assert "cuts</span>" in admin_client.get(LIST).content.decode()
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.detail["alert"]) == ("switch.set", alert.pk)
    opened = Alert.objects.get(kind="switch")
    assert switches_of(admin_client, opened) == []


def test_nobody_learns_of_an_alert_that_they_may_not_see(staff):
    alert = alert_of()
    page = staff("view_switch", "add_switch").get(
        ADD, {"scope": "feature", "value": "support.reply", "alert": alert.pk}
    )
    assert page.status_code == 200 and "It is dear" not in page.content.decode()


@pytest.mark.parametrize(
    "values, said",
    [
        ({"reason": ""}, "This field is required"),
        ({"value": "suport.reply"}, "Did you mean support.reply?"),
        ({"scope": "key", "value": "x"}, "No API key is named x."),
        ({"scope": "tenant", "value": "acme", "tenant": "b"}, "narrows a feature down to one tenant"),
        ({"scope": "everything"}, "Leave this empty for everything"),
        ({"lasts": "60", "expires_at_0": "2099-01-01", "expires_at_1": "00:00"}, "not both"),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}, "That is over already."),
    ],
)
def test_the_form_says_what_to_do(admin_client, values, said):
    answer = admin_client.post(ADD, form(**values))
    assert answer.status_code == 200 and said in answer.content.decode()
    assert not Switch.objects.exists() and not Alert.objects.exists()


def test_one_in_force_is_replaced_only_when_told(admin_client):
    first = switch_off(Switch(scope="feature", value="support.reply", reason="before"), actor="ada")
    answer = admin_client.post(ADD, form())
    assert (
        "is switched off already" in answer.content.decode() and "Replace the one in force" in answer.content.decode()
    )
    assert Switch.objects.get() == first
    assert admin_client.post(ADD, form(replace="on")).status_code == 302
    first.refresh_from_db()
    assert first.lifted_by == "admin" and Switch.objects.in_force().get().reason == "wild"


def test_one_whose_time_is_over_is_not_in_the_way(admin_client):
    Switch.objects.create(
        scope="feature", value="support.reply", reason="x", expires_at=timezone.now() - timedelta(hours=1)
    )
    assert admin_client.post(ADD, form()).status_code == 302
    assert Switch.objects.in_force().count() == 1
    listed = admin_client.get(LIST, {"state": "over"}).context["cl"].result_list
    assert [switch.lifted_by for switch in listed] == ["expiry"]


def test_lifting_asks_why(admin_client):
    switch = switch_off(Switch(scope="feature", value="support.reply", reason="x"), actor="ada")
    address = f"{LIFT}?id={switch.pk}"
    assert (
        address in admin_client.get(LIST).content.decode() and address in admin_client.get("/admin/").content.decode()
    )
    assert "Say why it is lifted" in admin_client.post(address, {"reason": " "}).content.decode()
    assert Switch.objects.in_force().exists()
    assert admin_client.post(address, {"reason": "mended"}).status_code == 302
    switch.refresh_from_db()
    assert (switch.lifted_by, switch.lift_reason) == ("admin", "mended")
    assert "None of these is in force" in admin_client.get(address).content.decode()
    assert admin_client.get(f"/admin/tollhouse_budgets/switch/{switch.pk}/change/").context["tools"] == []


def test_who_may_look_or_set_may_not_lift(staff):
    switch = switch_off(Switch(scope="everything", reason="x"), actor="ada")
    bob = staff("view_switch", "add_switch")
    address = f"{LIFT}?id={switch.pk}"
    assert bob.get(address).status_code == bob.post(address, {"reason": "x"}).status_code == 403
    assert "Lift" not in bob.get(LIST).content.decode().split('id="changelist"')[1]
    assert Switch.objects.in_force().exists()


def test_a_tenant_nobody_heard_of_is_set_with_a_warning(admin_client):
    make_call(tenant="acme")
    page = admin_client.post(ADD, form(scope="tenant", value="amce"), follow=True).content.decode()
    assert "No call has come from the tenant amce lately" in page and "Did you mean acme?" in page
    assert Switch.objects.get().value == "amce"


def rule(**values):
    return SwitchTrigger.objects.create(
        **{"name": "r", "value": "support.*", "condition": "error_percent", "above": 30, "min_calls": 2, **values}
    )


def now_of(trigger):
    return f"/admin/tollhouse_budgets/switchtrigger/{trigger.pk}/now/"


def test_a_rule_says_whether_it_would_fire_now_and_does_nothing(world, admin_client):
    world.feature("support.triage")
    trigger = rule()
    for outcome in ("ok", "provider_error", "provider_error"):
        make_call(outcome=outcome, http_status=None)
    page = admin_client.get(now_of(trigger))
    [verdict] = page.context["verdicts"]
    assert (verdict.measured.words, verdict.says) == ("66.7 % of 3 calls failed in 5 min", "yes")
    assert "Nothing to measure of support.triage" in page.content.decode()
    assert not Switch.objects.exists() and not trigger.firings.exists()
    Switch.objects.create(scope="feature", value="support.reply", reason="x")
    assert admin_client.get(now_of(trigger)).context["verdicts"][0].says == "no, it is switched off already"
    trigger.above = 90
    trigger.save()
    assert admin_client.get(now_of(trigger)).context["verdicts"][0].says == "no"


def test_a_rule_s_page_needs_its_permission(staff):
    trigger = rule()
    assert staff("view_switch").get(now_of(trigger)).status_code == 403


def test_a_rule_is_made_and_changed_with_entries(admin_client):
    add = "/admin/tollhouse_budgets/switchtrigger/add/"
    given = {"name": "support-errors", "scope": "feature", "value": "suport.reply", "condition": "error_percent", "above": "30", "minutes": "5",
             "min_calls": "20", "min_usd": "1", "action": "switch", "off_minutes": "30", "running": "finish", "cooldown_minutes": "60",
             "active": "on", "firings-TOTAL_FORMS": "0", "firings-INITIAL_FORMS": "0"}  # fmt: skip
    assert "Did you mean support.reply?" in admin_client.post(add, given).content.decode()
    assert admin_client.post(add, {**given, "value": "support.*"}).status_code == 302
    trigger = SwitchTrigger.objects.get()
    change = f"/admin/tollhouse_budgets/switchtrigger/{trigger.pk}/change/"
    assert admin_client.post(change, {**given, "value": "support.*", "above": "40", "name": "other"}).status_code == 302
    entries = {entry.action: entry.detail for entry in AuditEntry.objects.all()}
    assert entries["switchtrigger.change"] == {"changes": {"above": ["30", "40"]}}
    trigger.refresh_from_db()
    assert trigger.name == "support-errors"
