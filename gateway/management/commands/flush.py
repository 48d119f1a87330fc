"""Django's `flush`, which empties the database after a test that is not one transaction (`TransactionTestCase`)."""

from typing import Any

from django.core import mail
from django.core.management.commands import flush
from django.db import connections, transaction

#: Tables whose triggers refuse to be emptied (see `sql/prompts.sql`).
KEPT = (
    "tollhouse_prompt_version", "tollhouse_price", "tollhouse_audit", "tollhouse_audit_link", "tollhouse_bill",
    "tollhouse_bill_line",
)  # fmt: skip


class Command(flush.Command):
    """In a test environment the triggers that keep tables from being emptied rest meanwhile; anywhere else they refuse."""

    def handle(self, *args: Any, **options: Any) -> None:
        if not _in_tests():
            return super().handle(*args, **options)
        using = options["database"]
        with transaction.atomic(using=using):
            _switch("DISABLE", using)
            super().handle(*args, **options)
            _switch("ENABLE", using)


def _in_tests() -> bool:
    # What Django's `setup_test_environment` leaves behind, for its own test runner and pytest-django alike.
    return hasattr(mail, "outbox")


def _switch(what: str, using: str) -> None:
    connection = connections[using]
    tables = set(connection.introspection.table_names()).intersection(KEPT)
    with connection.cursor() as cursor:
        for table in sorted(tables):
            cursor.execute(f"ALTER TABLE {table} {what} TRIGGER tollhouse_never_emptied")
