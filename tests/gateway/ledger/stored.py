"""Rows of the ledger's tests, made and read from coroutines."""

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
