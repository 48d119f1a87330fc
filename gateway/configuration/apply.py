"""Applies a catalog file: everything in one transaction, or nothing and all that is wrong with it."""

from collections.abc import Callable
from typing import Any

from django.db import transaction

from gateway.configuration import alerts, prompts
from gateway.configuration.budgets import apply_budget, apply_rate
from gateway.configuration.document import Document, Place
from gateway.configuration.policies import apply_list, apply_policy
from gateway.configuration.rows import (
    Change,
    Rows,
    apply_feature,
    apply_price,
    apply_provider,
    apply_rate_limit,
    apply_route,
)
from gateway.configuration.schema import SECTIONS, check
from gateway.configuration.switch_rules import apply_switch_rule
from gateway.models import AuditEntry

APPLY: dict[str, Callable[[Rows, Place, dict[str, Any]], None]] = {
    "policies": apply_policy,
    "redaction_lists": apply_list,
    "providers": apply_provider,
    "routes": apply_route,
    "features": apply_feature,
    "prompts": prompts.apply_prompt,
    "rates": apply_rate,
    "budgets": apply_budget,
    "rate_limits": apply_rate_limit,
    "switch_rules": apply_switch_rule,
    "prices": apply_price,
    "channels": alerts.apply_channel,
    "alert_routes": alerts.apply_alert_route,
}


class Refused(Exception):
    """The file was not applied. `problems` says why, each with its line."""

    def __init__(self, document: Document) -> None:
        super().__init__("\n".join(map(str, document.problems)))
        self.problems = document.problems


def apply(document: Document, *, actor: str, dry_run: bool, show: Callable[[list[Change]], None]) -> None:
    """Does what the document says, after `show` was given the plan; with `dry_run` nothing is kept.

    The plan is made by doing it inside the transaction, so it is what happens. What the file does not mention stays.
    Raises Refused when anything is wrong; nothing is applied then.
    """
    check(document)
    if document.problems:
        raise Refused(document)
    with transaction.atomic():
        rows = Rows(document, actor)
        for name, section in SECTIONS.items():
            value = document.values.get(name, [] if section.listed else {})
            entries = enumerate(value) if section.listed else value.items()
            for key, entry in entries:
                APPLY[name](rows, (name, key), entry)
        if document.problems:
            transaction.set_rollback(True)
            raise Refused(document)
        show(rows.changes)
        changed = [str(change) for change in rows.changes if change.kind != "="]
        if changed and not dry_run:
            AuditEntry.objects.create(
                actor=actor, action="catalog.apply", subject=document.name[-255:], detail={"changes": changed}
            )
        transaction.set_rollback(dry_run)
