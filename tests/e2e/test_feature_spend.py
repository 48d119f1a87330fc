"""From an alert to the page of a feature's spend, in a real browser: see why it rose, and switch it off."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from budgets.models import Alert, Budget, Switch, Window
from tests.e2e.conftest import Visitor
from tests.rows import make_call, many_calls
from tests.world import World

PAGE = "/admin/tollhouse_gateway/feature/support.reply/spend/"


@pytest.fixture
def alarmed(visitor):
    """A feature of which one tenant's spend rose within the last hours, with an alert of it."""
    world = World("http://127.0.0.1:9/v1")
    [version] = world.prompt(
        world.feature("support.reply", owner="support-team"), {"messages": [{"role": "user", "content": "x"}]}
    )
    now = timezone.now()
    budget = Budget.objects.create(feature="support.reply", limit=10)
    Window.objects.create(
        budget=budget, starts_at=now - timedelta(hours=20), ends_at=now + timedelta(hours=4), spent="7.25", held="0.5"
    )
    Alert.objects.create(
        kind="budget_threshold", severity="warning", dedup_key="a", feature="support.reply",
        summary="70% of the day's budget for feature support.reply is spent.",
    )  # fmt: skip
    # Minutes ago within two hours, so that the calls of both are in the partition of this week, or in that before it.
    many_calls(2, days=2)
    for minutes in range(62, 118, 4):
        one_call(now - timedelta(minutes=minutes), version, minutes)
    for minutes in range(2, 58):
        one_call(now - timedelta(minutes=minutes), version, minutes if minutes % 4 == 0 else 1)
    return version


def one_call(at, version, number):
    """A call of one of five tenants; most of the odd ones are acme's."""
    tenant = "acme" if number % 2 else f"tenant-{number % 5}"
    make_call(
        at=at, tenant=tenant, cohort="staff" if number % 3 else "", prompt_version=version.address, key="web",
        user_ref=f"{number % 7:x}" * 64, cost_usd=Decimal("0.0375") if number % 2 else Decimal("0.04"),
        outcome="timeout" if number % 9 == 8 else "ok",
    )  # fmt: skip


def test_from_an_alert_to_its_reason_and_the_switch(visitor, alarmed):
    visitor.open("/admin/", "overview-alarmed")
    page = visitor.page
    visitor.go(page.locator("section", has_text="Alerts, the open ones first").get_by_label("Spend of support.reply"))
    page.wait_for_url(f"**{PAGE}")
    page.select_option("select[name=period]", "1h")
    page.focus("text=Show")
    page.keyboard.press("Enter")
    page.wait_for_url("**period=1h")
    visitor.look("feature-spend-hour")
    assert "of the rise comes from tenant acme" in page.inner_text("#why")
    assert "70% of the day's budget" in page.inner_text("#alerts")
    assert page.locator(".th-chart g").count() == 12
    page.click("text=As a table")
    visitor.look("feature-spend-table")
    visitor.go("#by-tenant >> text=acme")
    assert page.locator(".th-calls tbody tr").count() > 30
    page.go_back()
    visitor.go("text=Switch off")
    assert (page.input_value("#id_scope"), page.input_value("#id_value")) == ("feature", "support.reply")
    page.fill("#id_reason", "acme's import runs wild")
    visitor.go("input[name=_save]")
    assert Switch.objects.get(lifted_at=None).value == "support.reply"
    visitor.open(f"{PAGE}?period=1h", "feature-spend-off")
    assert "acme's import runs wild" in page.inner_text("#switches")
    switched = Alert.objects.get(kind="switch")
    assert switched.summary in page.inner_text("#alerts")
    visitor.go(page.get_by_label("Lift feature support.reply"))
    page.fill("#id_reason", "The import is stopped")
    visitor.go("button:text-is('Lift')")
    visitor.open(f"{PAGE}?period=1h", "feature-spend-on-again")
    switched.refresh_from_db()
    assert switched.resolved_at and switched.summary not in page.inner_text("#alerts")
    visitor.go("#alerts >> text=70% of the day's budget")
    visitor.go("text=Spend of support.reply")
    page.wait_for_url(f"**{PAGE}")


def test_periods_and_the_budget_s_window(visitor, alarmed):
    visitor.open(f"{PAGE}?period=7d", "feature-spend-week")
    assert "nothing to compare with" in visitor.page.inner_text("#why")
    visitor.go(visitor.page.get_by_label("Spend of support.reply"))
    visitor.page.wait_for_url("**period=window-*")
    visitor.look("feature-spend-window")
    # Twenty hours, most of which begin within an hour of the clock.
    assert visitor.page.locator(".th-chart g").count() in (20, 21)


def test_without_calls(visitor):
    World("http://127.0.0.1:9/v1").feature("support.reply")
    visitor.open(PAGE, "feature-spend-none")
    assert "No calls in this time" in visitor.page.inner_text("#content")


def test_light_and_dark_at_both_widths(visitor, alarmed, browser, live_server):
    scheme = {"light": "dark", "dark": "light"}[visitor.scheme]
    other = Visitor(browser, live_server.url, visitor.width, scheme)
    other.page.context.add_cookies(visitor.page.context.storage_state()["cookies"])
    other.open(f"{PAGE}?period=1h", "feature-spend-hour")
    other.page.context.close()
