"""Budgets and rates of a catalog file, to rows and back."""

from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError

from budgets.models import IDENTITY, SCOPE_FIELDS, USD, Budget, Rate
from gateway.configuration.document import Place
from gateway.configuration.rows import Change, Rows
from gateway.configuration.schema import SECTIONS, missing
from gateway.models import Route

#: What a budget has where its entry says nothing; of what tells budgets apart.
DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(SCOPE_FIELDS, ""), "each": [], "metric": "usd", "currency": USD, "period": "day", "timezone": "UTC",
    "starts_on": None, "ends_on": None,
}  # fmt: skip


def apply_budget(rows: Rows, place: Place, entry: dict[str, Any]) -> None:
    identity = {name: entry.get(name, DEFAULTS[name]) for name in IDENTITY}
    row = Budget(**identity)
    try:
        identity["each"] = row.each = Budget._meta.get_field("each").clean(row.each, row)
    except ValidationError as error:
        rows.document.problem((*place, "each"), " ".join(error.messages))
        return
    row = Budget.objects.filter(**identity).first() or row
    if row._state.adding and missing(rows.document, place, entry, SECTIONS["budgets"]):
        return
    values = {name: value for name, value in entry.items() if name not in identity}
    if "limit" in values:
        values["limit"] = Decimal(values["limit"])
    if "soft_percent" in values:
        values["soft_percent"] = _list(values["soft_percent"])
    route = values.get("on_hard", "").partition("route:")[2]
    if route and rows.find((*place, "on_hard"), Route, "name", route, "routes") is None:
        return
    rows.save(place, row, values, f"budget {row}")


def apply_rate(rows: Rows, place: Place, entry: dict[str, Any]) -> None:
    if missing(rows.document, place, entry, SECTIONS["rates"]):
        return
    key = {"currency": entry["currency"], "effective_from": entry["effective_from"]}
    per_usd, what = Decimal(entry["per_usd"]), f"rate {entry['currency']} from {entry['effective_from']}"
    current = Rate.objects.filter(**key).order_by("-id").first()
    if current and current.per_usd == per_usd:
        rows.changes.append(Change("=", what))
        return
    rows.save(place, Rate(**key), {"per_usd": per_usd, "source": entry["source"]}, what)


def export_budget(row: Budget) -> dict[str, Any]:
    """The entry of a file that makes the budget; what is as it would be without is left out, but for the commonest."""
    rare = {
        "each": _one(row.each), "currency": row.currency, "starts_on": row.starts_on, "ends_on": row.ends_on,
        "paused_reason": row.paused_reason,
    }  # fmt: skip
    return {
        **{name: getattr(row, name) for name in SCOPE_FIELDS if getattr(row, name)},
        **{name: value for name, value in rare.items() if value not in (None, "", [], USD)},
        "metric": row.metric,
        "period": row.period,
        "timezone": row.timezone,
        "limit": number(row.limit),
        "soft_percent": _one(row.soft_percent),
        "on_hard": row.on_hard,
        "active": row.active,
    }


def export_rates() -> list[dict[str, Any]]:
    """The rate in force of each currency and day."""
    newest = {
        (row.currency, row.effective_from): row for row in Rate.objects.order_by("currency", "effective_from", "id")
    }
    return [
        {
            "currency": row.currency, "per_usd": number(row.per_usd), "effective_from": row.effective_from,
            "source": row.source,
        }
        for row in newest.values()
    ]  # fmt: skip


def number(value: Decimal) -> int | Decimal:
    """The number as a file has it: whole ones without a point."""
    return int(value) if value == value.to_integral_value() else value.normalize()


def _list(value: Any) -> list[Any]:
    return sorted(set(value)) if isinstance(value, list) else [value]


def _one(values: list[Any]) -> Any:
    """The value alone, where it is one."""
    return values[0] if len(values) == 1 else values
