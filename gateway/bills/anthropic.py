"""Anthropic's exports: the usage and cost reports of the Admin API, and the CSV files of the Console.

Sources, read in November 2026: https://platform.claude.com/docs/en/api/admin/usage_report/retrieve_messages and
https://platform.claude.com/docs/en/api/admin/cost_report/retrieve (buckets with `starting_at` and `ending_at`; amounts are
decimal texts in cents, "123.45" being $1.23; costs of no model are those of web searches or code execution; the cost report
knows no keys) and https://support.anthropic.com/en/articles/9534590-cost-and-usage-reporting-in-console (CSV). The columns of
the Console's files are those of exports that people have published: usage_date_utc, model_version, api_key, usage_type,
usage_input_tokens_no_cache, … for usage; usage_date_utc, model, api_key, usage_type, token_type, cost_usd, cost_type for cost,
with models by their display names and amounts rounded to the cent.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from gateway.bills.entries import Entry, day_of_iso, flag, money, text, tokens

COST_COLUMNS = frozenset({"usage_date_utc", "model", "cost_usd"})
USAGE_COLUMNS = frozenset({"usage_date_utc", "model_version", "usage_input_tokens_no_cache", "usage_output_tokens"})
CENTS = Decimal(100)


def of_bucket(bucket: Mapping[str, Any], result: Mapping[str, Any]) -> Entry | None:
    """One result of a bucket of the usage or the cost report; None for kinds with neither tokens nor cost."""
    day = day_of_iso(bucket.get("starting_at"), "starting_at")
    length = datetime.fromisoformat(str(bucket.get("ending_at"))) - datetime.fromisoformat(str(bucket["starting_at"]))
    if length > timedelta(days=1):
        raise ValueError("the bucket is longer than a day; export with bucket_width=1d")
    if "amount" in result:
        if str(result.get("currency") or "USD").upper() != "USD":
            raise ValueError(f"the amount is in {result['currency']!r}; only US dollars can be compared")
        return Entry(
            day=day,
            model=_model(text(result, "model"), text(result, "cost_type")),
            key=text(result, "api_key_id"),
            usd=money(result["amount"], "amount") / CENTS,
            batch=text(result, "service_tier") == "batch",
        )
    if "uncached_input_tokens" in result:
        written = result.get("cache_creation") or {}
        read = tokens(result.get("cache_read_input_tokens"), "cache_read_input_tokens")
        fresh = tokens(result["uncached_input_tokens"], "uncached_input_tokens")
        return Entry(
            day=day,
            model=text(result, "model"),
            key=text(result, "api_key_id"),
            input_tokens=fresh + read + sum(tokens(written.get(name), name) for name in written),
            cached_tokens=read,
            output_tokens=tokens(result.get("output_tokens"), "output_tokens"),
            batch=text(result, "service_tier") == "batch",
        )
    return None


def of_cost_row(row: Mapping[str, Any]) -> Entry:
    """A line of the Console's cost export."""
    return Entry(
        day=day_of_iso(row["usage_date_utc"], "usage_date_utc"),
        model=_model(text(row, "model"), text(row, "cost_type")),
        key=text(row, "api_key"),
        usd=money(row["cost_usd"], "cost_usd"),
        batch=flag(row.get("usage_type")),
    )


def of_usage_row(row: Mapping[str, Any]) -> Entry:
    """A line of the Console's usage export."""
    names = ("no_cache", "cache_write_5m", "cache_write_1h", "cache_write", "cache_read")
    parts = {name: tokens(row.get(f"usage_input_tokens_{name}"), f"usage_input_tokens_{name}") for name in names}
    return Entry(
        day=day_of_iso(row["usage_date_utc"], "usage_date_utc"),
        model=text(row, "model_version"),
        key=text(row, "api_key"),
        input_tokens=sum(parts.values()),
        cached_tokens=parts["cache_read"],
        output_tokens=tokens(row["usage_output_tokens"], "usage_output_tokens"),
        batch=flag(row.get("usage_type")),
    )


def _model(model: str, cost_type: str) -> str:
    """What is charged for beside tokens has no model of its own, or must not be mixed with its tokens."""
    return model if cost_type in ("", "token", "tokens") else f"({cost_type})"
