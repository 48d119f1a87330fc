"""Redaction policies and lists as a catalog file says them."""

import tomllib

import pytest

from gateway.catalog import load
from gateway.configuration.apply import Refused, apply
from gateway.configuration.document import Document
from gateway.configuration.export import export
from gateway.models import AuditEntry
from redaction.models import RedactionList, RedactionPolicy

pytestmark = pytest.mark.django_db(transaction=True)

POLICIES = r"""
[policies.support]
outbound = "pseudonymise"
stored = "redacted"
entities = ["PERSON", "EMAIL_ADDRESS", "CREDIT_CARD"]
threshold = 0.5
thresholds = {PERSON = 0.6}
rules = {CREDIT_CARD = "refuse", EMAIL_ADDRESS = "mask"}
parts = {tool_results = "mask"}
stored_parts = {replies = "none"}
media = "refuse"

[[redaction_lists]]
policy = "support"
tenant = "acme"
deny = ["Project Falcon"]
patterns = {EMPLOYEE = '\bE\d{6}\b'}
outbound = "mask"

[[redaction_lists]]
allow = ["Acme Ltd"]
"""


def applied(text):
    changes = []
    apply(Document("c.toml", text), actor="ada", dry_run=False, show=changes.extend)
    return [str(change) for change in changes]


def test_policies_and_lists_are_exported_as_they_are():
    assert applied(POLICIES) == [
        "+ policy support", "+ redaction list of support, acme", "+ redaction list of every policy, every tenant",
    ]  # fmt: skip
    assert tomllib.loads(export(with_secrets=False)) == tomllib.loads(POLICIES)
    assert {change[0] for change in applied(POLICIES)} == {"="}
    changes = applied('[[redaction_lists]]\npolicy = "support"\ntenant = "acme"\ndeny = ["Gannet"]')
    assert changes == ["~ redaction list of support, acme: deny ['Project Falcon'] → ['Gannet']"]
    assert AuditEntry.objects.filter(action="catalog.apply").count() == 2
    row = RedactionPolicy.objects.get()
    policy = row.as_policy(RedactionList.objects.all())
    assert sorted(one.tenant for one in policy.lists) == ["", "acme"]
    assert policy.for_tenant("acme").own_entities == {"DENIED", "EMPLOYEE"}


def test_the_short_form_says_all_that_is_needed():
    applied('[policies.default]\noutbound = "mask"\nstored = "none"\nentities = ["PERSON"]')
    policy = RedactionPolicy.objects.get().as_policy()
    assert (policy.outbound, policy.stored, policy.entities, policy.rules, policy.media) == (
        "mask",
        "none",
        ("PERSON",),
        (),
        "pass",
    )


def test_a_list_that_changes_is_in_force_at_once(world):
    world.feature("f", policy=world.policy("p"))
    before = load()
    RedactionList.objects.create(deny=["Falcon"])
    after = load(before)
    assert after.revisions != before.revisions and after.features["f"].policy.own_entities == {"DENIED"}


@pytest.mark.parametrize(
    "old, new, told",
    [
        ("'\\bE\\d{6}\\b'", "'(a+)+'", "c.toml:17: redaction list of support, acme: patterns: EMPLOYEE: repetitions need a bound"),
        ("EMPLOYEE", "PERSON", "choose a name of your own"),
        ('policy = "support"', 'policy = "nope"', "There is no 'nope' in policies"),
        ('CREDIT_CARD = "refuse"', 'IBAN_CODE = "refuse"', "IBAN_CODE is not looked for; add it to entities"),
        ('CREDIT_CARD = "refuse"', "CREDIT_CARD = 1", "c.toml:8: policy support: Write a table of names and words"),
        ("PERSON = 0.6", 'PERSON = "high"', "Write a table of names and numbers"),
        ('outbound = "mask"', 'outbound = "off"', "is not a valid choice"),
        ('replies = "none"', 'answers = "none"', "choose from prompts, replies"),
        ('media = "refuse"', 'media = "look"', "is not a valid choice"),
        ('["Acme Ltd"]', '["?"]', "2 letters or digits"),
    ],
)  # fmt: skip
def test_mistakes_are_told_where_they_stand(old, new, told):
    with pytest.raises(Refused) as raised:
        applied(POLICIES.replace(old, new))
    assert told in str(raised.value)
    assert not RedactionPolicy.objects.exists()
