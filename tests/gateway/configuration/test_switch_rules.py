"""Switch rules in catalog files."""

import pytest

from budgets.models import SwitchTrigger
from gateway.configuration.export import export
from gateway.models import AuditEntry
from tests.gateway.configuration.test_apply import BASE, applied, refused

pytestmark = pytest.mark.django_db

RULES = """
[[switch_rules]]
name = "support-errors"
feature = "support.*"
condition = "error_percent"
above = 37.5
min_calls = 50
running = "cut"

[[switch_rules]]
name = "anything-dear"
condition = "spend_times"
above = 5
minutes = 60
min_usd = 20
action = "alert"
"""


def test_rules_are_applied_changed_and_exported():
    assert "+ switch rule support-errors" in applied(BASE + RULES)
    first, second = SwitchTrigger.objects.order_by("-name")
    assert (first.scope, first.value, first.bound) == (
        "feature",
        "support.*",
        "more than 37.5 % errors over 5 min, of at least 50 calls",
    )
    assert (second.scope, second.value, second.action) == ("everything", "", "alert")
    assert second.bound == "more than 5 times the usual spend over 60 min, at least $20"
    changed = applied('[[switch_rules]]\nname = "support-errors"\nabove = 40\nactive = false')
    assert changed == ["~ switch rule support-errors: active True → False, above 37.500 → 40"]
    first.refresh_from_db()
    assert (first.value, first.active) == ("support.*", False)
    text = export(with_secrets=False)
    before = list(SwitchTrigger.objects.values())
    SwitchTrigger.objects.all().delete()
    assert "= feature support.reply" in applied(text)
    ignored = ("id", "created_at")
    assert [{k: v for k, v in row.items() if k not in ignored} for row in SwitchTrigger.objects.values()] == [
        {k: v for k, v in row.items() if k not in ignored} for row in before
    ]
    assert all(change.startswith("=") for change in applied(text))
    assert AuditEntry.objects.filter(action="catalog.apply").count() == 3


@pytest.mark.parametrize(
    "lines, said",
    [
        ('condition = "error_percent"\nabove = 1', "name is missing"),
        ('name = "r"\nabove = 1', "condition is missing"),
        ('name = "r"\ncondition = "errors"\nabove = 1', "'errors' is not a valid choice"),
        ('name = "r"\ncondition = "error_percent"\nabove = 100', "More than 100 percent of calls cannot fail"),
        ('name = "r"\ncondition = "error_percent"\nabove = 0', "greater than or equal to 0.001"),
        ('name = "r"\ncondition = "error_percent"\nabove = 1\nminutes = 600', "less than or equal to 60"),
        ('name = "r"\ncondition = "error_percent"\nabove = 1\nfeature = "suport.reply"', "Did you mean support.reply?"),
        ('name = "r"\ncondition = "error_percent"\nabove = 1\nfeature = "x*"\nmodel = "y*"', "not for two"),
        ('name = "r r"\ncondition = "error_percent"\nabove = 1', "valid “slug”"),
        ('name = "r"\ncondition = "error_percent"\nabove = 1\nof_minutes = 3', "did you mean off_minutes?"),
    ],
)
def test_what_is_wrong_with_a_rule_is_told(lines, said):
    assert said in " ".join(refused(f"{BASE}[[switch_rules]]\n{lines}\n"))
    assert not SwitchTrigger.objects.exists()
