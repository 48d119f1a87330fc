"""Switch rules in a catalog file: `[[switch_rules]]`."""

from decimal import Decimal
from typing import Any

from budgets.models import SwitchTrigger
from gateway import switches
from gateway.configuration.document import Place
from gateway.configuration.rows import Rows
from gateway.configuration.schema import SECTIONS, missing

#: What a rule may be for; none of them is everything.
SCOPES = ("feature", "model", "provider")
AMOUNTS = ("above", "min_usd")
PLAIN = ("condition", "minutes", "min_calls", "action", "off_minutes", "running", "cooldown_minutes", "active")


def apply_switch_rule(rows: Rows, place: Place, entry: dict[str, Any]) -> None:
    """A rule is known by its name; the rest of it may change."""
    if "name" not in entry:
        missing(rows.document, place, entry, SECTIONS["switch_rules"])
        return
    name = entry["name"]
    row = SwitchTrigger.objects.filter(name=name).first() or SwitchTrigger(name=name)
    if row._state.adding and missing(rows.document, place, entry, SECTIONS["switch_rules"]):
        return
    values = {key: entry[key] for key in PLAIN if key in entry}
    values |= {key: Decimal(entry[key]) for key in AMOUNTS if key in entry}
    named = [scope for scope in SCOPES if scope in entry]
    if len(named) > 1:
        rows.document.problem(place, f"switch rule {name}: a rule is for one of {', '.join(SCOPES)}, not for two.")
        return
    if named:
        value = entry[named[0]]
        if not set(value) & set("*?[") and (wrong := switches.unknown(named[0], value)):
            rows.document.problem((*place, named[0]), f"switch rule {name}: {wrong}")
            return
        values |= {"scope": named[0], "value": value}
    elif row._state.adding:
        values |= {"scope": SwitchTrigger.Scope.EVERYTHING, "value": ""}
    rows.save(place, row, values, f"switch rule {name}")


def export_switch_rules() -> list[dict[str, Any]]:
    """All switch rules as entries of a file."""
    return [_entry(row) for row in SwitchTrigger.objects.all()]


def _entry(row: SwitchTrigger) -> dict[str, Any]:
    scope = {} if row.scope == SwitchTrigger.Scope.EVERYTHING else {row.scope: row.value}
    amounts = {name: getattr(row, name).normalize() for name in AMOUNTS}
    return {
        "name": row.name, **scope, **{name: getattr(row, name) for name in PLAIN},
        **{name: int(value) if value == int(value) else value for name, value in amounts.items()},
    }  # fmt: skip
