"""A database whose disk is full: calls are refused with a message that says so, nothing is lost, and it recovers by itself."""

import asyncio
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from budgets.models import Budget, Window
from gateway.errors import LedgerUnavailable
from gateway.ledger import Grant
from gateway.models import Call, Hold
from tests.gateway.ledger.calls import a_writer, hold_of, settle_of


def execute(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.fixture
def full_disk(transactional_db):
    """PostgreSQL answers as it does when it cannot extend a table; returns what makes room again."""
    execute("""
        CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'could not extend file "base/1/2": No space left on device' USING ERRCODE = 'disk_full';
        END $$
    """)
    yield lambda full: execute(
        ";".join(
            f"CREATE TRIGGER no_room BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION no_room()"
            if full
            else f"DROP TRIGGER no_room ON {table}"
            for table in ("tollhouse_hold", "tollhouse_call")
        )
    )
    execute("DROP FUNCTION no_room CASCADE")


async def test_a_full_disk_refuses_calls_loses_none_and_recovers_by_itself(full_disk):
    await Budget.objects.acreate(feature="f", limit=1)
    async with a_writer(LEDGER_TIMEOUT_S=0.5) as ledger:
        in_flight = hold_of("0.2")
        grant = await ledger.hold(in_flight)
        await sync_to_async(full_disk)(True)
        settling = ledger.settle(settle_of(in_flight, grant, "0.1"))
        with pytest.raises(LedgerUnavailable, match="has no room left on its disk"):
            await ledger.hold(hold_of("0.2"))
        assert ledger.problem.startswith("DiskFull") and ledger.away_s > 0 and not settling.done()
        await sync_to_async(full_disk)(False)
        async with asyncio.timeout(20):
            await settling
            assert isinstance(await ledger.hold(hold_of("0.2")), Grant)
        assert ledger.problem == "" and ledger.away_s == 0
    window = await Window.objects.aget()
    assert (window.spent, window.held) == (Decimal("0.1"), Decimal("0.2"))
    assert (await Call.objects.acount(), await Hold.objects.acount()) == (1, 1)
