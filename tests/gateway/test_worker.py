"""Partitions are made ahead, and an alarm is raised where they are not."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from budgets.models import Alert
from gateway.ledger.partitions import SPANS, covered_until, first_id, missing, partition
from gateway.models.calls import uuid7_time

pytestmark = pytest.mark.django_db(transaction=True)


def drop_all():
    with connection.cursor() as cursor:
        for table in SPANS:
            cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [table])
            for (name,) in cursor.fetchall():
                cursor.execute(f"DROP TABLE {name}")


def test_the_worker_makes_partitions_ahead_and_is_content():
    drop_all()
    assert covered_until() <= timezone.now()
    call_command("worker", once=True)
    assert covered_until() >= timezone.now() + timedelta(days=28)
    call_command("worker", once=True)
    assert not Alert.objects.exists()


def test_an_alarm_is_raised_once_when_they_run_short():
    drop_all()
    # Something is in the way of the day after tomorrow's partition.
    with connection.cursor() as cursor:
        in_the_way = partition("tollhouse_payload", timezone.now() + timedelta(days=1))[0]
        cursor.execute(f"CREATE TABLE {in_the_way} ()")
    try:
        for _ in range(2):
            call_command("worker", once=True)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {in_the_way}")
    alert = Alert.objects.get()
    assert (alert.kind, alert.severity) == ("partitions_short", "critical")
    assert "Partitions of calls and payloads end on" in alert.summary


def test_a_partition_holds_just_the_ids_of_its_time():
    now = timezone.now()
    for table in SPANS:
        _, start, end = partition(table, now)
        assert start <= now < end
        assert uuid7_time(first_id(start)) == start and first_id(start) < first_id(now) < first_id(end)
        assert partition(table, end)[1] == end


def test_only_what_is_missing_is_made():
    now = timezone.now()
    names = {partition(table, now)[0] for table in SPANS}
    assert len(missing([now], set())) == 2
    assert missing([now], names) == []


def test_a_job_that_fails_is_logged_and_the_others_go_on(caplog):
    """The table that the cache's job needs is away for a moment."""
    drop_all()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE tollhouse_cached_reply RENAME TO elsewhere")
    try:
        Alert.objects.create(kind="k", severity="info", dedup_key="x", summary="x")
        call_command("worker", once=True)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO tollhouse_cached_reply")
    assert "worker: cache: database away, trying again: ProgrammingError" in caplog.text
    assert covered_until() >= timezone.now() + timedelta(days=28)
    assert Alert.objects.get().routed_at
