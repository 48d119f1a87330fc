"""Django's `flush`, for a database that a running server reads meanwhile."""

from typing import Any

from django.core.management import CommandError
from django.core.management.commands import flush
from django.db import connection
from psycopg.errors import DeadlockDetected


class Command(flush.Command):
    """Emptying locks all tables one after the other, a server's reading of its catalog some in another order: PostgreSQL
    then ends one of the two. Where it is the emptying, it is done again. The triggers that keep tables from being emptied
    rest meanwhile, which takes the rights of a superuser.
    """

    def handle(self, **options: Any) -> None:
        for _ in range(10):
            try:
                return self._empty(**options)
            except CommandError as error:
                if not isinstance(getattr(error.__cause__, "__cause__", None), DeadlockDetected):
                    raise
        raise CommandError("The database could not be emptied: ten deadlocks in a row.")

    def _empty(self, **options: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            try:
                super().handle(**options)
            finally:
                cursor.execute("SET session_replication_role = DEFAULT")
