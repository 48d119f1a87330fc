"""Expired rows are invisible at once to the role that the product uses, and removed by the worker's job; their money stays."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO

import psycopg
import pytest
from django.core.management import call_command
from django.db import ProgrammingError, connection, transaction
from django.utils import timezone

from gateway import checks
from gateway.ledger.partitions import partition
from gateway.management.commands.worker import JOBS
from gateway.models import Adjustment, Call, CallSum, LegalHold, Payload, RetentionKind, RetentionRule
from gateway.retention import legal, remove
from gateway.retention.remove import seeing_expired
from gateway.sql import queries
from tests.rows import make_call

pytestmark = pytest.mark.django_db(transaction=True)


LEDGER = queries("ledger.sql")


def ago(**time: float) -> datetime:
    return timezone.now() - timedelta(**time)


def there() -> int:
    """How many calls the table holds, visible or not."""
    with seeing_expired():
        return Call.objects.count()


def partitions(table: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [table])
        return {name for (name,) in cursor.fetchall()}


def entries() -> tuple[Decimal, int, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(cost_usd), sum(tokens), sum(calls) FROM tollhouse_cost_entry")
        return cursor.fetchone()


def rule(kind: str, feature: str, days: int) -> None:
    RetentionRule.objects.create(kind=kind, feature=feature, keep_days=days)


def test_the_product_is_no_superuser_to_its_embedded_database():
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False,)


def test_a_row_is_visible_until_its_moment_and_not_after():
    kept = make_call(at=ago(days=400, minutes=-2), payload={"reply": "kept"})
    gone = make_call(at=ago(days=400, minutes=2), payload={"reply": "gone"})
    assert [call.id for call in Call.objects.all()] == [kept.id]
    assert not Call.objects.filter(id=gone.id).exists()
    assert there() == 2


def test_each_feature_has_its_own_time_and_a_changed_rule_holds_at_once():
    make_call(at=ago(days=3), feature="short", payload={})
    make_call(at=ago(days=3), feature="long", payload={})
    rule("call", "short", 2)
    assert [call.feature for call in Call.objects.all()] == ["long"]
    RetentionRule.objects.update(keep_days=4)
    assert Call.objects.count() == 2


def test_a_payload_expires_by_its_own_rule_and_with_its_call_at_the_latest():
    early = make_call(at=ago(days=31), payload={"reply": "old"})
    late = make_call(at=ago(days=29), payload={"reply": "new"})
    assert Payload.objects.get().id == late.id and Call.objects.count() == 2
    rule("payload", early.feature, 100)
    assert Payload.objects.count() == 2
    rule("call", early.feature, 30)
    assert Payload.objects.get().id == late.id


def test_raw_queries_updates_and_partitions_by_name_show_nothing_expired():
    call = make_call(at=ago(days=500), user_ref="someone")
    name = partition("tollhouse_call", call.started_at)[0]
    with connection.cursor() as cursor:
        for query in ("SELECT * FROM tollhouse_call", f"SELECT * FROM {name}",
                      "UPDATE tollhouse_call SET labels = '{\"a\": 1}' WHERE labels = '{}' RETURNING user_ref",
                      "DELETE FROM tollhouse_call WHERE true RETURNING id"):  # fmt: skip
            cursor.execute(query)
            assert cursor.fetchall() == [], query
    assert there() == 1


def test_a_role_that_does_not_own_the_tables_cannot_ask_to_see_what_has_expired():
    make_call(at=ago(days=500))
    fresh = make_call()
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        database = cursor.fetchone()[0]
    superuser = {**connection.get_connection_params(), "user": "postgres", "dbname": database}
    superuser = {name: superuser[name] for name in ("user", "dbname", "host", "port") if superuser.get(name)}
    with psycopg.connect(**superuser, autocommit=True) as admin:
        admin.execute("CREATE ROLE tollhouse_test_reader")
        try:
            admin.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO tollhouse_test_reader")
            admin.execute("SET ROLE tollhouse_test_reader")
            admin.execute("SET tollhouse.sees_expired = 'on'")
            assert admin.execute("SELECT id FROM tollhouse_call").fetchall() == [(fresh.id,)]
            # The sums of what it may not see are there all the same.
            assert admin.execute("SELECT sum(calls) FROM tollhouse_cost_entry").fetchone() == (2,)
        finally:
            admin.execute("RESET ROLE")
            admin.execute("DROP OWNED BY tollhouse_test_reader")
            admin.execute("DROP ROLE tollhouse_test_reader")


def test_a_partition_in_which_all_has_expired_is_dropped_and_its_money_stays():
    old = make_call(at=ago(days=420), cost_usd=Decimal("1.25"), payload={"reply": "old"})
    make_call(at=ago(days=420), cost_usd=None, outcome="timeout")
    Adjustment.objects.bulk_create(
        [Adjustment(call_id=old.id, cost_usd=Decimal("0.5"), tokens=7, reason="r", actor="a")]
    )
    make_call(cost_usd=Decimal(3))
    before = entries()
    assert before[0] == Decimal("4.75") and before[2] == 3
    done = remove.remove()
    # Empty partitions, of tests before this one, may go with it.
    assert (
        done["call"]["rows"] == 2 and done["payload"]["rows"] == 1 and min(n["partitions"] for n in done.values()) >= 1
    )
    assert partition("tollhouse_call", old.started_at)[0] not in partitions("tollhouse_call")
    assert entries() == before and there() == 1
    total = CallSum.objects.get(outcome="ok")
    assert (total.day, total.cost_usd, total.calls) == (old.started_at.astimezone(UTC).date(), Decimal("1.75"), 1)
    assert remove.remove()["call"] == {"rows": 0, "partitions": 0}
    assert entries() == before


def test_of_a_mixed_partition_rows_are_deleted_in_batches(monkeypatch):
    monkeypatch.setattr(remove, "BATCH", 2)
    rule("call", "short", 5)
    for _ in range(5):
        make_call(at=ago(days=6), feature="short", cost_usd=Decimal("0.1"), payload={})
    make_call(at=ago(days=6), feature="long", cost_usd=Decimal("0.1"), payload={})
    before = entries()
    done = remove.remove()
    assert done["call"] == {"rows": 5, "partitions": 0} and done["payload"]["rows"] == 5
    assert there() == 1 and entries() == before
    with seeing_expired():
        assert Payload.objects.count() == 1


def test_two_removals_at_once_book_each_call_once(transactional_db):
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connections

    rule("call", "short", 5)
    for _ in range(30):
        make_call(at=ago(days=6), feature="short", cost_usd=Decimal("0.1"))
    before = entries()

    def run() -> None:
        remove.remove()
        connections.close_all()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: run(), range(3)))
    assert entries() == before and there() == 0 and CallSum.objects.get().calls == 30


def test_what_a_legal_hold_is_on_stays_invisible_and_there():
    LegalHold.objects.create(tenant="acme", reason="a suit", set_by="counsel")
    held = make_call(at=ago(days=420), tenant="acme", payload={"reply": "evidence"})
    make_call(at=ago(days=420), tenant="other", payload={"reply": "gone"})
    before = entries()
    done = remove.remove()
    assert done["call"]["rows"] == done["payload"]["rows"] == 1
    assert not Call.objects.exists() and entries() == before
    with seeing_expired():
        assert Call.objects.get().id == Payload.objects.get().id == held.id
    legal.lift(LegalHold.objects.all(), actor="counsel", reason="settled")
    assert remove.remove()["call"]["rows"] == 1
    assert there() == 0 and entries() == before


def test_the_dry_run_says_what_would_go_and_removes_nothing():
    LegalHold.objects.create(user_ref="u1", reason="a suit", set_by="counsel")
    make_call(at=ago(days=420), user_ref="u1")
    make_call(at=ago(days=440), payload={"reply": "gone"})
    out = StringIO()
    call_command("retention", "run", "--dry-run", stdout=out)
    told = out.getvalue()
    assert "call: 400 days\n" in told and "drop tollhouse_call_" in told and "drop tollhouse_payload_" in told
    assert "1 stay, under a legal hold" in told and there() == 2


def test_the_job_notes_when_it_ran_and_what_it_removed():
    make_call(at=ago(days=420))
    next(job for job in JOBS if job.name == "retention").run()
    kind = RetentionKind.objects.get(kind="call")
    assert kind.ran_at and kind.removed_at and kind.removed["rows"] == 1 and kind.removed["partitions"] >= 1
    assert remove.next_removal() == {} or min(remove.next_removal().values()) > timezone.now()


def test_the_settings_say_how_long_where_no_rule_does(settings):
    make_call(at=ago(days=6))
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "RETENTION_CALLS_DAYS": 5}
    remove.sync()
    assert not Call.objects.exists() and there() == 1


def test_a_call_that_is_written_after_its_expiry_is_taken_and_hidden_however_often():
    """As when a spool is replayed very late: no error that would keep the others from being written."""
    old = make_call(at=ago(days=420), payload={"reply": "old"})
    with seeing_expired(), connection.cursor() as cursor:
        cursor.execute("SELECT json_agg(c) FROM tollhouse_call c")
        row = json.dumps(cursor.fetchone()[0])
        cursor.execute("DELETE FROM tollhouse_call")
        cursor.execute("DELETE FROM tollhouse_payload")
    columns = ", ".join(field.column for field in Call._meta.concrete_fields)
    for _ in range(2):
        with connection.cursor() as cursor:
            cursor.execute(LEDGER["insert_calls"].format(columns=columns), [row])
            cursor.execute(LEDGER["insert_payloads"], [json.dumps([{"id": str(old.id), "content": {}}])])
    assert there() == 1 and not Call.objects.exists() and not Payload.objects.exists()
    assert remove.remove()["call"]["rows"] == 1


def test_a_role_above_row_security_and_a_wrong_setting_are_told(settings):
    assert not list(checks.expired_rows_are_hidden()) and not list(checks.retention_is_valid())
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "RETENTION_DAYS": ("review",)}
    assert "write a kind and days" in next(checks.retention_is_valid()).msg
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "RETENTION_DAYS": (), "RETENTION_PAYLOADS_DAYS": 0}
    assert "1 to 36500" in next(checks.retention_is_valid()).msg


def test_a_dump_of_the_tables_leaves_no_partition_out():
    """`pg_dump` reads partitions by their names; what it must be told is in docs/howto/backup.md."""
    old, new = make_call(at=ago(days=420)), make_call()
    names = [partition("tollhouse_call", call.started_at)[0] for call in (old, new)]

    def dumped() -> list[int]:
        counts = []
        with connection.cursor() as cursor:
            for name in names:
                cursor.execute(f"SELECT count(*) FROM {name}")
                counts.append(cursor.fetchone()[0])
        return counts

    assert dumped() == [0, 1]
    with seeing_expired():
        assert dumped() == [1, 1]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL row_security = off")
        with pytest.raises(ProgrammingError, match="would be affected by row-level security"), transaction.atomic():
            cursor.execute(f"SELECT count(*) FROM {names[1]}")
