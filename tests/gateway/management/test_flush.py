"""Emptying a database: after a test it works, anywhere else the tables that stay as they are refuse it."""

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import IntegrityError, OperationalError, connection, transaction
from psycopg.errors import DeadlockDetected

from gateway.management.commands.flush import KEPT, Command
from gateway.models import Price, PromptVersion


def flush():
    # By class, as the project of these tests has a `flush` of its own: beside it a server reads the database, and where
    # the two wait for each other PostgreSQL ends one of them.
    for _ in range(10):
        try:
            return call_command(Command(), verbosity=0, interactive=False)
        except OperationalError as error:
            if not isinstance(error.__cause__, DeadlockDetected):
                raise
        except CommandError as error:
            if not isinstance(getattr(error.__cause__, "__cause__", None), DeadlockDetected):
                raise
    raise AssertionError("ten deadlocks in a row")


@pytest.fixture
def kept(world):
    world.prompt(world.feature("f"), {"messages": [{"role": "user", "content": "Hello"}]})


def test_a_test_s_database_is_emptied_and_protected_again(kept):
    flush()
    assert not Price.objects.exists() and not PromptVersion.objects.exists()
    for table in KEPT:
        with pytest.raises(IntegrityError, match="never changed or deleted"), transaction.atomic():
            connection.cursor().execute(f"TRUNCATE {table} CASCADE")


def test_outside_of_tests_it_is_refused(kept, monkeypatch):
    monkeypatch.delattr(mail, "outbox")
    with pytest.raises(CommandError, match="couldn't be flushed"):
        flush()
    assert Price.objects.exists() and PromptVersion.objects.exists()
