"""Redaction policies and their lists, from tables of a catalog file to rows and back."""

from typing import Any

from gateway.configuration.document import Place
from gateway.configuration.rows import Rows
from gateway.configuration.toml import plain
from redaction.models import RedactionList, RedactionPolicy
from redaction.policies import DEFAULT

#: Fields of a policy that a file says only where they say something.
TABLES = ("thresholds", "rules", "parts", "stored_parts")


def apply_policy(rows: Rows, place: Place, entry: dict[str, Any]) -> None:
    name = str(place[1])
    row = RedactionPolicy.objects.filter(name=name).first() or RedactionPolicy(name=name)
    values = dict(entry)
    if "threshold" in entry:
        values["threshold"] = float(entry["threshold"])
    values |= {field: plain(entry[field]) for field in TABLES if field in entry}
    rows.save(place, row, values, f"policy {name}")


def apply_list(rows: Rows, place: Place, entry: dict[str, Any]) -> None:
    name, policy = entry.get("policy", ""), None
    if name and (policy := rows.find((*place, "policy"), RedactionPolicy, "name", name, "policies")) is None:
        return
    identity = {"policy": policy, "tenant": entry.get("tenant", "")}
    row = RedactionList.objects.filter(**identity).first() or RedactionList(**identity)
    values = {field: value for field, value in entry.items() if field not in identity}
    rows.save(place, row, values, f"redaction list of {row}")


def export_policy(row: RedactionPolicy) -> dict[str, Any]:
    """A policy as `catalog apply` takes it."""
    found: dict[str, Any] = {
        "outbound": row.outbound, "stored": row.stored, "entities": row.entities, "threshold": row.threshold,
    }  # fmt: skip
    found |= {field: value for field in TABLES if (value := getattr(row, field))}
    usual = {"media": DEFAULT.media, "pseudonyms": DEFAULT.pseudonyms, "session_hours": DEFAULT.session_hours}
    return found | {field: value for field in usual if (value := getattr(row, field)) != usual[field]}


def export_lists() -> list[dict[str, Any]]:
    """All allow and deny lists, as `catalog apply` takes them."""
    found = []
    for row in RedactionList.objects.select_related("policy"):
        values = {
            "policy": row.policy.name if row.policy else "", "tenant": row.tenant, "allow": row.allow, "deny": row.deny,
            "patterns": row.patterns, "outbound": row.outbound,
        }  # fmt: skip
        found.append({name: value for name, value in values.items() if value})
    return found
