"""A person's rights: export and erasure of everything that is kept, in consumers' tables too; the money stays."""

import json
import stat
from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from gateway import KeptTable, hide_expired, keep, keys, privacy
from gateway.models import AuditEntry, Call, Dataset, DatasetItem, LegalHold, Payload
from gateway.privacy import CannotErase
from gateway.retention import remove
from gateway.retention.kinds import REGISTERED
from redaction.models import SessionMap
from tests.rows import make_call

pytestmark = pytest.mark.django_db(transaction=True)

REVIEW = KeptTable(
    kind="review",
    table="test_review",
    keep_days=90,
    at="made_at",
    feature="feature",
    user_ref="person",
    session="visit",
)
ANN = "ann@example.com"


@pytest.fixture
def reviews():
    """A consumer's table, as its own migration and `ready` make and register it."""
    hide = hide_expired(REVIEW)
    keep(REVIEW)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE test_review (id int, made_at timestamptz, feature text, person text, visit text, body text)"
        )
        cursor.execute(hide.sql)
        remove.sync()
        yield cursor
        cursor.execute(hide.reverse_sql)
        cursor.execute("DROP TABLE test_review")
    del REGISTERED["review"]


def review(cursor, id: int, *, days: float = 0, person: str = "", visit: str = "", feature: str = "f") -> None:
    at = timezone.now() - timedelta(days=days)
    cursor.execute("INSERT INTO test_review VALUES (%s, %s, %s, %s, %s, 'text')", [id, at, feature, person, visit])


def ids(cursor) -> list[int]:
    cursor.execute("SELECT id FROM test_review ORDER BY id")
    return [id for (id,) in cursor.fetchall()]


def world() -> str:
    """Two calls of Ann's, one of her session's before she was known, and one of somebody else's."""
    ref = keys.user_ref(ANN)
    make_call(user_ref=ref, session_id="s1", labels={"ticket": "4711"}, cost_usd=Decimal(1), payload={"reply": "hers"})
    make_call(user_ref=ref, session_id="", cost_usd=Decimal(2))
    make_call(user_ref="", session_id="s1", cost_usd=Decimal(4), payload={"reply": "hers before"})
    make_call(user_ref="other", session_id="s1", cost_usd=Decimal(8), payload={"reply": "not hers"})
    return ref


def spent() -> Decimal:
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(cost_usd) FROM tollhouse_cost_entry")
        return cursor.fetchone()[0]


def test_an_export_holds_everything_of_the_person_and_nothing_of_others(reviews):
    ref = world()
    review(reviews, 1, person=ref)
    review(reviews, 2, person="", visit="s1")
    review(reviews, 3, person="other", visit="s1")
    found = privacy.export(ref, actor="ann")
    assert json.loads(json.dumps(found)) == found
    assert len(found["calls"]) == 3 and found["sessions"] == ["s1"]
    assert [payload["content"]["reply"] for payload in found["payloads"]] == ["hers", "hers before"]
    assert [row["id"] for row in found["review"]] == [1, 2]
    assert "not hers" not in str(found) and '"other"' not in json.dumps(found)
    entry = AuditEntry.objects.get(action="privacy.export")
    assert entry.detail["rows"]["calls"] == 3 and ref not in entry.subject + str(entry.detail)


def test_erasure_leaves_the_money_and_nothing_of_the_person_and_can_be_repeated(reviews):
    ref = world()
    review(reviews, 1, person=ref)
    review(reviews, 2, person="", visit="s1")
    review(reviews, 3, person="other", visit="s1")
    dataset = Dataset.objects.create(name="d")
    for call in Call.objects.all():
        # One of a call whose row is gone; the others are found by it, whether it names anybody or not.
        gone = call.cost_usd == 2
        DatasetItem.objects.create(
            dataset=dataset, call_id=None if gone else call.id, user_ref=ref if gone else "", feature="f",
            messages=[{"role": "user", "content": "not hers" if call.user_ref == "other" else "hers"}],
        )  # fmt: skip
    assert len(privacy.export(ref, actor="dpo")["dataset_item"]) == 3
    before = spent()
    assert privacy.erase(ref, actor="dpo", reason="request 17") == {
        "review": 2, "session_map": 0, "dataset_item": 3, "score": 0, "step": 0, "payloads": 2, "calls": 3,
    }  # fmt: skip
    assert spent() == before == Decimal(15) and Call.objects.count() == 4
    everything = str(
        [*Call.objects.values(), *Payload.objects.values(), *DatasetItem.objects.values(), *AuditEntry.objects.values()]
    )
    assert ref not in everything and "4711" not in everything and "hers" not in everything.replace("not hers", "")
    assert "not hers" in everything and ids(reviews) == [3]
    assert set(privacy.erase(ref, actor="dpo", reason="request 17").values()) == {0}
    assert [entry.subject for entry in AuditEntry.objects.filter(action="privacy.erase")] == [privacy.subject(ref)] * 2


def test_what_has_expired_and_is_still_there_is_exported_and_erased():
    ref = keys.user_ref(ANN)
    make_call(at=timezone.now() - timedelta(days=420), user_ref=ref, payload={"reply": "old"})
    assert len(privacy.export(ref, actor="dpo")["payloads"]) == 1
    assert privacy.erase(ref, actor="dpo", reason="r") == {
        "session_map": 0,
        "dataset_item": 0,
        "score": 0,
        "step": 0,
        "payloads": 1,
        "calls": 1,
    }


def test_the_pseudonyms_of_the_persons_sessions_are_found_too():
    ref = keys.user_ref(ANN)
    for key, whose in ((b"hers", ref), (b"other", "other")):
        SessionMap.objects.create(
            key=key, user_ref=whose, content="encrypted", version=1, expires_at=timezone.now() + timedelta(hours=1)
        )
    assert len(privacy.export(ref, actor="dpo")["session_map"]) == 1
    assert privacy.erase(ref, actor="dpo", reason="r")["session_map"] == 1
    assert bytes(SessionMap.objects.get().key) == b"other"


def test_a_session_of_the_same_name_at_another_tenant_is_not_the_persons():
    ref = keys.user_ref(ANN)
    make_call(user_ref=ref, session_id="s1", tenant="acme", payload={"reply": "hers"})
    make_call(user_ref="", session_id="s1", tenant="globex", payload={"reply": "not hers"})
    assert [row["content"]["reply"] for row in privacy.export(ref, actor="dpo")["payloads"]] == ["hers"]
    assert privacy.erase(ref, actor="dpo", reason="r")["payloads"] == 1
    assert Payload.objects.get().content == {"reply": "not hers"}


@pytest.mark.parametrize("of", ["user", "tenant"])
def test_a_legal_hold_forbids_erasure_and_the_message_says_which(of):
    ref = keys.user_ref(ANN)
    make_call(user_ref=ref, tenant="acme", payload={"reply": "hers"})
    hold = LegalHold.objects.create(
        **({"user_ref": ref} if of == "user" else {"tenant": "acme"}), reason="a suit", set_by="x"
    )
    with pytest.raises(CannotErase, match="a suit") as refused:
        privacy.erase(ref, actor="dpo", reason="r")
    assert ref not in str(refused.value) and Payload.objects.exists() and Call.objects.get().user_ref == ref
    assert not AuditEntry.objects.filter(action="privacy.erase").exists()
    LegalHold.objects.filter(pk=hold.pk).update(lifted_at=timezone.now())
    privacy.erase(ref, actor="dpo", reason="r")
    assert not Payload.objects.exists()


def test_a_tenants_legal_hold_protects_what_outlived_its_calls():
    dataset = Dataset.objects.create(name="d")
    DatasetItem.objects.create(dataset=dataset, user_ref="ann", tenant="acme", feature="f", messages=[])
    LegalHold.objects.create(tenant="acme", reason="a suit", set_by="x")
    make_call(user_ref="ann", tenant="other")
    with pytest.raises(CannotErase, match="tenant acme: a suit"):
        privacy.erase("ann", actor="dpo", reason="r")
    assert DatasetItem.objects.exists() and Call.objects.get().user_ref == "ann"


@pytest.mark.parametrize("ref", ["", "  "])
def test_nobody_is_no_person(ref):
    make_call(payload={"reply": "anonymous"})
    with pytest.raises(ValueError, match="Give a user reference"):
        privacy.erase(ref, actor="dpo", reason="r")
    assert Payload.objects.exists()


def test_the_commands_take_the_reference_or_the_raw_id(tmp_path):
    ref = world()
    out = StringIO()
    call_command("privacy", "export", "--user", ANN, stdout=out)
    assert json.loads(out.getvalue())["user_ref"] == ref
    file = tmp_path / "export.json"
    call_command("privacy", "export", "--user-ref", ref, "--output", str(file), stdout=out)
    assert len(json.loads(file.read_text())["calls"]) == 3 and stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(CommandError, match="cannot be made"):
        call_command("privacy", "export", "--user-ref", ref, "--output", str(file), stdout=out)
    out = StringIO()
    call_command("privacy", "erase", "--user", ANN, "--reason", "request 17", stdout=out)
    call_command("privacy", "erase", "--user", ANN, "--reason", "request 17", stdout=out)
    assert (
        out.getvalue()
        == "Erased: 0 session_map, 0 dataset_item, 0 score, 0 step, 2 payloads, 3 calls.\nNothing is kept of that person.\n"
    )
    with pytest.raises(CommandError, match="Say why"):
        call_command("privacy", "erase", "--user", ANN, "--reason", " ")


def test_a_consumers_rows_expire_by_feature_and_are_removed_but_for_legal_holds(reviews):
    from gateway.models import RetentionRule

    RetentionRule.objects.create(kind="review", feature="short", keep_days=2)
    LegalHold.objects.create(user_ref="held", reason="a suit", set_by="x")
    review(reviews, 1, days=91)
    review(reviews, 2, days=89)
    review(reviews, 3, days=3, feature="short")
    review(reviews, 4, days=91, person="held")
    reviews.execute("INSERT INTO test_review (id, person, visit) VALUES (5, '', '')")
    assert ids(reviews) == [2, 5]
    plan = {step.kind: step for step in remove.plan()}
    assert (plan["review"].rows, plan["review"].held) == (2, 1)
    assert remove.remove()["review"] == {"rows": 2}
    with remove.seeing_expired():
        assert ids(reviews) == [2, 4, 5]


def test_a_table_is_registered_once_and_with_plain_names(reviews):
    keep(REVIEW)
    with pytest.raises(ValueError, match="registered already"):
        keep(KeptTable(kind="review", table="other", keep_days=1))
    with pytest.raises(ValueError, match="lower-case letters"):
        KeptTable(kind="x", table="a; DROP TABLE b", keep_days=1)
    with pytest.raises(ValueError, match="not the gate's own"):
        KeptTable(kind="call", table="a", keep_days=1)
