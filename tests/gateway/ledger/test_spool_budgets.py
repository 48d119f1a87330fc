"""Spooled calls count in the windows that they would have been held in, whatever kind of budget that is."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from budgets.models import Alert, Budget, Window
from tests.gateway.ledger.calls import a_writer, hold_of, settle_of
from tests.gateway.ledger.spools import a_call, a_file, replayed
from tests.gateway.ledger.stored import a_budget, rows
from tests.gateway.ledger.test_scopes import a_raise, a_rate

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)


@sync_to_async
def figures():
    return {w.value: w.spent for w in Window.objects.all()}


async def test_each_value_counts_for_itself_and_its_own_overspend_is_told(tmp_path):
    budget = await a_budget(each="tenant", soft_percent=[])
    calls = [a_call("0.8", tenant=tenant) for tenant in ("acme", "acme", "umbrella", "")]
    a_file(tmp_path, *(call.record() for call in calls))
    await replayed(tmp_path)
    assert await figures() == {"acme": Decimal("1.6"), "umbrella": Decimal("0.8"), "": Decimal("0.8")}
    [told] = await rows(Alert.objects.filter(kind="budget_exhausted"))
    window = await Window.objects.aget(value="acme")
    assert (told.tenant, told.feature, told.ends_at) == ("acme", "f", window.ends_at)
    assert {"budget": budget.pk, "window": window.pk, "value": "acme"}.items() <= told.detail.items()
    assert "took the day's budget of 1 USD for feature f, tenant acme over its limit" in told.summary


async def test_thresholds_that_are_crossed_so_are_told_once(tmp_path):
    await a_budget(soft_percent=[50, 90])
    for usd in ("0.6", "0.1", "0.25"):
        a_file(tmp_path, a_call(usd).record())
        await replayed(tmp_path)
    told = await rows(Alert.objects.filter(kind="budget_threshold").order_by("id"))
    assert [alert.detail["percent"] for alert in told] == [50, 90] and (await Window.objects.aget()).alerted == 90


async def test_fixed_dates_count_what_was_made_between_them(tmp_path):
    today = timezone.now().date()
    past = await a_budget(period="range", starts_on=today - 9 * DAY, ends_on=today - 3 * DAY)
    now = await a_budget(period="range", starts_on=today - 2 * DAY, ends_on=today + DAY)
    await a_budget(period="range", starts_on=today + 2 * DAY, ends_on=today + 9 * DAY)
    moments = (timezone.now(), timezone.now() - 5 * DAY, timezone.now() - 20 * DAY)
    a_file(tmp_path, *(a_call(usd, at=at).record() for usd, at in zip(("0.1", "0.2", "0.4"), moments, strict=True)))
    await replayed(tmp_path)
    spent = {window.budget_id: window.spent for window in await rows(Window.objects.all())}
    assert spent == {past.pk: Decimal("0.2"), now.pk: Decimal("0.1")}


@pytest.mark.parametrize(("raised", "told"), [(0, 1), (2, 0)])
async def test_the_limit_is_in_its_currency_by_the_rate_of_the_call_s_window_and_counts_raises(tmp_path, raised, told):
    await a_rate(Decimal("0.5"))
    await a_rate(Decimal(5), timezone.now().date() - DAY)
    budget = await a_budget(currency="EUR", limit=1, soft_percent=[])
    if raised:
        await a_raise(budget, raised)
    a_file(tmp_path, a_call("3", at=timezone.now() - 3 * DAY).record())
    await replayed(tmp_path)
    window = await Window.objects.aget()
    assert (window.rate, window.spent) == (Decimal("0.5"), 3)
    assert await Alert.objects.filter(kind="budget_exhausted").acount() == told


async def test_a_call_of_before_its_budget_s_calendar_changed_counts_in_what_is_open_now_with_all_of_the_old(tmp_path):
    budget = await a_budget(period="day", limit=10)
    call = a_call("0.5")
    async with a_writer() as ledger:
        hold = hold_of("4")
        await ledger.settle(settle_of(hold, await ledger.hold(hold), "4"))
    await sync_to_async(Budget.objects.filter(pk=budget.pk).update)(period="month")
    a_file(tmp_path, call.record())
    await replayed(tmp_path)
    old, new = await rows(Window.objects.order_by("id"))
    assert (old.spent, new.spent, new.carried) == (4, Decimal("4.5"), 4)
    assert not await Alert.objects.filter(kind="budget_exhausted").aexists()


async def test_what_an_old_calendar_had_overspent_is_not_the_spooled_call_s_doing(tmp_path):
    budget = await a_budget(period="day", limit=10, soft_percent=[])
    async with a_writer() as ledger:
        hold = hold_of("4")
        await ledger.settle(settle_of(hold, await ledger.hold(hold), "4"))
    await sync_to_async(Budget.objects.filter(pk=budget.pk).update)(period="month", limit=3)
    a_file(tmp_path, a_call("0.5").record())
    await replayed(tmp_path)
    assert (await Window.objects.aget(calendar=1)).spent == Decimal("4.5")
    assert not await Alert.objects.filter(kind="budget_exhausted").aexists()


async def test_a_deleted_budget_counts_what_it_had_held_and_nothing_new(tmp_path):
    budget = await a_budget()
    async with a_writer() as ledger:
        held = hold_of("0.4")
        grant = await ledger.hold(held)
        await sync_to_async(budget.retire)()
        in_flight = replace(a_call("0.1", windows=grant.windows), call_id=held.call_id)
        a_file(tmp_path, in_flight.record(), a_call("0.2").record())
        await replayed(tmp_path)
    window = await Window.objects.aget()
    assert (window.spent, window.held) == (Decimal("0.1"), 0)
