"""Expired rows are invisible at once to the role that the product uses, and removed by the worker's job; their money stays."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO

import psycopg
import pytest
from django.core.management import call_command
from django.db import ProgrammingError, connection, transaction
from django.utils import timezone

from budgets.models import Alert, Budget, Channel, Delivery, Window
from deploy.postgres import ROLE
from gateway import checks
from gateway.ledger.partitions import first_id, missing, partition
from gateway.ledger.transaction import SQL
from gateway.management.commands.worker import JOBS
from gateway.models import Adjustment, Call, CallSum, LegalHold, Payload, RetentionKind, RetentionRule, Step
from gateway.retention import legal, remove
from gateway.retention.remove import seeing_expired
from tests.rows import make_call
from tests.server import EMBEDDED, as_server

pytestmark = pytest.mark.django_db(transaction=True)


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


@pytest.mark.skipif(not EMBEDDED, reason="the roles of the embedded database")
@pytest.mark.parametrize(
    "trick",
    [
        "SET tollhouse.sees_expired = 'on'",
        # What the policy's functions read must not be what somebody else made under that name.
        "CREATE TEMP TABLE tollhouse_retention_kind AS SELECT 'call' AS kind, 36500 AS keep_days;"
        "GRANT ALL ON tollhouse_retention_kind TO PUBLIC",
        "CREATE TEMP TABLE tollhouse_call (id int); SET tollhouse.sees_expired = 'on'",
        "SET row_security = off",
        "SET ROLE tollhouse",
        "SET SESSION AUTHORIZATION tollhouse",
        "SET ROLE pg_read_all_data",
        "ALTER TABLE tollhouse_call DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE tollhouse_call NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY tollhouse_unexpired ON tollhouse_call",
        "CREATE POLICY mine ON tollhouse_call FOR SELECT USING (true)",
        "CREATE OR REPLACE FUNCTION tollhouse_visible_v1(id uuid, feature text, horizons jsonb) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "TRUNCATE tollhouse_call",
        "DROP TABLE tollhouse_call",
        "GRANT tollhouse TO tollhouse_server",
        # How long rows are kept is the worker's to write; without a row, a kind would be kept for ever.
        "UPDATE tollhouse_retention_kind SET keep_days = 1000",
        "INSERT INTO tollhouse_retention_kind (kind, keep_days, removed) VALUES ('call', 1000, '{}')"
        " ON CONFLICT (kind) DO UPDATE SET keep_days = 1000",
        "DELETE FROM tollhouse_retention_kind",
        # Types that take the place of those that the policy's functions name.
        "SET search_path = pg_temp, public, pg_catalog; CREATE TYPE pg_temp.uuid AS (x text);"
        "CREATE FUNCTION pg_temp.f(text) RETURNS pg_temp.uuid LANGUAGE sql AS 'SELECT ROW($1)::pg_temp.uuid';"
        "CREATE FUNCTION pg_temp.g(pg_temp.uuid) RETURNS pg_catalog.uuid LANGUAGE sql"
        " AS $$SELECT '00000000-0000-0000-0000-000000000000'::pg_catalog.uuid$$;"
        "CREATE CAST (text AS pg_temp.uuid) WITH FUNCTION pg_temp.f(text);"
        "CREATE CAST (pg_temp.uuid AS pg_catalog.uuid) WITH FUNCTION pg_temp.g(pg_temp.uuid) AS IMPLICIT",
    ],
)
def test_the_role_of_servers_cannot_get_round_it(trick):
    old, fresh = make_call(at=ago(days=500), payload={"reply": "old"}), make_call()
    name = partition("tollhouse_call", old.started_at)[0]
    with as_server() as server:
        with suppress(psycopg.Error):
            server.execute(trick)
        for query in (
            "SELECT id FROM public.tollhouse_call",
            f"SELECT id FROM public.{name} UNION SELECT id FROM public.tollhouse_call",
            "SELECT c.id FROM public.tollhouse_call c LEFT JOIN public.tollhouse_payload p ON p.id = c.id",
            "SELECT id FROM public.tollhouse_cost_entry WHERE entry = 'call'",
            "UPDATE public.tollhouse_call SET labels = labels RETURNING id",
        ):
            try:
                assert server.execute(query).fetchall() == [(fresh.id,)], query
            except psycopg.Error as error:
                assert "row-level security" in str(error)
        if not trick.startswith("SET row_security"):
            assert server.execute("SELECT * FROM public.tollhouse_payload").fetchall() == []
            with server.cursor().copy("COPY public.tollhouse_call TO STDOUT") as rows:
                assert str(old.id) not in str(b"".join(bytes(row) for row in rows))
    assert there() == 2


@pytest.mark.skipif(not EMBEDDED, reason="the roles of the embedded database")
def test_who_reads_no_column_changes_nothing_that_has_expired():
    """An update without a condition is under no policy for reading: with other times the rows would be back."""
    make_call(at=ago(days=500))
    with seeing_expired():
        Step.objects.bulk_create([Step(id=first_id(ago(days=100)), began_at=ago(days=100), latency_ms=1, outcome="ok")])
    with as_server() as server:
        assert server.execute("UPDATE tollhouse_call SET id = uuidv7()").rowcount == 0
        assert server.execute("UPDATE tollhouse_step SET began_at = now()").rowcount == 0
    assert not Call.objects.exists() and not Step.objects.exists() and there() == 1


def test_a_hundred_years_hide_nothing():
    rule("call", "long", 36_500)
    rule("payload", "long", 36_500)
    make_call(at=ago(days=500), feature="long", payload={"reply": "kept"})
    make_call(at=ago(days=3), feature="f")
    assert Call.objects.count() == 2 and Payload.objects.count() == 1
    remove.remove()
    assert there() == 2


@pytest.mark.skipif(not EMBEDDED, reason="the roles of the embedded database")
def test_a_server_works_as_its_role():
    make_call(at=ago(days=500), cost_usd=Decimal(1))
    make_call(cost_usd=Decimal(2))
    far = timezone.now() + timedelta(days=700)
    with as_server() as server:
        assert server.execute("SELECT sum(cost_usd), sum(calls) FROM tollhouse_cost_entry").fetchone() == (3, 2)
        # It makes a partition that nobody has made, and that has the policy.
        [statement] = [s for s in missing([far], set()) if "'call'" in s.as_string(None)]
        server.execute(statement)
        name = partition("tollhouse_call", far)[0]
        guarded = "SELECT relforcerowsecurity, relowner::regrole::text FROM pg_class WHERE oid = %s::regclass"
        assert server.execute(guarded, [name]).fetchone() == (True, ROLE)
        with pytest.raises(psycopg.Error, match="none of audit"):
            server.execute(
                "SELECT tollhouse_make_partition_v1('audit', '2024-01-01', %s, %s)", [old_id := first_id(far), old_id]
            )
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {name}")


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
        done["call"]["rows"] == 2
        and done["payload"]["rows"] == 1
        and min(done[kind]["partitions"] for kind in ("call", "payload")) >= 1
    )
    assert partition("tollhouse_call", old.started_at)[0] not in partitions("tollhouse_call")
    assert entries() == before and there() == 1
    total = CallSum.objects.get(outcome="ok")
    assert (total.day, total.cost_usd, total.calls) == (old.started_at.astimezone(UTC).date(), Decimal("1.75"), 1)
    assert remove.remove()["call"] == {"rows": 0, "partitions": 0}
    assert entries() == before


def test_of_a_mixed_partition_rows_are_deleted_in_batches(monkeypatch):
    monkeypatch.setattr(remove, "BATCH", 2)
    remove.remove()  # old partitions that other tests have left, empty
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


def test_a_rule_that_is_made_longer_while_it_removes_keeps_its_rows():
    kept, gone = make_call(at=ago(days=420), feature="long"), make_call(at=ago(days=420))
    [found] = [
        part for part in remove._partitions("call") if part[0] == partition("tollhouse_call", kept.started_at)[0]
    ]
    assert found[3] == "drop"
    rule("call", "long", 1000)
    assert remove._drop("call", *found[:3]) is None and there() == 2
    assert remove.remove()["call"]["rows"] == 1 and Call.objects.get() == kept != gone


def test_windows_of_budgets_go_so_long_after_their_end():
    """A budget of each user has one for each of them and period, and thousands of users have many."""
    budget = Budget.objects.create(limit=1, each=["user"], period="hour")
    _, recent, now = (
        Window.objects.create(budget=budget, value=name, starts_at=end - timedelta(hours=1), ends_at=end)
        for name, end in (("a", ago(days=401)), ("b", ago(days=399)), ("c", ago(hours=-1)))
    )
    assert remove.remove()["window"] == {"rows": 1}
    assert set(Window.objects.all()) == {recent, now}


def test_an_alert_goes_with_its_deliveries_so_long_after_its_end():
    def alert(key: str, *, over: datetime | None) -> Alert:
        return Alert.objects.create(
            kind="k", severity="warning", dedup_key=key, created_at=ago(days=500), resolved_at=over, tenant=key
        )

    old, recent, still_open, held = (
        alert("old", over=ago(days=401)), alert("recent", over=ago(days=399)), alert("open", over=None),
        alert("held", over=ago(days=401)),
    )  # fmt: skip
    LegalHold.objects.create(tenant="held", reason="a suit", set_by="counsel")
    channel = Channel.objects.create(name="c", kind="email")
    [first, second] = Delivery.objects.bulk_create(
        [Delivery(alert=a, channel=channel, event="trigger") for a in (old, recent)]
    )
    end = Delivery.objects.bulk_create([Delivery(alert=old, channel=channel, event="resolve", trigger=first)])[0]
    # One message told both.
    Delivery.objects.filter(pk__in=[first.pk, second.pk, end.pk]).update(group=first)
    assert remove.remove()["alert"] == {"rows": 1}
    assert set(Alert.objects.all()) == {recent, still_open, held}
    assert Delivery.objects.get() == second and Delivery.objects.get().group is None


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
    for _ in range(2):
        with connection.cursor() as cursor:
            cursor.execute(SQL["insert_calls"], [row])
            cursor.execute(SQL["insert_payloads"], [json.dumps([{"id": str(old.id), "content": {}}])])
    assert there() == 1 and not Call.objects.exists() and not Payload.objects.exists()
    assert remove.remove()["call"]["rows"] == 1


def test_a_role_above_row_security_and_a_wrong_setting_are_told(settings):
    assert not list(checks.expired_rows_are_hidden()) and not list(checks.retention_is_valid())
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "RETENTION_DAYS": ("review",)}
    assert "write a kind and days" in next(checks.retention_is_valid()).msg
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "RETENTION_DAYS": (), "RETENTION_PAYLOADS_DAYS": 0}
    assert "1 to 36500" in next(checks.retention_is_valid()).msg
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "RETENTION_DAYS": ("session_map=5",), "RETENTION_PAYLOADS_DAYS": 30}
    assert "say themselves when they expire" in next(checks.retention_is_valid()).msg


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
