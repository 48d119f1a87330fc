"""From a call or an alert to the switch, to calls that are refused, to calls that pass again, in a real browser."""

from datetime import timedelta

import pytest
from django.utils import timezone

import gateway
from budgets.models import Alert, Switch, SwitchTrigger
from gateway import engine, errors
from tests.rows import make_call
from tests.world import World

MESSAGES = [{"role": "user", "content": "hello"}]


@pytest.fixture
def configured(visitor, provider):
    world = World(provider.base_url)
    world.feature("support.reply")
    yield world
    engine.stop()


def passes():
    try:
        gateway.complete("support.reply", messages=MESSAGES, tenant="acme")
    except errors.FeatureDisabled as error:
        assert "It invents refunds" in error.message
        return False
    return True


def test_from_the_list_of_calls_to_a_refusal_and_back(visitor, configured):
    page = visitor.page
    assert passes()
    visitor.open("/admin/tollhouse_gateway/call/", "switch-calls")
    visitor.go("a[aria-label='switch off support.reply']")
    page.wait_for_url("**/switch/add/**")
    visitor.look("switch-add-prefilled")
    assert (page.input_value("#id_scope"), page.input_value("#id_value")) == ("feature", "support.reply")
    page.click("input[name=_save]")
    assert "This field is required" in page.inner_text("#content") or page.locator("#id_reason:invalid").count()
    page.fill("#id_reason", "It invents refunds")
    page.select_option("#id_lasts", "60")
    page.select_option("#id_running", "cut")
    visitor.go("input[name=_save]")
    page.wait_for_url("**/switch/")
    visitor.look("switch-list")
    assert not passes()
    visitor.open("/admin/", "switch-overview")
    assert "feature support.reply is switched off by admin: It invents refunds" in page.inner_text("#content")
    visitor.go("a[aria-label='Lift feature support.reply']")
    page.wait_for_url("**/lift/**")
    visitor.look("switch-lift")
    page.fill("#id_reason", "The prompt is mended")
    page.keyboard.press("Enter")
    page.wait_for_url("**/switch/")
    assert "Lifted: feature support.reply" in page.inner_text("body")
    assert passes()
    assert Alert.objects.get().resolution == "Lifted by admin: The prompt is mended"
    visitor.open(f"/admin/tollhouse_budgets/switch/{Switch.objects.get().pk}/change/", "switch-page-lifted")


def test_from_the_page_of_a_call_and_from_an_alert(visitor, configured):
    page = visitor.page
    assert passes()
    visitor.open("/admin/tollhouse_gateway/call/", "switch-calls")
    visitor.go(".th-calls tbody a:has(time)")
    page.focus(".th-menu summary")
    page.keyboard.press("Enter")
    visitor.look("switch-call-menu")
    visitor.go(".th-menu a:text-is('feature support.reply of tenant acme')")
    page.fill("#id_reason", "It invents refunds")
    visitor.go("input[name=_save]")
    page.wait_for_url("**/switch/")
    assert not passes() and Switch.objects.get().tenant == "acme"
    alert = Alert.objects.create(
        kind="unpriced", severity="warning", dedup_key="x", summary="Calls are dear", feature="support.reply"
    )
    visitor.open(f"/admin/tollhouse_budgets/alert/{alert.pk}/change/", "switch-alert")
    visitor.go("text=Switch feature support.reply off")
    visitor.look("switch-add-from-alert")
    assert "You come from the alert: Calls are dear" in page.inner_text("#content")
    page.fill("#id_reason", "It invents refunds")
    visitor.go("input[name=_save]")
    page.wait_for_url("**/switch/")
    switch = Switch.objects.filter(tenant="").get()
    visitor.open(f"/admin/tollhouse_budgets/switch/{switch.pk}/change/", "switch-page")
    visitor.open("/admin/tollhouse_budgets/switch/add/?scope=feature&value=support.reply", "switch-add-again")
    page.fill("#id_reason", "It invents refunds and leaks")
    visitor.go("input[name=_save]")
    visitor.look("switch-conflict")
    page.check("#id_replace")
    visitor.go("input[name=_save]")
    page.wait_for_url("**/switch/")
    assert Switch.objects.in_force().filter(tenant="").get().reason == "It invents refunds and leaks"


def test_a_rule_and_what_it_would_do_now(visitor, configured):
    page = visitor.page
    configured.feature("support.triage")
    visitor.open("/admin/tollhouse_budgets/switchtrigger/add/", "rule-add")
    page.fill("#id_name", "support-errors")
    page.fill("#id_value", "support.*")
    page.select_option("#id_condition", "error_percent")
    page.fill("#id_above", "30")
    page.fill("#id_min_calls", "3")
    visitor.go("input[name=_save]")
    page.wait_for_url("**/switchtrigger/")
    trigger = SwitchTrigger.objects.get()
    for number in range(6):
        make_call(outcome="provider_error" if number % 2 else "ok", http_status=None)
    trigger.firings.create(
        value="support.triage", measured="61.0 % of 40 calls failed in 5 min", at=timezone.now() - timedelta(days=1)
    )
    visitor.open("/admin/tollhouse_budgets/switchtrigger/", "rule-list")
    visitor.open(f"/admin/tollhouse_budgets/switchtrigger/{trigger.pk}/change/", "rule-page")
    visitor.go("text=Would it fire now?")
    visitor.look("rule-now")
    text = page.inner_text("#content")
    assert "50.0 % of 6 calls failed in 5 min" in text and "yes" in text
    assert not Switch.objects.exists()
