"""The audit log's chain: whoever tampers with the log, with all rights, is found out."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import StringIO

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from gateway import audit_chain
from gateway.audit_chain import Broken, Head
from gateway.models import AuditEntry, AuditHead, AuditLink
from gateway.sql import script
from tests.server import EMBEDDED, as_server

pytestmark = pytest.mark.django_db(transaction=True)

# The second and the third entry in each other's place: their links whole, what these are of, their hashes, or what they say.
SWAP_PLACES = """UPDATE tollhouse_audit_link SET place = place + 10 WHERE place IN (2, 3);
                 UPDATE tollhouse_audit_link SET place = 15 - place WHERE place IN (12, 13)"""
SWAP_ENTRIES = """UPDATE tollhouse_audit_link SET entry_id = -entry_id WHERE place IN (2, 3);
                  UPDATE tollhouse_audit_link l SET entry_id = -o.entry_id FROM tollhouse_audit_link o
                  WHERE l.place IN (2, 3) AND o.place = 5 - l.place"""
SWAP_HASHES = """UPDATE tollhouse_audit_link l SET hash = o.hash FROM tollhouse_audit_link o
                 WHERE l.place IN (2, 3) AND o.place = 5 - l.place"""
SWAP_TEXTS = """UPDATE tollhouse_audit e SET at = o.at, actor = o.actor, action = o.action, subject = o.subject, detail = o.detail
                FROM tollhouse_audit o WHERE (e.action, o.action) IN (('b', 'c'), ('c', 'b'))"""


def write(*actions: str) -> list[AuditEntry]:
    return [
        AuditEntry.objects.create(actor="ann", action=action, subject="s", detail={"n": 1, "ä": "x"})
        for action in actions
    ]


@contextmanager
def without_triggers(*tables: str):
    """As whoever owns the tables can have it."""
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield cursor
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def test_entries_are_chained_in_order_and_the_head_says_how_many():
    assert audit_chain.verify() == Head(0, "")
    write("a", "b", "c")
    head = audit_chain.verify()
    assert head.entries == 3 and head == audit_chain.current() and Head.parse(str(head)) == head


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE tollhouse_audit SET actor = 'bob' WHERE action = 'b'", "at place 2, is not as it was written"),
        ("UPDATE tollhouse_audit SET detail = '{}' WHERE action = 'b'", "at place 2, is not as it was written"),
        ("UPDATE tollhouse_audit SET at = at - interval '1 day' WHERE action = 'b'", "at place 2, is not as it was written"),
        ("DELETE FROM tollhouse_audit WHERE action = 'b'", "at place 2, was deleted"),
        ("DELETE FROM tollhouse_audit_link WHERE place = 2", "Place 2 of the chain is missing"),
        ("DELETE FROM tollhouse_audit_link WHERE place = 3", "is not in the chain"),
        ("UPDATE tollhouse_audit_link SET hash = repeat('0', 64) WHERE place = 2", "at place 2, is not as it was written"),
        ("DELETE FROM tollhouse_audit_link; DELETE FROM tollhouse_audit; DELETE FROM tollhouse_audit_head", "noted says 3"),
        ("DELETE FROM tollhouse_audit WHERE action = 'c'; DELETE FROM tollhouse_audit_link WHERE place = 3", "off the end"),
        ("UPDATE tollhouse_audit_head SET hash = repeat('0', 64)", "or it was changed"),
        (SWAP_PLACES, "at place 2, is not as it was written"),
        (SWAP_ENTRIES, "at place 2, is not as it was written"),
        (SWAP_HASHES, "at place 2, is not as it was written"),
        (f"{SWAP_ENTRIES}; {SWAP_HASHES}", "at place 2, is not as it was written"),
        (SWAP_TEXTS, "at place 2, is not as it was written"),
        (f"{SWAP_TEXTS}; {SWAP_PLACES}", "at place 2, is not as it was written"),
        ("DELETE FROM tollhouse_audit_head", "The head says 0 entries, and 3 are there"),
        ("INSERT INTO tollhouse_audit (at, actor, action, subject, reason, detail) VALUES (now(), 'x', 'x', 'x', '', '{}')",
         "was written past its trigger"),
    ],
)  # fmt: skip
def test_whoever_tampers_is_found_out(change, told):
    write("a", "b", "c")
    head = audit_chain.verify()
    with without_triggers("tollhouse_audit", "tollhouse_audit_link") as cursor:
        cursor.execute(change)
    with pytest.raises(Broken, match=told):
        audit_chain.verify(head)


@pytest.mark.skipif(not EMBEDDED, reason="the roles of the embedded database")
def test_the_role_of_servers_adds_entries_and_can_do_nothing_else():
    write("a", "b")
    before = audit_chain.verify()
    values = "(id, at, actor, action, subject, reason, detail)"
    with as_server() as server:
        for statement in (
            "UPDATE tollhouse_audit SET actor = 'x'", "DELETE FROM tollhouse_audit", "TRUNCATE tollhouse_audit",
            "UPDATE tollhouse_audit_link SET hash = ''", "DELETE FROM tollhouse_audit_link", "TRUNCATE tollhouse_audit_link",
            "INSERT INTO tollhouse_audit_link (place, entry_id, hash) VALUES (3, 99, '')",
            "UPDATE tollhouse_audit_head SET entries = 1", "DELETE FROM tollhouse_audit_head", "TRUNCATE tollhouse_audit_head",
            "SET session_replication_role = replica", "ALTER TABLE tollhouse_audit DISABLE TRIGGER USER",
        ):  # fmt: skip
            with pytest.raises(psycopg.Error):
                server.execute(statement)
        assert audit_chain.verify() == before
        server.execute(f"INSERT INTO tollhouse_audit {values} VALUES (DEFAULT, now(), 'ann', 'c', 's', '', '{{}}')")
    assert audit_chain.verify(before).entries == 3


def test_a_chain_that_was_written_anew_is_found_out_by_a_head_that_was_kept():
    write("a", "b", "c")
    head = audit_chain.verify()
    with without_triggers("tollhouse_audit", "tollhouse_audit_link") as cursor:
        cursor.execute(
            "UPDATE tollhouse_audit SET actor = 'bob'; DELETE FROM tollhouse_audit_link; DELETE FROM tollhouse_audit_head"
        )
        text = script("audit_chain.sql")
        cursor.execute(text[text.index("DO $$") : text.index("CREATE CONSTRAINT")])
    assert audit_chain.verify().entries == 3
    with pytest.raises(Broken, match="written anew"):
        audit_chain.verify(head)


def test_the_migration_chains_the_entries_that_there_are():
    write("a", "b")
    head = audit_chain.verify()
    with without_triggers("tollhouse_audit_link") as cursor:
        cursor.execute("DELETE FROM tollhouse_audit_link; DELETE FROM tollhouse_audit_head")
        text = script("audit_chain.sql")
        cursor.execute(text[text.index("DO $$") : text.index("CREATE CONSTRAINT")])
    assert audit_chain.verify() == head
    write("c")
    assert audit_chain.verify().entries == 3


def test_writers_at_the_same_time_make_one_chain():
    def run(n: int) -> None:
        for k in range(8):
            with transaction.atomic():
                write(f"{n}.{k}", f"{n}.{k}b")
        connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(run, range(6)))
    assert audit_chain.verify().entries == 96
    assert AuditLink.objects.count() == 96 and AuditHead.objects.get().entries == 96


def test_what_is_rolled_back_leaves_no_gap():
    write("a")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        write("b")
        raise ZeroDivisionError
    write("c")
    assert audit_chain.verify().entries == 2


def test_writing_does_not_wait_for_a_transaction_that_has_written_and_is_not_over():
    """The chain is locked when a transaction ends, so that a long one keeps nobody waiting."""
    with transaction.atomic():
        write("long")

        def other() -> None:
            write("short")
            connections.close_all()

        with ThreadPoolExecutor(1) as pool:
            pool.submit(other).result(timeout=20)
    assert audit_chain.verify().entries == 2
    assert [AuditEntry.objects.get(id=link.entry_id).action for link in AuditLink.objects.order_by("place")] == [
        "short",
        "long",
    ]


def test_without_its_head_nothing_can_be_added():
    write("a")
    AuditHead.objects.all().delete()
    with pytest.raises(Exception, match="head of the audit log's chain is gone"):
        write("b")
    with pytest.raises(CommandError, match="The head says 0 entries, and 1 are there"):
        call_command("audit", "verify")


def test_the_command_prints_the_head_and_ends_with_an_error_where_the_chain_breaks():
    write("a", "b")
    out = StringIO()
    call_command("audit", "verify", stdout=out)
    head = out.getvalue().splitlines()[-1]
    assert Head.parse(head).entries == 2 and AuditEntry.objects.latest("id").detail == {"ok": True, "head": head}
    call_command("audit", "verify", "--head", head, stdout=out)
    with without_triggers("tollhouse_audit") as cursor:
        cursor.execute("UPDATE tollhouse_audit SET reason = 'other' WHERE action = 'a'")
    with pytest.raises(CommandError, match="at place 1, is not as it was written"):
        call_command("audit", "verify", stdout=out)
    assert AuditEntry.objects.latest("id").detail["ok"] is False
    with pytest.raises(CommandError, match="is no head"):
        call_command("audit", "verify", "--head", "three", stdout=out)
