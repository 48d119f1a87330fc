"""Retention, legal holds and a person's rights in the admin: who may what, and that it is noted."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from gateway import keys
from gateway.models import AuditEntry, Call, LegalHold, Payload, RetentionRule
from gateway.retention import remove
from tests.rows import make_call
from tests.world import World

PERSON, HOLDS, RULES = (f"/admin/tollhouse_gateway/{page}/" for page in ("call/person", "legalhold", "retentionrule"))
pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client, django_user_model):
    """Logs somebody in with just these permissions."""

    def log_in(*codenames):
        user = django_user_model.objects.create_user("bob", password="x", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(user)
        return client

    return log_in


def test_who_may_neither_export_nor_erase_does_not_see_the_page(staff):
    client = staff("view_call", "read_payload")
    assert client.get(PERSON).status_code == 403 and client.post(PERSON, {"export": ""}).status_code == 403
    assert PERSON not in client.get("/admin/tollhouse_gateway/call/").text


def test_a_person_is_exported_as_a_file(staff):
    call = make_call(user_ref=keys.user_ref("ann"), payload={"reply": "hers"})
    client = staff("view_call", "export_person")
    assert PERSON in client.get("/admin/tollhouse_gateway/call/").text
    assert 'name="erase"' not in client.get(PERSON).text
    answer = client.post(PERSON, {"user": "ann", "reason": "request 17", "export": ""})
    # Reports of errors, as Django mails them, leave out who it is about.
    assert set(answer.wsgi_request.sensitive_post_parameters) == {"user", "user_ref"}
    assert answer["Content-Disposition"].startswith("attachment") and "no-store" in answer["Cache-Control"]
    assert json.loads(answer.content)["calls"][0]["id"] == str(call.id)
    assert AuditEntry.objects.get().reason == "request 17"
    assert client.post(PERSON, {"user": "ann", "reason": "r", "erase": "", "sure": "on"}).status_code == 403
    assert Payload.objects.exists()


def test_a_person_is_erased_when_one_is_sure_and_no_legal_hold_is_in_force(staff):
    ref = keys.user_ref("ann")
    make_call(user_ref=ref, payload={"reply": "hers"})
    client = staff("erase_person")
    assert 'name="export"' not in client.get(PERSON).text
    assert "Tick this to erase." in client.post(PERSON, {"user": "ann", "reason": "r", "erase": ""}).text
    assert (
        "one of the two"
        in client.post(PERSON, {"user": "a", "user_ref": "b", "reason": "r", "erase": "", "sure": "on"}).text
    )
    hold = LegalHold.objects.create(user_ref=ref, reason="a <b>suit</b>", set_by="counsel")
    page = client.post(PERSON, {"user": "ann", "reason": "r", "erase": "", "sure": "on"}).text
    assert "a &lt;b&gt;suit&lt;/b&gt;" in page and Payload.objects.exists()
    hold.lifted_at = timezone.now()
    hold.save()
    assert "1 payloads, 1 calls" in client.post(PERSON, {"user": "ann", "reason": "r", "erase": "", "sure": "on"}).text
    assert not Payload.objects.exists() and Call.objects.get().user_ref == ""
    assert (
        "Nothing is kept of that person."
        in client.post(PERSON, {"user": "ann", "reason": "r", "erase": "", "sure": "on"}).text
    )


def test_a_legal_hold_is_set_and_lifted_with_a_reason_and_never_changed(staff):
    client = staff("view_legalhold", "add_legalhold", "change_legalhold", "delete_legalhold")
    assert "one of the two" in client.post(f"{HOLDS}add/", {"tenant": "", "user_ref": "", "reason": "r"}).text
    assert client.post(f"{HOLDS}add/", {"tenant": "acme", "user_ref": "", "reason": "a suit"}).status_code == 302
    assert (
        "in force for that already"
        in client.post(f"{HOLDS}add/", {"tenant": "acme", "user_ref": "", "reason": "r"}).text
    )
    hold = LegalHold.objects.get()
    assert hold.set_by == "bob" and "in force" in client.get(HOLDS).text
    client.post(f"{HOLDS}{hold.pk}/change/", {"tenant": "other", "user_ref": "", "reason": "x"})
    client.post(f"{HOLDS}{hold.pk}/delete/", {"post": "yes"})
    assert LegalHold.objects.get().tenant == "acme"
    assert "Say why it is lifted" in client.post(f"{HOLDS}{hold.pk}/lift/", {"reason": ""}).text
    assert client.post(f"{HOLDS}{hold.pk}/lift/", {"reason": "settled"}).status_code == 302
    hold.refresh_from_db()
    assert hold.lifted_at and hold.lifted_by == "bob" and client.get(f"{HOLDS}{hold.pk}/lift/").status_code == 404
    assert [(e.action, e.reason) for e in AuditEntry.objects.order_by("id")] == [
        ("legalhold.set", "a suit"), ("legalhold.lift", "settled")]  # fmt: skip


def test_who_may_only_set_legal_holds_cannot_lift_one(staff):
    client = staff("view_legalhold", "add_legalhold")
    hold = LegalHold.objects.create(tenant="acme", reason="a suit", set_by="counsel")
    assert client.post(f"{HOLDS}{hold.pk}/lift/", {"reason": "r"}).status_code == 403


def test_a_rule_is_of_a_kind_and_a_feature_that_there_are_and_is_audited(staff):
    World("http://127.0.0.1:9/v1").feature("support.reply", "gpt-4o-mini")
    client = staff("view_retentionrule", "add_retentionrule", "change_retentionrule")
    assert (
        "Select a valid choice" in client.post(f"{RULES}add/", {"kind": "nothing", "feature": "x", "keep_days": 1}).text
    )
    assert (
        "greater than or equal to 1"
        in client.post(f"{RULES}add/", {"kind": "call", "feature": "support.reply", "keep_days": 0}).text
    )
    assert client.post(f"{RULES}add/", {"kind": "call", "feature": "support.reply", "keep_days": 90}).status_code == 302
    made = RetentionRule.objects.get()
    assert client.post(f"{RULES}{made.pk}/change/", {"keep_days": 30}).status_code == 302
    assert AuditEntry.objects.latest("id").detail == {"changes": {"keep_days": [90, 30]}}


def test_the_page_says_when_it_ran_and_what_is_next(admin_client):
    make_call(at=timezone.now() - timedelta(days=420))
    make_call()
    remove.sync()
    assert "is a worker running?" in admin_client.get("/admin/tollhouse_gateway/retentionkind/").text
    remove.remove()
    page = admin_client.get("/admin/tollhouse_gateway/retentionkind/").text
    assert (
        "400" in page
        and "Next whole partitions that go: payload: " in page
        and "1 rows" in page
        and "is a worker running?" not in page
    )
    assert admin_client.get("/admin/tollhouse_gateway/retentionkind/call/change/").status_code == 200
    assert admin_client.get("/admin/tollhouse_gateway/callsum/").status_code == 200
