"""Partitions of the call and payload tables: made ahead of time, and at need; ranges of UUIDv7 keys."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, sql

from gateway.models.calls import uuid7_time

#: How much time one partition of each table covers. Payloads are kept for a shorter time, so their steps are finer.
SPANS = {"tollhouse_call": timedelta(days=7), "tollhouse_payload": timedelta(days=1)}
#: Steps are counted from a Monday, so that weeks are calendar weeks (UTC).
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)


def first_id(at: datetime) -> UUID:
    """The smallest UUID that sorts at or after every UUIDv7 made before `at` (RFC 9562: 48 bits of milliseconds)."""
    return UUID(int=int(at.timestamp() * 1000) << 80)


def partition(table: str, at: datetime) -> tuple[str, datetime, datetime]:
    """Name, start and end of the partition of `table` that holds rows made at `at`."""
    span = SPANS[table]
    start = EPOCH + (at - EPOCH) // span * span
    return f"{table}_{start:%Y%m%d}", start, start + span


def statements(times: Iterable[datetime]) -> list[sql.Composed]:
    """SQL that makes every partition for rows made at these times; existing ones are left as they are."""
    wanted = {(table, *partition(table, at)) for at in times for table in SPANS}
    return [
        sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})").format(
            sql.Identifier(name), sql.Identifier(table), sql.Literal(str(first_id(start))), sql.Literal(str(first_id(end)))
        )
        for table, name, start, end in sorted(wanted)
    ]


async def make_for(connection: AsyncConnection[Any], call_ids: Iterable[UUID]) -> bool:
    """Makes the partitions that these calls need; True when it made any."""
    wanted = {partition(table, uuid7_time(id))[0] for id in call_ids for table in SPANS}
    found = await connection.execute("SELECT count(*) FROM pg_class WHERE relname = ANY(%s)", [list(wanted)])
    row = await found.fetchone()
    if row and row[0] == len(wanted):
        return False
    for statement in statements(uuid7_time(id) for id in call_ids):
        await connection.execute(statement)
    return True


def ahead(now: datetime, days: int) -> list[sql.Composed]:
    """SQL for the partitions from `now` until `days` days later."""
    return statements(now + timedelta(days=d) for d in range(days + 1))
