"""The connections that the gate has of its own."""

import asyncio
import time

import pytest
from django.db import connection

from gateway.ledger.database import connect, connection_parameters

NAME = "tollhouse-test-cancelled"


def sessions() -> int:
    with connection.cursor() as cursor:
        # Within a transaction it is read once.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [NAME])
        return cursor.fetchone()[0]


@pytest.mark.django_db
def test_who_is_cancelled_while_connecting_leaves_no_session():
    tasks = []

    async def cancelled_after(seconds: float) -> bool:
        task = asyncio.create_task(connect({**connection_parameters(), "application_name": NAME}))
        await asyncio.sleep(seconds)
        if task.done():
            await task.result().close()
            return False
        task.cancel()
        # Somebody may know the task for long, and it knows why and where it ended.
        tasks.append(task)
        await asyncio.gather(task, return_exceptions=True)
        return True

    while asyncio.run(cancelled_after(len(tasks) * 0.0005)):
        pass
    ends_at = time.monotonic() + 30
    while sessions() and time.monotonic() < ends_at:
        time.sleep(0.02)
    assert tasks and sessions() == 0
