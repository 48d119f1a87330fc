"""What a hold asks of the database does not grow with tenants, budgets of others or windows; caps hold for all kinds of budgets."""

import asyncio
import random
from datetime import timedelta
from decimal import Decimal
from time import perf_counter

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone
from uuid_utils.compat import uuid7

from budgets.models import Budget, BudgetRaise, Rate, Window
from budgets.rules import Rules
from gateway.ledger import Grant, Refusal
from gateway.ledger.database import connection_parameters
from gateway.ledger.link import Link
from gateway.ledger.memory import Memory
from gateway.ledger.transaction import SQL, STATEMENTS, Transaction
from gateway.ledger.writer import SESSION
from tests.gateway.ledger.calls import a_writer, hold_of, settle_of
from tests.gateway.ledger.stored import a_budget, rows

pytestmark = pytest.mark.django_db(transaction=True)


class CountingLink(Link):
    """A link that counts round trips and statements, and the rows that were locked."""

    def reset(self):
        self.bursts = self.sent = self.locked = 0

    async def burst(self, *statements):
        answers = await super().burst(*statements)
        self.bursts += 1
        self.sent += len(statements)
        for (name, *given), found in zip(statements, answers, strict=True):
            # A transaction that goes ahead names the number of windows that it locks first.
            self.locked += len(found) if name == "lock_windows" else int(given[0]) if name.startswith("ahead") else 0
        return answers


@pytest.fixture
async def link(transactional_db):
    opened = await CountingLink.open(connection_parameters(), STATEMENTS)
    await opened.connection.execute(SESSION)
    yield opened
    await opened.connection.close()


@pytest.fixture
async def memory(link):
    owner = uuid7()
    await link.connection.execute(SQL["beat"], [owner, "here", 1])
    return Memory(owner=owner, rules=Rules(revision=None, budgets=(), switches=()))


async def counted(link, memory, **scope):
    """Round trips, statements and locked rows of one hold, and the rows of windows that the server read for it.

    As a server of other tests may read windows meanwhile, only what this session has read and not told the others yet is
    counted. It tells them when it is asked to, and by itself when it has not for a second: then there is no answer.
    """
    link.reset()
    await link.connection.execute("SELECT pg_stat_force_next_flush()")
    began = perf_counter()
    batch = Transaction(link, memory, repeat=False)
    await batch.run([hold_of("0", **scope)])
    found = await link.connection.execute(
        "SELECT (seq_tup_read + idx_tup_fetch)::int FROM pg_stat_xact_user_tables WHERE relname = 'tollhouse_window'"
    )
    [read] = await found.fetchone()
    [(_, answer)] = batch.answers
    assert isinstance(answer, Grant)
    return (link.bursts, link.sent, link.locked, read) if perf_counter() - began < 1 else None


@sync_to_async
def fill(count):
    """Windows of so many tenants under each budget that has them, as if each had called."""
    with connection.cursor() as cursor:
        for budget in Budget.objects.filter(each=["tenant"]):
            start, end = budget.window_at(timezone.now())
            cursor.execute(
                "INSERT INTO tollhouse_window (budget_id, value, starts_at, ends_at)"
                " SELECT %s, 'tenant-' || n, %s, %s FROM generate_series(1, %s) n ON CONFLICT DO NOTHING",
                [budget.pk, start, end, count],
            )
        cursor.execute("ANALYZE tollhouse_window")


async def costs(link, memory, **scope):
    """What such a first hold of a process costs, and its second."""
    found = [None]
    while None in found:
        memory.windows.clear()
        memory.left.clear()
        memory.rules = Rules(revision=None, budgets=(), switches=())
        await counted(link, memory, feature="none")
        found = [await counted(link, memory, **scope) for _ in range(2)]
    return found


async def test_a_hold_costs_the_same_with_ten_thousand_tenants(link, memory):
    await a_budget(each="tenant", period="month")
    # So many that PostgreSQL would not rather read them all than an index.
    await fill(1_000)
    few = await costs(link, memory, tenant="tenant-7")
    await fill(10_000)
    many = await costs(link, memory, tenant="tenant-7")
    assert few == many
    assert [cost[2] for cost in many] == [1, 1] and all(0 < cost[3] < 10 for cost in many)


async def test_a_hold_costs_the_same_beside_a_thousand_budgets_of_others(link, memory):
    await a_budget(period="month")
    await counted(link, memory)  # the first of all makes the window
    alone = await costs(link, memory)
    await Budget.objects.abulk_create(
        [
            Budget(**{field: f"{field}-{number}"}, limit=1, metric=metric)
            for field in ("feature", "tenant", "key", "user")
            for number in range(125)
            for metric in ("usd", "calls")
        ]
    )
    assert await costs(link, memory) == alone
    # One look-up for each set of fields that is used, whatever the number of budgets.
    assert len(memory.rules._budgets) == 4 and len(memory.rules.by_id) == 1001


async def test_five_budgets_on_a_call_take_no_further_round_trip(link, memory):
    await a_budget(period="month")
    _, one = await costs(link, memory)
    for values in (
        {"each": "tenant"},
        {"each": ["tenant", "feature"]},
        {"metric": "tokens", "limit": 10**6},
        {"feature": ""},
    ):
        await a_budget(**values)
    _, five = await costs(link, memory)
    assert five[:2] == one[:2] and (one[2], five[2]) == (1, 5)


async def test_caps_of_every_kind_hold_together_under_concurrency():
    """Two writers, some tenants, windows looked at all the while: none is ever above its limit and raises."""
    today = timezone.now().date()
    await Rate.objects.acreate(currency="EUR", per_usd=Decimal("0.8"), effective_from="2026-01-01", source="x")
    each = await a_budget(each="tenant", limit=1)
    await a_budget(each=["tenant", "feature"], limit=100, metric="calls")
    await a_budget(currency="EUR", limit=2)
    await a_budget(
        feature="", limit=3, period="range", starts_on=today - timedelta(days=1), ends_on=today + timedelta(days=1)
    )
    await BudgetRaise.objects.acreate(
        budget=each, value="b", amount=Decimal("0.5"), reason="r", expires_at=timezone.now() + timedelta(hours=1)
    )
    dice, over, done = random.Random(4), [], asyncio.Event()

    async def look():
        while not done.is_set():
            for window in await rows(Window.objects.select_related("budget").with_limit()):
                if window.spent + window.held > window.limit:
                    over.append((str(window), window.spent, window.held, window.limit))
            await asyncio.sleep(0)

    async def call(ledger):
        hold = hold_of(Decimal(dice.randrange(1, 80_000_000)) / 10**9, tenant=dice.choice(["a", "b", "c", ""]))
        answer = await ledger.hold(hold)
        if isinstance(answer, Grant):
            cost = (hold.bids[0].usd * Decimal(dice.random())).quantize(Decimal("1e-9"))
            await ledger.settle(settle_of(hold, answer, cost))
        return answer

    async with a_writer() as one, a_writer() as other:
        looking = asyncio.create_task(look())
        answers = []
        for _ in range(10):
            answers += await asyncio.gather(*(call(ledger) for ledger in (one, other) for _ in range(25)))
        done.set()
        await looking
    assert over == []
    assert {type(answer) for answer in answers} == {Grant, Refusal}
    windows = await rows(Window.objects.select_related("budget").with_limit())
    assert all(window.held == 0 for window in windows)
    of = {window.value: window.spent for window in windows if window.budget_id == each.pk}
    assert set(of) == {"a", "b", "c", ""}
    [everything] = [window.spent for window in windows if window.budget.period == "range"]
    assert sum(of.values()) == everything
