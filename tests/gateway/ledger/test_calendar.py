"""A budget whose zone, period or dates change in mid-window: no period lets more than the limit through."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from budgets.models import Alert, Budget, Rate, Window
from budgets.rules import Rules
from gateway.ledger import Grant, Refusal
from gateway.ledger.database import connection_parameters
from gateway.ledger.link import Link
from gateway.ledger.memory import Memory
from gateway.ledger.transaction import SQL, STATEMENTS, Transaction
from tests.gateway.ledger.calls import a_writer, hold_of, settle_of
from tests.gateway.ledger.stored import a_budget, rows
from tests.gateway.ledger.test_scopes import spend

pytestmark = pytest.mark.django_db(transaction=True)


@sync_to_async
def change(budget, **values):
    Budget.objects.filter(pk=budget.pk).update(**values)


async def test_the_next_window_begins_with_what_the_open_one_had_spent_and_held():
    budget = await a_budget(period="month")
    async with a_writer() as ledger:
        await spend(ledger, "0.5")
        flying = hold_of("0.3")
        grant = await ledger.hold(flying)
        await change(budget, timezone="Pacific/Kiritimati")
        assert isinstance(await ledger.hold(hold_of("0.3")), Refusal)
        assert isinstance(await spend(ledger, "0.2"), Grant)
        await ledger.settle(settle_of(flying, grant, "0.1"))
    old, new = await rows(Window.objects.order_by("id"))
    assert (old.spent, old.held, old.carried) == (Decimal("0.6"), 0, 0)
    assert (new.spent, new.held, new.carried) == (1, 0, Decimal("0.8"))
    assert old.ends_at <= timezone.now() < new.ends_at and old.calendar < new.calendar


@pytest.mark.parametrize("values", [{"period": "day"}, {"active": False}])
async def test_what_was_told_of_a_window_ends_with_it(values):
    budget, other = await a_budget(period="month"), await a_budget(period="month", feature="")
    async with a_writer() as ledger:
        await spend(ledger, "0.8")
    await change(budget, **values)
    over = {a.detail["budget"]: a.ends_at <= timezone.now() for a in await rows(Alert.objects.all())}
    assert over == {budget.pk: True, other.pk: False}


async def test_going_to_and_fro_counts_everything_and_nothing_twice():
    budget, began = await a_budget(period="month", limit=10), timezone.now()
    async with a_writer() as ledger:
        for number, period in enumerate(("day", "month", "week", "hour", "month")):
            await spend(ledger, "1")
            await change(budget, period=period)
            assert isinstance(await ledger.hold(hold_of("0")), Grant)
            newest = await Window.objects.order_by("-id").afirst()
            # An hour that began meanwhile has only what was spent in it.
            assert newest is not None and (newest.spent == number + 1 or newest.starts_at > began)


async def test_only_windows_that_share_time_with_an_old_one_take_it_over():
    budget = await a_budget(period="month", limit=10)
    async with a_writer() as ledger:
        await spend(ledger, "5")
    # As it stands when the month was given up two days ago.
    old = await Window.objects.aget()
    await change(budget, period="hour")
    await Window.objects.filter(pk=old.pk).aupdate(
        starts_at=timezone.now() - timedelta(days=9), ends_at=timezone.now() - timedelta(days=2)
    )
    async with a_writer() as ledger:
        await spend(ledger, "1")
    assert (await Window.objects.exclude(pk=old.pk).aget()).spent == 1


async def test_each_value_takes_over_its_own():
    budget = await a_budget(each="tenant")
    async with a_writer() as ledger:
        await spend(ledger, "0.9", tenant="acme")
        await change(budget, period="week")
        assert isinstance(await spend(ledger, "0.5", tenant="acme"), Refusal)
        assert isinstance(await spend(ledger, "0.5", tenant="umbrella"), Grant)


async def test_dates_may_be_moved():
    day, today = timedelta(days=1), timezone.now().date()
    budget = await a_budget(period="range", starts_on=today - day, ends_on=today + day)
    async with a_writer() as ledger:
        await spend(ledger, "0.9")
        await change(budget, ends_on=today + 9 * day)
        assert isinstance(await spend(ledger, "0.2"), Refusal)
        await change(budget, starts_on=today + 5 * day)
        assert isinstance(await spend(ledger, "7"), Grant)


async def test_a_hold_that_had_read_the_old_calendar_starts_over():
    """The change is committed while the batch waits for the window, whose end is then not what it was chosen by."""
    budget = await a_budget(period="month")
    async with a_writer() as ledger:
        await spend(ledger, "0.5")
        await ledger.hold(hold_of("0"))
        locked, release = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def edit():
            with transaction.atomic():
                Budget.objects.filter(pk=budget.pk).update(period="day")
                loop.call_soon_threadsafe(locked.set)
                asyncio.run_coroutine_threadsafe(release.wait(), loop).result(10)
            connection.close()

        editing = asyncio.create_task(asyncio.to_thread(edit))
        await locked.wait()
        holding = asyncio.create_task(ledger.hold(hold_of("0.4")))
        await asyncio.sleep(0.2)
        assert not holding.done()
        release.set()
        await editing
        assert isinstance(await holding, Grant)
    old, new = await rows(Window.objects.order_by("id"))
    assert (old.spent, old.held) == (Decimal("0.5"), 0)
    assert (new.spent, new.held) == (Decimal("0.5"), Decimal("0.4"))


ZONES = ("Europe/London", "America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC")
PERIODS = ("hour", "day", "week", "month")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("spend"), st.integers(1, 60)),
        st.tuples(st.just("zone"), st.sampled_from(ZONES)),
        st.tuples(st.just("period"), st.sampled_from(PERIODS)),
    ),
    max_size=14,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=steps)
def test_whatever_is_changed_when_no_more_than_the_limit_is_spent_since_the_last_window_began(transactional_db, steps):
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE tollhouse_budget, tollhouse_window, tollhouse_hold, tollhouse_call CASCADE")
    async_to_sync(_play)(steps)


def quarter() -> int:
    """Which quarter of an hour it is: windows of any zone begin with one."""
    return int(timezone.now().timestamp()) // 900


async def _play(steps) -> None:
    budget, spent, began = await a_budget(limit=100), 0, quarter()
    async with a_writer() as ledger:
        for verb, value in steps:
            if verb == "spend":
                answer = await spend(ledger, str(value))
                spent += value if isinstance(answer, Grant) else 0
            else:
                await change(budget, **{"zone": {"timezone": value}, "period": {"period": value}}[verb])
    # All steps fall into every window that is open at their end, but for one that began while they ran.
    assert spent <= 100 or quarter() != began
    own = [w.spent - w.carried for w in await rows(Window.objects.all())]
    assert sum(own) == spent


@sync_to_async
def refused(budget, **values):
    with pytest.raises(IntegrityError, match="keeps its metric"), transaction.atomic():
        Budget.objects.filter(pk=budget.pk).update(**values)


async def test_what_a_window_s_figures_mean_stays():
    budget = await a_budget()
    await change(budget, metric="calls")
    await change(budget, metric="usd")
    async with a_writer() as ledger:
        await spend(ledger, "0.5")
    for values in ({"metric": "tokens"}, {"each": ["tenant"]}, {"currency": "EUR"}):
        await refused(budget, **values)


async def test_rates_stay_as_they_were_written():
    await Rate.objects.acreate(currency="EUR", per_usd=1, effective_from="2026-01-01", source="x")
    with pytest.raises(IntegrityError, match="never changed"):
        await Rate.objects.aupdate(per_usd=2)


async def test_a_range_that_began_since_the_last_batch_counts():
    """What was remembered before it began, with nothing else changed, is not used after."""
    link = await Link.open(connection_parameters(), STATEMENTS)
    owner = uuid7()
    await link.connection.execute(SQL["beat"], [owner, "here", 1])
    memory = Memory(owner=owner, rules=Rules(revision=None, budgets=(), switches=()))
    today = datetime.now(UTC).date()
    await a_budget(period="range", starts_on=today, ends_on=today + timedelta(days=1))
    answers = []
    for ago in (timedelta(0), timedelta(days=3)):
        memory.now = memory.now and memory.now - ago
        batch = Transaction(link, memory, repeat=False)
        await batch.run([hold_of("0.6")])
        answers += [answer for _, answer in batch.answers]
    await link.connection.close()
    assert [type(answer) for answer in answers] == [Grant, Refusal]
