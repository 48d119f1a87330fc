"""Reasons and names that are too long for the audit log: refused before anything is done, never cut."""

import pytest
from django.core.management import CommandError, call_command

from gateway.management import arguments

WHY = ("--reason", "x" * 501)
WHO = ("--actor", "x" * 151)


@pytest.mark.parametrize(
    "words",
    [
        ("prompts", "push", ".", "--deploy", *WHY),
        ("prompts", "push", ".", *WHO),
        ("switch", "off", "everything", *WHY),
        ("switch", "on", "everything", *WHY),
        ("privacy", "export", "--user", "ann", *WHY),
        ("privacy", "erase", "--user", "ann", *WHY),
        ("reprice", "--since", "2026-09-01", *WHY),
        ("reprice", "--since", "2026-09-01", *WHO),
        ("reconcile", "openai", "bill.csv", "--book", *WHY),
        ("reconcile", "openai", "bill.csv", *WHO),
        ("catalog", "apply", "catalog.toml", *WHO),
    ],
    ids=" ".join,
)
def test_what_the_audit_log_cannot_keep_whole_is_refused(words):
    """Without a database: the arguments are read before anything else."""
    option, text = words[-2:]
    with pytest.raises(
        CommandError, match=f"{option}: it has {len(text)} characters, .* at most {len(text) - 1}; shorten"
    ):
        call_command(*words)


def test_the_longest_are_taken_whole():
    assert arguments.reason("x" * 500) == "x" * 500 and arguments.actor("ö" * 150) == "ö" * 150
