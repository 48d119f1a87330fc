"""Redaction policies and lists in the admin: their forms, and the page on which a policy is tried out."""

import logging

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from gateway.catalog import load
from gateway.models import AuditEntry, Feature
from redaction.models import RedactionList, RedactionPolicy
from tests.world import World

pytestmark = pytest.mark.django_db
MAIL = "jane.doe@example.com"


@pytest.fixture
def policy():
    return RedactionPolicy.objects.create(name="p", entities=["EMAIL_ADDRESS", "CREDIT_CARD"])


def page(row, name="change"):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{name}", args=[row.pk])


FORM = {
    "outbound": "pseudonymise",
    "stored": "redacted",
    "entities": ["EMAIL_ADDRESS", "CREDIT_CARD"],
    "threshold": "0.4",
    "media": "pass",
    "pseudonyms": "call",
    "session_hours": "24",
}


def test_rules_are_written_one_a_line_and_audited(admin_client, policy):
    form = {**FORM, "rules": "CREDIT_CARD = refuse\n\nEMAIL_ADDRESS=mask", "thresholds": "EMAIL_ADDRESS = 0.7",
            "parts": "tool_results = off", "stored_parts": "replies = none"}  # fmt: skip
    assert admin_client.post(page(policy), form).status_code == 302
    policy.refresh_from_db()
    assert policy.rules == {"CREDIT_CARD": "refuse", "EMAIL_ADDRESS": "mask"} and policy.thresholds == {
        "EMAIL_ADDRESS": 0.7
    }
    [entry] = AuditEntry.objects.all()
    assert entry.detail["changes"]["parts"] == [{}, {"tool_results": "off"}]
    assert "CREDIT_CARD = refuse\nEMAIL_ADDRESS = mask" in admin_client.get(page(policy)).content.decode()
    admin_client.post(page(policy), form)
    assert AuditEntry.objects.count() == 1


@pytest.mark.parametrize(
    "field, text, told",
    [
        ("rules", "CREDIT_CARD", "write name = value"), ("rules", "CREDIT_CARD = hide", "choose from off, mask"),
        ("rules", "PERSON = mask", "add it to entities"), ("rules", "A = b\nA = c", "there twice"),
        ("thresholds", "EMAIL_ADDRESS = high", "is no number"), ("parts", "images = off", "choose from prompts"),
        ("thresholds", "EMAIL_ADDRESS = nan", "between 0 and 1"),
    ],
)  # fmt: skip
def test_mistakes_in_rules_are_told(admin_client, policy, field, text, told):
    answer = admin_client.post(page(policy), {**FORM, field: text})
    assert answer.status_code == 200 and told in answer.content.decode()


def test_lists_are_written_and_audited_and_hold_for_their_tenant(admin_client, transactional_db):
    World("http://127.0.0.1:1/v1").feature("f", policy=(row := RedactionPolicy.objects.create(name="p")))
    add = reverse("admin:tollhouse_redaction_redactionlist_add")
    form = {"policy": row.pk, "tenant": "acme", "allow": "Acme Ltd\n", "deny": "Project Falcon\nGannet",
            "patterns": r"EMPLOYEE = \bE\d{6}\b", "outbound": "mask"}  # fmt: skip
    assert admin_client.post(add, form).status_code == 302
    one = RedactionList.objects.get()
    assert (one.allow, one.deny, one.patterns) == (
        ["Acme Ltd"],
        ["Project Falcon", "Gannet"],
        {"EMPLOYEE": r"\bE\d{6}\b"},
    )
    assert AuditEntry.objects.get().action == "redactionlist.create"
    policy = load().features["f"].policy
    assert policy.for_tenant("acme").own_entities == {"EMPLOYEE", "DENIED"}
    assert policy.for_tenant("other").own_entities == policy.for_tenant("").own_entities == set()
    for patterns, told in (("EMPLOYEE = (a+)+", "need a bound"), ("PERSON = Ada", "name of your own")):
        assert told in admin_client.post(add, {**form, "tenant": "b", "patterns": patterns}).content.decode()
    assert "already exists" in admin_client.post(add, form).content.decode()


def trial(client, row, text, **values):
    return client.post(page(row, "try"), {"text": text, "part": "prompts", **values})


def test_a_text_is_explained_and_kept_nowhere(admin_client, policy, caplog):
    caplog.set_level(logging.DEBUG)
    RedactionList.objects.create(policy=policy, tenant="acme", deny=["Falcon"], outbound="mask")
    text = f"<b>Write</b> to {MAIL} about falcon"
    with CaptureQueriesContext(
        connection,
    ) as queries:
        html = trial(admin_client, policy, text, tenant="acme").content.decode()
    assert "<b>Write" not in html and "&lt;b&gt;Write&lt;/b&gt; to " in html
    for words in (
        "EMAIL_ADDRESS",
        "patterns, contacts",
        "pseudonymise",
        "deny list",
        "[EMAIL_ADDRESS_1]",
        "&lt;DENIED&gt;",
    ):
        assert words in html
    written = [q["sql"] for q in queries if not q["sql"].startswith(("SELECT", "SAVEPOINT", "RELEASE"))]
    assert not any(MAIL in q["sql"] for q in queries) and written == []
    assert MAIL not in "".join(record.getMessage() for record in caplog.records if record.name != "django.db.backends")
    assert "falcon</p>" in trial(admin_client, policy, text).content.decode()


@pytest.mark.parametrize(
    "values, text, part, told",
    [
        ({"outbound": "refuse"}, MAIL, "prompts", "refuses calls with EMAIL_ADDRESS"),
        ({"parts": {"system": "off"}}, MAIL, "system", "does not look at this part"),
        ({"stored": "none"}, MAIL, "prompts", "Nothing."),
        ({"stored": "hash"}, MAIL, "replies", "sha256:"),
        ({}, f'{{"to": "{MAIL}"}}', "tool_arguments", "EMAIL_ADDRESS_1"),
        ({}, MAIL, "embeddings", "EMAIL_ADDRESS_1"),
        ({}, MAIL, "tool_results", "EMAIL_ADDRESS_1"),
        ({}, "nothing here", "prompts", "Nothing of what the policy looks for"),
        ({}, "x" * 50_001, "prompts", "at most 50000 characters"),
        ({}, "", "prompts", "required"),
    ],
)
def test_every_part_and_rule_can_be_tried(admin_client, policy, values, text, part, told):
    RedactionPolicy.objects.filter(pk=policy.pk).update(**values)
    answer = trial(admin_client, policy, text, part=part)
    assert answer.status_code == 200 and told in answer.content.decode()
    assert "no-store" in answer.headers["cache-control"]


def test_trying_out_needs_its_permission_and_a_token(admin_client, policy, client, django_user_model):
    user = django_user_model.objects.create_user("bob", password="x", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=["view_redactionpolicy", "change_redactionpolicy"])
    )
    client.force_login(user)
    assert client.get(page(policy, "try")).status_code == trial(client, policy, MAIL).status_code == 403
    assert "Try it out" not in client.get(page(policy)).content.decode()
    assert "Try it out" in admin_client.get(page(policy)).content.decode()
    strict = Client(enforce_csrf_checks=True)
    user.user_permissions.set(Permission.objects.filter(codename="try_redactionpolicy"))
    strict.force_login(user)
    assert strict.get(page(policy, "try")).status_code == 200
    assert trial(strict, policy, MAIL).status_code == 403
    assert admin_client.get(reverse("admin:tollhouse_redaction_redactionpolicy_try", args=[0])).status_code == 404


def test_names_in_help_texts_are_code_and_what_somebody_wrote_is_as_it_was(admin_client, policy):
    text = admin_client.get(page(policy)).content.decode()
    assert "they <code>pass</code>, or <code>refuse</code> calls that have any." in text and "`pass`" not in text
    feature = World("http://127.0.0.1:9/v1").feature("support.reply")
    Feature.objects.filter(pk=feature.pk).update(description='Say `no`. <div class="help">`x`</div>')
    text = admin_client.get(reverse("admin:tollhouse_gateway_feature_change", args=[feature.pk])).content.decode()
    assert 'value="Say `no`. &lt;div class=&quot;help&quot;&gt;`x`&lt;/div&gt;"' in text
