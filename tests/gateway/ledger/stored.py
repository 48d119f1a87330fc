"""Rows of the ledger's tests, made and read from coroutines."""

import asyncio

from asgiref.sync import sync_to_async
from django.db import connection

from budgets.models import Budget, Window


@sync_to_async
def a_budget(**values):
    return Budget.objects.create(**{"feature": "f", "limit": 1, **values})


@sync_to_async
def window(**lookup):
    return Window.objects.get(**lookup)


@sync_to_async
def rows(queryset):
    return list(queryset)


@sync_to_async
def execute(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


async def until(condition):
    async with asyncio.timeout(20):
        while not await sync_to_async(condition)():
            await asyncio.sleep(0.02)


def silence(owner):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tollhouse_owner SET seen_at = '2020-01-01' WHERE id = %s", [owner])
        cursor.execute("UPDATE tollhouse_hold SET expires_at = '2020-01-01' WHERE owner = %s", [owner])


def drop_partitions():
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'tollhouse_call'::regclass")
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE {name}")
