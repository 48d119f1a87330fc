"""Which windows a price correction moves, of budgets of every kind, and what is told of it."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from budgets.models import Alert, Budget, BudgetRaise, Rate, Window
from gateway.models import Adjustment, Provider, Route, Target
from tests.gateway.test_repricing import a_call, an_old_price, correct, run

pytestmark = pytest.mark.django_db
SPENT = Decimal("0.5")
HOUR = timedelta(hours=1)
DEARER = {"input": "30", "output": "30"}


@pytest.fixture
def world(db):
    return an_old_price()


def window_of(budget, *, value="", begun=6, ends_in=6, spent=SPENT, **values):
    """A window that was made when it began, some hours ago."""
    now = timezone.now()
    given = {"calendar": budget.calendar, "made_at": now - begun * HOUR, **values}
    return Window.objects.create(
        budget=budget, value=value, starts_at=now - begun * HOUR, ends_at=now + ends_in * HOUR, spent=spent, **given
    )


def moved(*windows):
    for window in windows:
        window.refresh_from_db()
    return [window.spent - SPENT for window in windows]


def change_of(call):
    return Adjustment.objects.get(call_id=call.id).cost_usd


def test_windows_of_the_call_s_own_value_move(world):
    each = Budget.objects.create(each=["tenant"], limit=10)
    pairs = Budget.objects.create(each=["feature", "tenant"], limit=10)
    acme, umbrella, nobody = (window_of(each, value=value) for value in ("acme", "umbrella", ""))
    pair, other = (window_of(pairs, value=value) for value in ('["support.reply","acme"]', '["support.reply",""]'))
    call = a_call(world, tenant="acme")
    correct()
    run()
    change = change_of(call)
    assert change < 0 and moved(acme, umbrella, nobody, pair, other) == [change, 0, 0, change, 0]


def test_of_a_budget_of_each_model_the_one_that_was_asked_for_moves(world):
    """The row has the dated name that was served; a window has the target's, or that too where it is one."""
    budget = Budget.objects.create(each=["model"], limit=10)
    short, dated = (window_of(budget, value=value) for value in ("gpt-x", "gpt-x-2026-01-01"))
    call = a_call(world)
    correct()
    run()
    assert moved(short, dated) == [change_of(call), 0]


def test_of_a_budget_of_each_model_a_target_s_dated_name_is_found(world):
    Target.objects.create(
        route=Route.objects.get(), position=1, provider=Provider.objects.get(), model="gpt-x-2026-01-01"
    )
    window = window_of(Budget.objects.create(each=["model"], limit=10), value="gpt-x-2026-01-01")
    call = a_call(world)
    correct()
    run()
    assert moved(window) == [change_of(call)]


def test_fixed_dates_move_while_they_last(world):
    today = timezone.now().date()
    days = {"period": "range", "limit": 10}
    now, over = (
        Budget.objects.create(starts_on=today + timedelta(days=first), ends_on=today + timedelta(days=last), **days)
        for first, last in ((-3, 3), (-9, -1))
    )
    windows = [window_of(now, begun=72, ends_in=72), window_of(over, begun=200, ends_in=-1)]
    call = a_call(world, at=timezone.now() - 2 * HOUR)
    correct()
    run()
    assert moved(*windows) == [change_of(call), 0]


def test_a_window_moves_by_calls_of_the_calendar_that_it_took_over(world):
    budget = Budget.objects.create(limit=10, period="day")
    old = window_of(budget, begun=6, ends_in=6)
    before = window_of(budget, begun=30, ends_in=-6)
    early, late = (a_call(world, at=timezone.now() - hours * HOUR) for hours in (3, 0.1))
    a_call(world, at=timezone.now() - 20 * HOUR)
    Budget.objects.filter(pk=budget.pk).update(period="month")
    budget.refresh_from_db()
    Window.objects.filter(pk=old.pk).update(ends_at=timezone.now() - HOUR)
    new = window_of(budget, begun=2, ends_in=400, carried=SPENT)
    correct()
    run()
    assert moved(old, before, new) == [0, 0, change_of(early) + change_of(late)]
    assert new.carried == SPENT


def test_budgets_that_are_paused_or_deleted_stay_as_they_are(world):
    budgets = [Budget.objects.create(limit=10, feature=name) for name in ("", "support.reply")]
    windows = [window_of(budget) for budget in budgets]
    Budget.objects.filter(pk=budgets[0].pk).update(active=False)
    budgets[1].retire()
    a_call(world)
    correct()
    run()
    assert moved(*windows) == [0, 0] and Adjustment.objects.exists()


def test_every_threshold_that_is_crossed_is_told_as_the_ledger_would_and_once(world):
    budget = Budget.objects.create(
        each=["tenant"], feature="support.reply", limit=Decimal("0.53"), soft_percent=[50, 95, 99]
    )
    window = window_of(budget, value="acme", alerted=50)
    a_call(world, tenant="acme")
    correct(DEARER)
    run()
    assert moved(window)[0] > 0
    told = {alert.dedup_key: alert for alert in Alert.objects.all()}
    assert set(told) == {f"budget:{budget.pk}:{window.pk}:{percent}" for percent in (95, 99)}
    alert = told[f"budget:{budget.pk}:{window.pk}:99"]
    assert (alert.tenant, alert.feature, alert.severity) == ("acme", "support.reply", "critical")
    assert alert.ends_at == window.ends_at and alert.detail["budget"] == budget.pk and window.alerted == 99


@pytest.mark.parametrize(("values", "raised", "told"), [
    ({"limit": Decimal("0.71")}, 0, True),
    ({"limit": Decimal("0.71")}, 1, False),
    ({"limit": Decimal("0.355"), "currency": "EUR"}, 0, True),
    ({"limit": Decimal("0.71"), "currency": "EUR"}, 0, False),
])  # fmt: skip
def test_a_threshold_is_of_the_limit_with_its_raises_and_its_rate(world, values, raised, told):
    Rate.objects.create(currency="EUR", per_usd=Decimal("0.5"), effective_from="2000-01-01", source="a test")
    budget = Budget.objects.create(**values)
    if raised:
        expires = timezone.now() + HOUR
        BudgetRaise.objects.create(budget=budget, amount=raised, reason="r", by="ada", expires_at=expires)
    window_of(budget, spent=Decimal("0.49"), rate=Decimal("0.5") if "currency" in values else None)
    a_call(world)
    correct(DEARER)
    run()
    assert Alert.objects.exists() is told


def test_a_correction_never_takes_a_window_below_nothing(world):
    window = window_of(Budget.objects.create(limit=10), spent=Decimal("0.000000001"))
    a_call(world)
    correct({"input": "0", "output": "0"})
    run()
    window.refresh_from_db()
    assert window.spent == 0
