"""A CSV file of one's own, for vendors whose exports are not read: one line for each day, model and, if known, key.

Columns: `date` (2026-09-30, UTC), `model`, and at least one of `cost_usd` and `input_tokens`; optionally `key`,
`cached_tokens` (part of the input), `output_tokens` and `batch` (true or false). Other columns are left alone.
"""

from collections.abc import Mapping
from typing import Any

from gateway.bills.entries import Entry, day_of_iso, flag, money, text, tokens

COLUMNS = frozenset({"date", "model"})


def of_row(row: Mapping[str, Any]) -> Entry:
    """A line of such a file."""
    counted = row.get("input_tokens") not in (None, "")
    return Entry(
        day=day_of_iso(row["date"], "date"),
        model=text(row, "model"),
        key=text(row, "key"),
        usd=money(row["cost_usd"], "cost_usd") if row.get("cost_usd") else None,
        input_tokens=tokens(row["input_tokens"], "input_tokens") if counted else None,
        cached_tokens=tokens(row.get("cached_tokens"), "cached_tokens") if counted else None,
        output_tokens=tokens(row.get("output_tokens"), "output_tokens") if counted else None,
        batch=flag(row.get("batch")),
    )
