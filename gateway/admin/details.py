"""A row's `detail`, which is JSON, as a list that a person reads."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from gateway.admin.base import moment
from gateway.templatetags.tollhouse import amount

#: What is told first, in this order; the rest follows as it was written.
FIRST = (
    "budget", "window", "value", "spent", "held", "limit", "percent", "expected", "low", "high", "starts_at", "ends_at",
)  # fmt: skip
#: Ids, and the models whose pages they lead to.
PAGES = {"budget": "budget", "window": "window", "switch": "switch", "channel": "channel"}
#: Figures in the metric that stands beside them, or in none.
AMOUNTS = ("spent", "held", "limit", "expected", "low", "high")
NAMES = {
    "on_hard": "When it is full", "starts_at": "From", "ends_at": "Until", "low": "At least", "high": "At most", "value": "Of",
    "percent": "Threshold", "runs_out_at": "Runs out", "note": "Rests on", "by": "By whom", "first_call": "First call",
}  # fmt: skip


def as_list(detail: Any, *, whole: bool = False) -> str | SafeString:
    """Names and values of an object, one below the other; other JSON as text. What says nothing is left out, unless the
    `whole` is wanted, as it is evidence.
    """
    if not isinstance(detail, dict):
        return _text(detail)
    names = [*(name for name in FIRST if name in detail), *(name for name in detail if name not in FIRST)]
    known = {} if whole else NAMES
    told = [
        (known.get(name) or _name(name), _shown(name, detail[name], detail))
        for name in names
        if whole or _says(name, detail[name])
    ]
    if not told:
        return "–"
    return format_html('<dl class="th-facts">{}</dl>', format_html_join("", "<dt>{}</dt><dd>{}</dd>", told))


def _says(name: str, value: Any) -> bool:
    """Whether it tells a person something; the metric is in the amounts already."""
    return value not in (None, "", {}, []) and name != "metric"


def _name(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _shown(name: str, value: Any, among: dict[str, Any]) -> str | SafeString:
    if name in PAGES and isinstance(value, int):
        url = reverse(f"admin:tollhouse_budgets_{PAGES[name]}_change", args=[value])
        return format_html('<a href="{}">{} {}</a>', url, PAGES[name], value)
    if name == "percent":
        return f"{value}%"
    if name in AMOUNTS and among.get("metric") and isinstance(value, str | int):
        try:
            return amount(Decimal(value), among["metric"])
        except ArithmeticError:
            return _text(value)
    if name == "changes" and isinstance(value, dict):
        return as_list({field: _change(change) for field, change in value.items()}, whole=True)
    return as_list(value, whole=True) if isinstance(value, dict) else _text(value)


def _change(change: Any) -> Any:
    """What the audit log has of a field: the old value and the new one, or that it is hidden."""
    if isinstance(change, list) and len(change) == 2:
        return " → ".join(_text(side) for side in change)
    return change


def _text(value: Any) -> str:
    if isinstance(value, str) and "T" in value and (at := _moment(value)):
        return at
    if value in (None, "", [], {}):
        return "–"
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(_text, value))
        case dict():
            return ", ".join(f"{_name(name)}: {_text(inner)}" for name, inner in value.items())
    return str(value)


def _moment(value: str) -> str:
    try:
        at: datetime | None = parse_datetime(value)
    except ValueError:
        return ""
    return moment(at) if at and at.tzinfo else ""
