"""What meets in one batch, or in two transactions at once, counts once all the same."""

import asyncio
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from psycopg import AsyncConnection

from budgets.models import Alert, Budget, RateLimit, Window
from gateway.ledger import Grant, Refusal, Settle, partitions
from gateway.ledger.database import connection_parameters
from gateway.ledger.link import json_rows
from gateway.ledger.operations import lost_row
from gateway.ledger.transaction import SQL, Transaction
from gateway.models import Adjustment, Call, Hold
from tests.gateway.ledger.calls import a_writer, bid_of, hold_of, settle_of
from tests.gateway.ledger.stored import drop_partitions, execute, silence, until
from tests.gateway.ledger.test_buckets import FEW, levels
from tests.gateway.ledger.test_transaction import link, memory  # noqa: F401  (fixtures)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def partitions_are_there(transactional_db):
    await sync_to_async(partitions.make_ahead)(1)


async def run(link, memory, *operations, repeat=False):  # noqa: F811
    transaction = Transaction(link, memory, repeat=repeat)
    await transaction.run(operations)
    return [answer for _, answer in transaction.answers]


def swept(hold):
    """The settlement of a hold that expired, as the sweep of the hold's own process asks for it."""
    row = lost_row(hold.call_id, hold.draft_for(hold.bids[0]))
    return Settle(call_id=hold.call_id, row=row, swept=True)


async def figures():
    found = await Window.objects.aget()
    return float(found.spent), float(found.held)


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 0), (1, 1), (1, 0, 1)])
async def test_a_hold_that_expires_while_its_settlement_waits_is_settled_once(link, memory, order):  # noqa: F811
    """After an outage longer than a hold lives, both are in the queue. Another hold is there, whose room must stay."""
    await Budget.objects.acreate(feature="f", limit=1)
    await RateLimit.objects.acreate(feature="f", requests_per_minute=1, burst_s=3600, **{**FEW, "concurrent": 9})
    hold, other = hold_of("0.3"), hold_of("0.6")
    grant, _ = await run(link, memory, hold, other)
    both = [lambda: settle_of(hold, grant, "0.1"), lambda: swept(hold)]

    answers = await run(link, memory, *(both[which]() for which in order))

    assert answers == [None] * len(order)
    real = 0 in order
    assert await figures() == (0.1 if real else 0.3, 0.6)
    call = await Call.objects.aget()
    assert call.outcome == ("ok" if real else "lost")
    assert (await levels())[""][2] == 1


async def test_a_hold_that_is_swept_in_the_batch_in_which_it_moves_is_lost(link, memory):  # noqa: F811
    await Budget.objects.acreate(feature="f", limit=1)
    hold, other = hold_of("0.3"), hold_of("0.6")
    await run(link, memory, hold, other)
    moved = hold_of(None, call_id=hold.call_id, bids=(bid_of("0.2", model="n"),), moves=True)

    _, answer = await run(link, memory, swept(hold), moved)

    assert isinstance(answer, Refusal) and answer.by == "lost"
    assert await figures() == (0.3, 0.6)
    assert await Hold.objects.acount() == 1


async def test_a_hold_that_was_committed_after_its_call_had_its_row_counts_nothing_when_it_is_swept():
    """The server may finish a transaction that the process has given up, as when its disk had stalled."""
    await Budget.objects.acreate(feature="f", limit=1)
    async with a_writer() as ledger:
        hold = hold_of("0.4")
        await ledger.settle(settle_of(hold, None, "0", tokens=0, outcome="ledger_unavailable"))
        await ledger.hold(hold)
        await sync_to_async(silence)(ledger.owner)
        async with a_writer():
            await until(lambda: not Hold.objects.exists())
    assert await figures() == (0, 0)
    assert not await Adjustment.objects.aexists()
    assert not await Alert.objects.filter(kind="lost").aexists()


async def test_a_hold_whose_window_somebody_deleted_is_settled_and_stops_nobody():
    await Budget.objects.acreate(feature="f", limit=1)
    async with a_writer() as ledger:
        hold, moving = hold_of("0.4"), hold_of("0.4")
        grant, _ = await asyncio.gather(ledger.hold(hold), ledger.hold(moving))
        await execute("DELETE FROM tollhouse_window")
        async with asyncio.timeout(10):
            await ledger.settle(settle_of(hold, grant, "0.1"))
            await ledger.settle(settle_of(hold, grant, "0.1"))
            moved = hold_of(None, call_id=moving.call_id, bids=(bid_of("0.3", model="n"),), moves=True)
            assert isinstance(await ledger.hold(moved), Grant)
    assert await figures() == (0, 0.3)
    assert (await Call.objects.aget()).cost_usd == Decimal("0.1")


async def test_processes_that_find_a_partition_missing_at_once_write_all_their_calls():
    """One makes it while another has failed for it and not looked yet."""
    writers = 12
    for round in range(6):
        async with asyncio.TaskGroup() as group, asyncio.timeout(60):
            ready = asyncio.Barrier(writers)
            missing = asyncio.Event()

            async def settle(number, ready=ready, missing=missing):
                async with a_writer() as ledger:
                    hold = hold_of("0.1")
                    grant = await ledger.hold(hold)
                    if await ready.wait() == 0:
                        await sync_to_async(drop_partitions)()
                        missing.set()
                    await missing.wait()
                    await asyncio.sleep(0.004 * number)
                    await ledger.settle(settle_of(hold, grant, "0.1"))

            for number in range(writers):
                group.create_task(settle(number))
        assert await Call.objects.acount() == writers, round


async def test_alerts_of_two_processes_are_written_in_one_order():
    """Both have the first calls of an hour for several features; in any other order each would wait for the other."""
    alert = {"kind": "unpriced", "severity": "warning", "summary": "No price.", "detail": {}}

    def told(*keys):
        return [json_rows([{**alert, "dedup_key": key} for key in keys])]

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        one, other, third = [
            await AsyncConnection.connect(**connection_parameters(), autocommit=True) for _ in range(3)
        ]
        try:
            await third.execute("BEGIN")
            await third.execute(SQL["insert_alerts"], told("b"))
            # It has to wait for the third with the first of its alerts written.
            first = group.create_task(one.execute(SQL["insert_alerts"], told("a", "b", "c")))
            await waiting(1)
            second = group.create_task(other.execute(SQL["insert_alerts"], told("c", "a")))
            await waiting(2)
            await third.execute("ROLLBACK")
            await asyncio.gather(first, second)
        finally:
            await asyncio.gather(one.close(), other.close(), third.close())
    assert await Alert.objects.acount() == 3


async def test_a_calendar_does_not_change_between_a_new_window_and_its_commit():
    """Else the windows of the new one would not take over what those who were about to commit had granted."""
    budget = await Budget.objects.acreate(feature="f", limit=1, period="month", each=["tenant"])
    await execute("""
        CREATE FUNCTION held_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.draft->>'feature' = 'f' AND NEW.draft->>'label' IS NULL THEN
                PERFORM pg_advisory_xact_lock_shared(78);
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER held_up BEFORE INSERT ON tollhouse_hold FOR EACH ROW EXECUTE FUNCTION held_up()
    """)

    def edit():
        Budget.objects.filter(pk=budget.pk).update(period="day")
        connection.close()

    try:
        async with a_writer() as one, a_writer() as other:
            await execute("SELECT pg_advisory_lock(78)")
            first = asyncio.create_task(one.hold(hold_of("0.8", tenant="acme")))
            await waiting(1, "advisory")
            editing = asyncio.create_task(asyncio.to_thread(edit))
            await asyncio.wait({editing}, timeout=0.5)
            hold = hold_of("0.8", tenant="acme")
            hold.draft["label"] = "passes"
            second = asyncio.create_task(other.hold(hold))
            await asyncio.wait({second}, timeout=0.5)
            await execute("SELECT pg_advisory_unlock(78)")
            async with asyncio.timeout(15):
                answers = await asyncio.gather(first, second)
                await editing
    finally:
        await execute("SELECT pg_advisory_unlock_all(); DROP FUNCTION held_up() CASCADE")
    assert [type(answer) for answer in answers].count(Grant) == 1


async def waiting(count, event=None):
    """Until so many connections wait for a lock."""

    def enough():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
                "AND (%s::text IS NULL OR wait_event = %s)",
                [event, event],
            )
            return cursor.fetchone()[0] >= count

    await until(enough)
