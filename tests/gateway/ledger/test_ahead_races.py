"""Transactions that go ahead while others hold the locks they need: what the others do meanwhile counts, and nothing counts twice."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone
from psycopg import AsyncConnection

from budgets.models import Bucket, RateLimit, Window
from gateway.errors import LedgerUnavailable
from gateway.ledger import Grant, Refusal, partitions
from gateway.ledger.database import connection_parameters
from gateway.ledger.memory import Memory
from gateway.ledger.transaction import STATEMENTS, Transaction
from gateway.ledger.writer import SESSION
from gateway.models import Adjustment, Call, Hold
from tests.gateway.ledger.calls import a_writer, bid_of, hold_of, settle_of
from tests.gateway.ledger.stored import a_budget, until
from tests.gateway.ledger.test_many_budgets import CountingLink, link, memory  # noqa: F401  (fixtures)
from tests.gateway.ledger.test_races import swept, waiting

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def partitions_are_there(transactional_db):
    await sync_to_async(partitions.make_ahead)(1)


@pytest.fixture
async def another(transactional_db):
    """A second writer's connection."""
    opened = await CountingLink.open(connection_parameters(), STATEMENTS)
    await opened.connection.execute(SESSION)
    yield opened
    await opened.connection.close()


@asynccontextmanager
async def locked(statement):
    """A connection whose transaction has run the statement; it is for the block to end it."""
    other = await AsyncConnection.connect(**connection_parameters(), autocommit=True)
    try:
        await other.execute("BEGIN")
        await other.execute(statement)
        async with asyncio.timeout(20):
            yield other
    finally:
        await other.close()


LOCK = "SELECT FROM tollhouse_window ORDER BY id FOR UPDATE"


def nobody_waits():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' LIMIT 1"
        )
        return cursor.fetchone() is None


def twin(memory):  # noqa: F811
    """What another writer knows that remembers the same."""
    return Memory(memory.owner, memory.rules, memory.now, dict(memory.windows), dict(memory.buckets), dict(memory.left))


async def run(link, memory, *operations):  # noqa: F811
    link.reset()
    transaction = Transaction(link, memory, repeat=False)
    await transaction.run(operations)
    answers = dict(transaction.answers)
    return [answers[op] for op in operations]


async def figures():
    found = await Window.objects.aget()
    return float(found.spent), float(found.held)


async def test_a_statement_that_its_writer_gave_up_is_not_carried_out_later():
    """Nobody would settle what it grants, and the room would be gone until that expires."""
    await a_budget()
    async with a_writer(LEDGER_TIMEOUT_S=0.2) as ledger:
        for _ in range(2):
            await ledger.hold(hold_of("0.1"))
        async with locked(LOCK) as other:
            with pytest.raises(LedgerUnavailable):
                await ledger.hold(hold_of("0.1"))
            await until(nobody_waits)
            await other.execute("COMMIT")
        await until(lambda: not ledger.problem)
    assert await figures() == (0, 0.2)
    assert await Hold.objects.acount() == 2


async def test_a_hold_that_took_from_buckets_since_gives_its_place_back(link, memory):  # noqa: F811
    """It moved to what looks like itself, under a rate limit that is new, and its call never heard of it."""
    await a_budget()
    op = hold_of("0.1")
    [grant] = await run(link, memory, op)
    await RateLimit.objects.acreate(feature="f", concurrent=2)
    await run(link, memory, hold_of(None, call_id=op.call_id, bids=op.bids, moves=True))
    await run(link, memory, settle_of(op, grant, "0.05"))
    assert await figures() == (0.05, 0)
    assert (await Bucket.objects.aget()).in_flight == 0


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("awaited", [0, 1])
async def test_holds_that_no_window_guards_are_locked_in_one_order(link, another, memory, turned, awaited):  # noqa: F811
    """Two that settle the same calls, as a process and the one that takes it for dead, never wait for each other.

    Not by where the rows lie, which is as they were inserted, nor as a batch names them.
    """
    await a_budget(feature="another")
    ops = sorted((hold_of("0.1"), hold_of("0.1")), key=lambda op: op.call_id, reverse=turned)
    await run(link, memory, hold_of("0.1"))
    one, two = await run(link, memory, *ops)
    async with locked(f"SELECT FROM tollhouse_hold WHERE call_id = '{ops[awaited].call_id}' FOR UPDATE") as other:
        sweep = asyncio.create_task(run(another, twin(memory), *map(swept, ops)))
        await waiting(1)
        own = asyncio.create_task(run(link, memory, settle_of(ops[1], two, "0.1"), settle_of(ops[0], one, "0.1")))
        await waiting(2)
        await other.execute("COMMIT")
        await asyncio.gather(sweep, own)
    assert await Hold.objects.acount() == 1
    assert [call.outcome async for call in Call.objects.all()] == ["lost", "lost"]


@pytest.mark.parametrize(
    ("change", "answer", "left"),
    [
        ("UPDATE tollhouse_window SET spent = 0.5", Refusal, [(0.5, 0.3)]),
        ("UPDATE tollhouse_window SET held = 0.1", Grant, [(0, 0.6)]),
        # There and back: another version of the row, with the same figures.
        ("UPDATE tollhouse_window SET held = 0.9; UPDATE tollhouse_window SET held = 0.3", Grant, [(0, 0.8)]),
        # What is held in the window that ends early counts in the one that takes its place.
        ("UPDATE tollhouse_budget SET period = 'month', \"limit\" = 0.7", Refusal, [(0, 0.3)]),
        ("UPDATE tollhouse_budget SET period = 'month'", Grant, [(0, 0.3), (0.3, 0.5)]),
    ],
    ids=["spent", "freed", "there and back", "shorter", "longer"],
)
async def test_what_others_do_while_a_hold_waits_counts(link, memory, change, answer, left):  # noqa: F811
    await a_budget()
    for _ in range(3):
        await run(link, memory, hold_of("0.1"))
    async with locked(LOCK) as other:
        waits = asyncio.create_task(run(link, memory, hold_of("0.5")))
        await waiting(1)
        await other.execute(change)
        await other.execute("COMMIT")
        assert [type(found) for found in await waits] == [answer]
    assert [(float(w.spent), float(w.held)) async for w in Window.objects.order_by("id") if w.held][: len(left)] == left


async def test_of_two_who_remember_the_same_room_one_gets_it(link, another, memory):  # noqa: F811
    """Both have decided that their call fits, and wait for the window."""
    await a_budget()
    for _ in range(2):
        await run(link, memory, hold_of("0.2"))
    async with locked(LOCK) as other:
        writers = [(link, memory), (another, twin(memory))]
        tasks = [asyncio.create_task(run(*writer, hold_of("0.4"))) for writer in writers]
        await waiting(2)
        await other.execute("COMMIT")
        answers = await asyncio.gather(*tasks)
    assert sorted(type(answer).__name__ for [answer] in answers) == ["Grant", "Refusal"]
    assert await figures() == (0, 0.8)


@pytest.mark.parametrize("first", ["its process", "the sweep"])
async def test_a_call_that_is_settled_and_swept_at_once_counts_once(link, another, memory, first):  # noqa: F811
    await a_budget()
    op = hold_of("0.3")
    [grant] = await run(link, memory, op)
    sweep = lambda: asyncio.create_task(run(another, twin(memory), swept(op)))  # noqa: E731
    own = lambda: asyncio.create_task(run(link, memory, settle_of(op, grant, "0.1")))  # noqa: E731
    async with locked(LOCK) as other:
        tasks = []
        for number, start in enumerate((own, sweep) if first == "its process" else (sweep, own), 1):
            tasks.append(start())
            await waiting(number)
        await other.execute("COMMIT")
        await asyncio.gather(*tasks)
    assert await figures() == (0.1, 0)
    assert (await Call.objects.aget()).outcome == ("ok" if first == "its process" else "lost")
    assert await Adjustment.objects.acount() == (first == "the sweep")


@pytest.mark.parametrize("granted", [(True, True), (True, False), (False, True), (False, False)])
async def test_a_call_that_is_settled_twice_in_a_batch_counts_once(link, memory, granted):  # noqa: F811
    await a_budget()
    op, other = hold_of("0.3"), hold_of("0.2")
    await run(link, memory, other)
    [grant] = await run(link, memory, op)
    await run(link, memory, *(settle_of(op, grant if known else None, "0.1") for known in granted))
    # Who never heard of a grant was never served.
    assert await figures() == (0.1 if granted[-1] else 0, 0.2)
    assert (await Call.objects.acount(), await Hold.objects.acount()) == (1, 1)


async def test_a_window_in_which_nothing_changes_is_not_written(link, memory):  # noqa: F811
    """That of a target which was not asked: others would have to vacuum it for every call."""
    await a_budget()
    other = await a_budget(model="n")
    bids = (bid_of("0.1"), bid_of("0.1", model="n"))
    await run(link, memory, hold_of(None, bids=bids))

    async def version():
        found = await link.connection.execute("SELECT ctid FROM tollhouse_window WHERE budget_id = %s", [other.pk])
        return await found.fetchone()

    before = await version()
    [grant] = await run(link, memory, hold_of(None, bids=bids))
    assert link.bursts == 1 and grant.bid == bids[0]
    assert await version() == before


async def test_a_batch_whose_commit_nobody_heard_of_is_repeated_without_counting_twice(link, another, memory):  # noqa: F811
    await a_budget()
    first, unheard, second = hold_of("0.3"), hold_of("0.2"), hold_of("0.1")
    [grant, _] = await run(link, memory, first, unheard)
    forgotten = twin(memory)
    batch = settle_of(first, grant, "0.05"), settle_of(hold_of("0"), None, "0"), second
    await run(link, memory, *batch)
    assert link.bursts == 1
    for _ in range(2):
        another.reset()
        await Transaction(another, forgotten, repeat=True).run(batch)
        assert await figures() == (0.05, pytest.approx(0.3))
        assert (await Call.objects.acount(), await Hold.objects.acount()) == (2, 2)


async def test_where_the_databases_clock_went_back_nothing_goes_ahead(link, memory):  # noqa: F811
    """The window that was open at the moment that is remembered may not have begun."""
    await a_budget()
    await run(link, memory, hold_of("0.1"))
    memory.now = later = timezone.now() + timedelta(minutes=1)
    [answer] = await run(link, memory, hold_of("0.1"))
    assert isinstance(answer, Grant) and link.bursts > 1 and memory.now < later
    assert sum([float(window.held) async for window in Window.objects.all()]) == pytest.approx(0.2)
