"""Budgets that each value of a field has for itself, in other currencies, for fixed dates; thresholds and raises."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from budgets import raises
from budgets.models import Alert, Budget, BudgetRaise, Rate, Window
from gateway.ledger import Grant, Refusal
from tests.gateway.ledger.calls import a_writer, bid_of, hold_of, settle_of
from tests.gateway.ledger.stored import a_budget, rows

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = timedelta(hours=1)


@sync_to_async
def a_raise(budget, amount, value="", **values):
    given = {"reason": "r", "expires_at": timezone.now() + HOUR, "by": "ada", **values}
    return BudgetRaise.objects.create(budget=budget, value=value, amount=amount, **given)


@sync_to_async
def a_rate(per_usd, day="2020-01-01", currency="EUR"):
    return Rate.objects.create(currency=currency, per_usd=per_usd, effective_from=day, source="a test")


async def spend(ledger, usd, **scope):
    """A call of that cost, settled; the refusal where there is one."""
    hold = hold_of(usd, **scope)
    answer = await ledger.hold(hold)
    if isinstance(answer, Grant):
        await ledger.settle(settle_of(hold, answer, usd))
    return answer


async def figures():
    return {w.value: (w.spent, w.held) for w in await rows(Window.objects.all())}


async def test_each_tenant_has_the_whole_limit_and_those_without_share_one():
    await a_budget(each="tenant")
    async with a_writer() as ledger:
        for tenant in ("acme", "umbrella", ""):
            assert isinstance(await spend(ledger, "0.6", tenant=tenant), Grant)
            refusal = await spend(ledger, "0.6", tenant=tenant)
            assert isinstance(refusal, Refusal) and refusal.by == "budget"
            assert f"{f'tenant {tenant}' if tenant else 'no tenant'} has 0.4 left" in refusal.reason
    spent = (Decimal("0.6"), Decimal(0))
    assert await figures() == {"acme": spent, "umbrella": spent, "": spent}


async def test_the_first_calls_of_an_unknown_user_at_once_spend_no_more_than_the_limit():
    """Of two processes, when no window for the user is there yet."""
    await a_budget(each="user", limit=1)
    async with a_writer() as one, a_writer() as other:
        holds = [hold_of("0.3") for _ in range(8)]
        for hold in holds:
            hold.scope = hold.scope._replace(user="never seen")
        answers = await asyncio.gather(*((one, other)[n % 2].hold(hold) for n, hold in enumerate(holds)))
    assert sum(isinstance(answer, Grant) for answer in answers) == 3
    assert await figures() == {"never seen": (Decimal(0), Decimal("0.9"))}


async def test_two_fields_are_counted_by_pairs_that_no_name_can_mix_up():
    await Budget.objects.acreate(each=["tenant", "feature"], limit=1)
    async with a_writer() as ledger:
        for feature, tenant in (('a","b', "c"), ("a", 'b","c'), ("a", ""), ("", "a")):
            assert isinstance(await spend(ledger, "0.6", feature=feature, tenant=tenant), Grant)
            assert isinstance(await spend(ledger, "0.6", feature=feature, tenant=tenant), Refusal)
    assert set(await figures()) == {'["a\\",\\"b","c"]', '["a","b\\",\\"c"]', '["a",""]', '["","a"]'}


async def test_values_with_characters_that_the_database_has_not_count_too():
    await a_budget(each="tenant")
    async with a_writer() as ledger:
        assert isinstance(await spend(ledger, "0.6", tenant='a\0"b\\'), Grant)
        assert isinstance(await spend(ledger, "0.6", tenant='a\0"b\\'), Refusal)


async def test_a_budget_of_each_model_counts_where_the_call_goes():
    await a_budget(each="model")
    async with a_writer() as ledger:
        bids = (bid_of("0.8", model="m"), bid_of("0.8", model="n"))
        assert (await ledger.hold(hold_of("0.8", bids=bids))).bid.model == "m"
        assert (await ledger.hold(hold_of("0.8", bids=bids))).bid.model == "n"
        assert isinstance(await ledger.hold(hold_of("0.8", bids=bids)), Refusal)


async def test_every_threshold_is_told_once_a_window_and_says_whom_it_concerns():
    await a_budget(each="tenant", soft_percent=[90, 50, 70])
    async with a_writer() as ledger:
        for tenant in ("acme", "umbrella"):
            for _ in range(19):
                await spend(ledger, "0.05", tenant=tenant)
    alerts = await rows(Alert.objects.order_by("id"))
    windows = {w.value: w for w in await rows(Window.objects.all())}
    assert [(a.tenant, a.detail["percent"], a.severity) for a in alerts] == [
        (tenant, percent, "critical" if percent == 90 else "warning")
        for tenant in ("acme", "umbrella") for percent in (50, 70, 90)
    ]  # fmt: skip
    for alert in alerts:
        window = windows[alert.tenant]
        assert (alert.feature, alert.ends_at) == ("f", window.ends_at)
        assert {"budget": window.budget_id, "window": window.id, "value": alert.tenant}.items() <= alert.detail.items()


async def test_one_call_may_cross_several_thresholds_and_a_lowered_limit_is_told():
    budget = await a_budget(soft_percent=[50, 90])
    async with a_writer() as ledger:
        await spend(ledger, "0.4")
        assert await Alert.objects.acount() == 0
        await Budget.objects.filter(pk=budget.pk).aupdate(limit=Decimal("0.44"))
        await spend(ledger, "0.01")
        assert [a.detail["percent"] for a in await rows(Alert.objects.order_by("id"))] == [50, 90]
        await Budget.objects.filter(pk=budget.pk).aupdate(limit=1)
        await spend(ledger, "0.5")
    assert await Alert.objects.acount() == 2


async def test_without_thresholds_nothing_is_told_before_the_limit():
    await a_budget(soft_percent=[])
    async with a_writer() as ledger:
        await spend(ledger, "1")
        assert await Alert.objects.acount() == 0
        await spend(ledger, "1")
    assert [a.kind for a in await rows(Alert.objects.all())] == ["budget_exhausted"]


async def test_a_raise_counts_on_the_next_hold_for_its_value_alone_and_until_it_is_withdrawn():
    budget = await a_budget(each="tenant")
    async with a_writer() as ledger:
        await spend(ledger, "1", tenant="acme")
        await spend(ledger, "1", tenant="umbrella")
        given = await a_raise(budget, 1, "acme")
        assert isinstance(await spend(ledger, "0.6", tenant="acme"), Grant)
        assert isinstance(await spend(ledger, "0.6", tenant="acme"), Refusal)
        assert isinstance(await spend(ledger, "0.1", tenant="umbrella"), Refusal)
        await sync_to_async(raises.withdraw)([given], by="bob")
        assert isinstance(await spend(ledger, "0.1", tenant="acme"), Refusal)
    await given.arefresh_from_db()
    assert given.withdrawn_by == "bob" and given.withdrawn_at


async def test_a_raise_ends_by_itself_at_the_database_s_clock():
    budget = await a_budget()
    given = await a_raise(budget, 1)
    async with a_writer() as ledger:
        assert isinstance(await spend(ledger, "1.5"), Grant)
        # Only now, as on a machine that is busy a writer may take longer to begin than a short raise lasts.
        await BudgetRaise.objects.filter(pk=given.pk).aupdate(expires_at=timezone.now() + timedelta(seconds=1))
        async with asyncio.timeout(20):
            while "0 left" not in getattr(await ledger.hold(hold_of("0.5", call_id=None)), "reason", ""):
                await asyncio.sleep(0.05)
        await a_raise(budget, 5, expires_at=timezone.now() - timedelta(seconds=1))
        assert isinstance(await spend(ledger, "0.1"), Refusal)


async def test_asking_refuses_and_tells_where_to_raise_again_after_each_raise():
    budget = await a_budget(on_hard="ask", soft_percent=[])
    async with a_writer() as ledger:
        await spend(ledger, "1")
        for _ in range(3):
            refusal = await spend(ledger, "0.5")
            assert isinstance(refusal, Refusal) and "A person was asked to raise it" in refusal.reason
        window = await Window.objects.aget()
        [alert] = await rows(Alert.objects.all())
        assert (alert.kind, alert.severity, alert.ends_at) == ("budget_exhausted", "critical", window.ends_at)
        assert alert.detail["link"] == f"/admin/tollhouse_budgets/budget/{budget.pk}/raise/?window={window.pk}"
        await a_raise(budget, Decimal("0.5"))
        assert isinstance(await spend(ledger, "0.5"), Grant)
        await spend(ledger, "0.5")
    assert [a.detail["limit"] for a in await rows(Alert.objects.order_by("id"))] == ["1.000000000", "1.500000000"]


@pytest.mark.parametrize("times", [1, 2])
async def test_what_is_used_up_when_a_raise_is_over_is_told_again(times):
    """The raise had ended the alert that asked for it."""
    budget = await a_budget(on_hard="ask", soft_percent=[])
    async with a_writer() as ledger:
        await spend(ledger, "1")
        await spend(ledger, "0.5")
        for _ in range(times):
            until = timezone.now() + timedelta(hours=1)
            half = {"amount": Decimal("0.5"), "reason": "a test", "expires_at": until, "by": "ada"}
            given = await sync_to_async(raises.give)(budget, "", **half)
            assert not await Alert.objects.filter(resolved_at=None).aexists()
            await sync_to_async(raises.withdraw)([given], by="bob")
            for _ in range(2):
                assert isinstance(await spend(ledger, "0.5"), Refusal)
            assert await Alert.objects.filter(resolved_at=None).acount() == 1
    assert await Alert.objects.acount() == 1 + times


async def test_a_foreign_limit_is_converted_at_the_rate_of_the_window_s_start_and_stays():
    await a_rate(Decimal("0.5"), "2000-01-01")
    await a_budget(currency="EUR", limit=1)
    async with a_writer() as ledger:
        assert isinstance(await spend(ledger, "1.5"), Grant)
        await a_rate(Decimal("2"), "2000-01-02")
        assert isinstance(await spend(ledger, "0.5"), Grant)
        assert isinstance(await spend(ledger, "0.000000001"), Refusal)
    window = await Window.objects.select_related("budget").aget()
    assert (window.rate, window.limit, window.spent) == (Decimal("0.5"), 2, 2)


async def test_a_limit_that_no_fraction_is_exact_for_is_rounded_down():
    await a_rate(3)
    await a_budget(currency="EUR", limit=1)
    async with a_writer() as ledger:
        assert isinstance(await spend(ledger, "0.333333334"), Refusal)
        assert isinstance(await spend(ledger, "0.333333333"), Grant)


async def test_without_a_rate_calls_are_refused_until_there_is_one():
    budget = await a_budget(currency="EUR")
    async with a_writer() as ledger:
        refusal = await spend(ledger, "0.1")
        assert isinstance(refusal, Refusal) and refusal.by == "price"
        assert (
            refusal.reason == "There is no rate for EUR, which the day's budget of 1 EUR for feature f is in; add one."
        )
        # Younger than the window: the first that there is counts.
        await a_rate(1, timezone.now().date() + timedelta(days=1))
        await a_raise(budget, 1)
        assert isinstance(await spend(ledger, "2"), Grant)
    assert (await Window.objects.aget()).rate == 1


async def test_a_range_counts_between_its_days_and_nowhere_else():
    zone = ZoneInfo("Asia/Tokyo")
    today = timezone.now().astimezone(zone).date()
    day = timedelta(days=1)
    values = {"period": "range", "timezone": "Asia/Tokyo", "limit": 0}
    await a_budget(starts_on=today - 9 * day, ends_on=today - 3 * day, **values)
    await a_budget(starts_on=today + 3 * day, ends_on=today + 9 * day, **values)
    async with a_writer() as ledger:
        assert isinstance(await spend(ledger, "5"), Grant)
        await a_budget(starts_on=today - 3 * day, ends_on=today + 2 * day, **{**values, "limit": 1})
        assert isinstance(await spend(ledger, "0.9"), Grant)
        refusal = await spend(ledger, "0.9")
    assert isinstance(refusal, Refusal)
    window = await Window.objects.aget()
    assert refusal.resets_at == window.ends_at
    first = datetime.combine(today - 3 * day, datetime.min.time(), tzinfo=zone).astimezone(UTC)
    assert (window.starts_at, window.ends_at) == (first, first + 6 * day)


async def test_what_a_refused_caller_is_told_to_do_fits_the_metric():
    await a_budget(metric="calls", limit=1)
    await a_budget(metric="tokens", limit=15, feature="g")
    async with a_writer() as ledger:
        await spend(ledger, "0")
        refusal = await spend(ledger, "0")
        assert isinstance(refusal, Refusal) and "fewer tokens" not in refusal.reason
        assert "It resets at" in refusal.reason and refusal.resets_at == (await Window.objects.aget()).ends_at
        await spend(ledger, "0", feature="g")
        refusal = await spend(ledger, "0", feature="g")
        assert isinstance(refusal, Refusal) and "ask for fewer tokens" in refusal.reason


async def test_a_deleted_budget_refuses_nothing_and_calls_in_flight_are_settled_in_it():
    budget = await a_budget()
    async with a_writer() as ledger:
        hold = hold_of("0.9")
        grant = await ledger.hold(hold)
        await sync_to_async(budget.retire)()
        assert isinstance(await ledger.hold(hold_of("5")), Grant)
        await ledger.settle(settle_of(hold, grant, "0.7"))
        # The same again may be made, and begins anew.
        await a_budget()
        assert isinstance(await spend(ledger, "1"), Grant)
        assert isinstance(await spend(ledger, "0.1"), Refusal)
    windows = await rows(Window.objects.order_by("id"))
    assert [(w.spent, w.held) for w in windows] == [(Decimal("0.7"), 0), (1, 0)]
    assert await Budget.objects.acount() == 1 and await Budget.everything.acount() == 2


async def test_pausing_and_lowering_count_on_the_next_call():
    budget = await a_budget()
    async with a_writer() as ledger:
        await spend(ledger, "0.5")
        await Budget.objects.filter(pk=budget.pk).aupdate(limit=Decimal("0.4"))
        assert isinstance(await spend(ledger, "0.1"), Refusal)
        await Budget.objects.filter(pk=budget.pk).aupdate(active=False)
        assert isinstance(await spend(ledger, "9"), Grant)
        await Budget.objects.filter(pk=budget.pk).aupdate(active=True, limit=1)
        assert isinstance(await spend(ledger, "0.5"), Grant)
    assert (await Window.objects.aget()).spent == 1
