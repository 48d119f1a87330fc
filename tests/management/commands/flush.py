"""Django's `flush`, for a database that a running server reads meanwhile."""

from typing import Any

from django.core.management import CommandError
from django.db import OperationalError
from psycopg.errors import DeadlockDetected

from gateway.management.commands import flush


class Command(flush.Command):
    """Emptying locks all tables one after the other, a server's reading of its catalog some in another order: PostgreSQL
    then ends one of the two. Where it is the emptying, it is done again.
    """

    def handle(self, **options: Any) -> None:
        for _ in range(10):
            try:
                return super().handle(**options)
            except (CommandError, OperationalError) as error:
                cause = (
                    error.__cause__
                    if isinstance(error, OperationalError)
                    else getattr(error.__cause__, "__cause__", None)
                )
                if not isinstance(cause, DeadlockDetected):
                    raise
        raise CommandError("The database could not be emptied: ten deadlocks in a row.")
