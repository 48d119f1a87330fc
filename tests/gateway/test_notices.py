"""What a channel is told: figures, who spent most, and links that lead to where something can be done."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import override_settings
from django.urls import resolve
from django.utils import timezone

from budgets.models import Alert, Budget, Delivery, Forecast, Switch, Window
from budgets.parcels import Parcel
from gateway.notices import notice
from gateway.switches import switch_off
from tests.rows import make_call

pytestmark = pytest.mark.django_db(transaction=True)
SETTINGS = {"ALLOW_PRIVATE_UPSTREAMS": True, "PUBLIC_URL": "https://tollhouse.example/"}


def parcel(alert, event="trigger", *, count=1, quoted=()):
    return Parcel(
        event=Delivery.Event(event), ids=(1,), alert=alert, count=count, severity=alert.severity, quoted=quoted, attempts=0,
        reference="",
    )  # fmt: skip


@pytest.fixture
def alert():
    """As the ledger writes it."""
    return threshold(Budget.objects.create(feature="support.reply", limit=10))


def threshold(budget, value="", **values):
    start = timezone.now() - timedelta(hours=2)
    window = Window.objects.create(
        budget=budget, value=value, starts_at=start, ends_at=start + timedelta(days=1), spent=Decimal("7.254999")
    )
    detail = {
        "budget": budget.pk, "window": window.pk, "value": value, "metric": "usd", "spent": "7.254999000", "held": "0E-9",
        "limit": "10.000000000", "percent": 70, "on_hard": "block", "starts_at": start.isoformat(),
        "ends_at": window.ends_at.isoformat(), "link": "/admin/somewhere/",
    }  # fmt: skip
    return Alert.objects.create(
        kind="budget_threshold", severity="warning", dedup_key=f"b{window.pk}", summary="70% is spent.", detail=detail,
        ends_at=window.ends_at, **{"feature": "support.reply", **values},
    )  # fmt: skip


def test_it_says_what_is_spent_and_by_whom(alert):
    for user, tenant, cost in (("u1", "acme", "3"), ("u2", "acme", "2"), ("u3", "umbrella", "1"), ("u4", "", "0.5")):
        make_call(
            user_ref=user * 20, tenant=tenant, cost_usd=Decimal(cost), prompt_version="3f2a9c41" * 8,
            at=timezone.now() - timedelta(minutes=90),
        )  # fmt: skip
    make_call(feature="other", user_ref="u9", cost_usd=Decimal(99))
    make_call(user_ref="u8", cost_usd=Decimal(99), at=timezone.now() - timedelta(hours=3))
    alert.detail["held"] = "0.004000000"
    Forecast.objects.create(
        window=Window.objects.get(),
        made_at=timezone.now(),
        expected="14.2",
        low="12",
        high="17",
        note="From the pace so far.",
    )
    found = notice(parcel(alert))
    assert found.bar == (Decimal("7.254999"), Decimal(10)) and found.feature == "support.reply"
    assert found.facts == (
        ("Spent", "$7.25 of $10.00"),
        ("Held by calls in flight", "$0.004"),
        ("Forecast", "$14.20 (12–17) by midnight"),
        ("Until", f"{alert.ends_at:%Y-%m-%d %H:%M} UTC"),
        ("Most by tenant", "acme $5.00, umbrella $1.00"),
        ("Top callers", "u1u1u1u1u1u1 $3.00, u2u2u2u2u2u2 $2.00, u3u3u3u3u3u3 $1.00"),
        ("Most by model", "openai/gpt-4o-mini $6.50"),
        ("Most by prompt version", "3f2a9c41 $6.50"),
    )


def test_under_a_divided_budget_it_is_of_the_value_alone():
    budget = Budget.objects.create(each=["user"], limit=10)
    make_call(user_ref="u1", tenant="acme", cost_usd=Decimal(3))
    make_call(user_ref="u2", tenant="umbrella", cost_usd=Decimal(5))
    told = dict(notice(parcel(threshold(budget, "u1", feature=""))).facts)
    assert told["Most by tenant"] == "acme $3.00" and "Top callers" not in told
    assert "Most by tenant" not in dict(notice(parcel(threshold(budget, "", feature=""))).facts)


@override_settings(TOLLHOUSE=SETTINGS)
def test_a_switch_is_told_with_its_lift_until_it_is_over(world):
    world.feature("support.reply")
    until = timezone.now() + timedelta(hours=1)
    made = Switch(scope="feature", value="support.reply", reason="It invents refunds", expires_at=until)
    switch_off(made, actor="kim")
    told = Alert.objects.get()
    found = notice(parcel(told))
    assert found.facts == (("Until", f"{until:%Y-%m-%d %H:%M} UTC"), ("Calls under way", "finish"))
    links = dict(found.links)
    assert list(links) == ["Alert", "Spend", "Calls", "Lift"]
    assert links["Lift"].endswith(f"/switch/lift/?id={made.pk}")
    assert [label for label, _ in notice(parcel(told, "resolve")).links] == ["Alert", "Spend", "Calls"]


@override_settings(TOLLHOUSE=SETTINGS)
def test_links_are_absolute_and_lead_to_pages(alert):
    found = dict(notice(parcel(alert)).links)
    assert list(found) == ["Alert", "Spend", "Calls", "Raise the budget", "Switch off"]
    assert found["Raise the budget"].endswith(
        f"/budget/{alert.detail['budget']}/raise/?window={alert.detail['window']}"
    )
    assert found["Spend"].endswith("/admin/tollhouse_gateway/feature/support.reply/spend/")
    assert found["Alert"] == f"https://tollhouse.example/admin/tollhouse_budgets/alert/{alert.pk}/change/"
    assert found["Calls"].endswith("/call/?feature=support.reply&period=24h")
    assert found["Switch off"].endswith(f"/switch/add/?scope=feature&value=support.reply&alert={alert.pk}")
    for url in found.values():
        assert resolve(url.removeprefix("https://tollhouse.example").partition("?")[0])


@override_settings(TOLLHOUSE=SETTINGS)
def test_what_is_of_a_tenant_switches_off_that_tenant_alone():
    budget = Budget.objects.create(feature="support.reply", each=["tenant"], limit=10)
    found = dict(notice(parcel(threshold(budget, "acme", tenant="acme"))).links)
    assert "/switch/add/?scope=feature&value=support.reply&tenant=acme&alert=" in found["Switch off"]


def test_without_a_public_address_there_are_no_links(alert):
    assert notice(parcel(alert)).links == ()


@override_settings(TOLLHOUSE=SETTINGS)
def test_one_for_many_quotes_some_and_links_to_their_list(alert):
    found = notice(parcel(alert, count=7, quoted=("first", "second")))
    assert found.count == 7 and found.summary.startswith("7 alerts of the kind budget_threshold, first: ")
    assert found.facts == (("Among them", "first"), ("Among them", "second"))
    assert [label for label, _ in found.links] == ["Alerts"] and found.feature == "" and found.bar is None


def test_an_end_says_why_and_when(alert):
    Alert.objects.update(resolved_at=timezone.now(), resolution="Its time is over.")
    alert.refresh_from_db()
    found = notice(parcel(alert, "resolve"))
    assert found.resolution == "Its time is over." and found.at == alert.resolved_at and found.facts == ()


@pytest.mark.parametrize(
    "detail",
    [
        {},
        [],
        "text",
        {"budget": "x", "window": "yesterday", "limit": "much", "spent": None},
        {"limit": "NaN", "spent": "Infinity"},
        {"window": "2026-13-45T99:00:00+00:00"},
        {"window": "2026-05-01T00:00:00"},
        {"budget": 10**9, "nested": {"a": [1]}, "yes": True},
    ],
)
def test_a_detail_of_any_shape_can_be_told(detail):
    alert = Alert.objects.create(kind="k", severity="info", dedup_key="x", summary="s", detail=detail, feature="f")
    alert.refresh_from_db()
    found = notice(parcel(alert))
    assert found.summary == "s" and found.facts == () and found.bar is None
