"""Partitions of the call and payload tables: made ahead of time, and at need; ranges of UUIDv7 keys."""

import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from django.db import ProgrammingError, connections, transaction
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


def missing(times: Iterable[datetime], existing: set[str]) -> list[sql.Composed]:
    """SQL that makes each partition for rows made at these times, as far as it is not among the existing ones.

    Each has the policy of its parent, which hides what has expired, for readers of its own name.
    """
    wanted = {(table, *partition(table, at)) for at in times for table in SPANS}
    return [
        sql.SQL("SELECT tollhouse_make_partition_v1({kind}, {start}, {first}, {last})").format(
            kind=sql.Literal(table.removeprefix("tollhouse_")),
            start=sql.Literal(start.date()),
            first=sql.Literal(first_id(start)),
            last=sql.Literal(first_id(end)),
        )
        for table, name, start, end in sorted(wanted)
        if name not in existing
    ]


EXISTING = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = ANY(%s::regclass[])"


async def make_for(connection: AsyncConnection[Any], call_ids: Iterable[UUID]) -> None:
    """Makes the partitions that these calls need and that are missing. Several processes may try at once."""
    found = await connection.execute(EXISTING, [list(SPANS)])
    statements = missing(map(uuid7_time, call_ids), {name async for (name,) in found})
    for statement in statements:
        try:
            async with connection.transaction():
                await connection.execute(statement)
        except (psycopg.errors.DuplicateTable, psycopg.errors.UniqueViolation):
            continue


def make_ahead(days: int) -> tuple[int, datetime]:
    """Makes the partitions from the database's today until `days` days later, over Django's connection.

    Returns how many were made and when the last existing day ends.
    """
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT now()")
        now = cursor.fetchone()[0]
        cursor.execute(EXISTING, [list(SPANS)])
        existing = {name for (name,) in cursor.fetchall()}
        statements = missing((now + timedelta(days=d) for d in range(days + 1)), existing)
        for statement in statements:
            with contextlib.suppress(ProgrammingError), transaction.atomic():
                cursor.execute(statement.as_string(cursor.connection))
    return len(statements), partition("tollhouse_payload", now + timedelta(days=days))[2]


def covered_until() -> datetime:
    """Until when, from now on, every table has its partitions; the database's now where one is missing already."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT now()")
        now: datetime = cursor.fetchone()[0]
        cursor.execute(EXISTING, [list(SPANS)])
        existing = {name for (name,) in cursor.fetchall()}
    ends = []
    for table in SPANS:
        at = now
        while (found := partition(table, at))[0] in existing:
            at = found[2]
        ends.append(at)
    return min(ends)
