"""OpenAI's exports: the usage and costs endpoints of the Admin API, and the CSV files of the dashboard.

Sources, read in November 2026: https://platform.openai.com/docs/api-reference/usage (pages of buckets; results are
`organization.usage.completions.result` and `organization.costs.result`; `input_tokens` includes cached ones; costs are
grouped by `line_item`, e.g. `gpt-4o-2024-08-06, input`) and
https://help.openai.com/en/articles/8554956-understanding-your-api-usage (the dashboard's export; all times are UTC). The columns
of the dashboard's files are those of exports that people have published: start_time, end_time, start_time_iso, …,
amount_value, amount_currency, line_item, api_key_id, project_id for cost; start_time, …, model, input_tokens, output_tokens,
input_cached_tokens, num_model_requests, batch, api_key_id for usage.
"""

from collections.abc import Mapping
from typing import Any

from gateway.bills.entries import Entry, day_of_unix, flag, money, text, tokens

DAY_S = 86_400
COST_COLUMNS = frozenset({"start_time", "amount_value", "amount_currency"})
USAGE_COLUMNS = frozenset({"start_time", "input_tokens", "output_tokens", "num_model_requests"})


def of_bucket(bucket: Mapping[str, Any], result: Mapping[str, Any]) -> Entry | None:
    """One result of a bucket of the usage or the costs endpoint; None for kinds without tokens or cost (files, sessions)."""
    day = day_of_unix(bucket.get("start_time"), "start_time")
    if tokens(bucket.get("end_time"), "end_time") - int(bucket["start_time"]) > DAY_S:
        raise ValueError("the bucket is longer than a day; export with bucket_width=1d")
    if result.get("object") == "organization.costs.result":
        amount = result.get("amount")
        if not isinstance(amount, Mapping) or "value" not in amount:
            raise ValueError('amount is missing; a result of costs has {"value": …, "currency": "usd"}')
        return _cost(day, result, amount["value"], amount.get("currency"))
    if "input_tokens" in result:
        return _usage(day, result)
    return None


def of_cost_row(row: Mapping[str, Any]) -> Entry | None:
    """A line of the dashboard's cost export; None for a day without any."""
    if not row["amount_value"]:
        return None
    return _cost(day_of_unix(row["start_time"], "start_time"), row, row["amount_value"], row["amount_currency"])


def of_usage_row(row: Mapping[str, Any]) -> Entry | None:
    """A line of the dashboard's export of completions; None for a day without any."""
    if not row["input_tokens"] and not row["output_tokens"]:
        return None
    return _usage(day_of_unix(row["start_time"], "start_time"), row)


def _cost(day: Any, row: Mapping[str, Any], value: Any, currency: Any) -> Entry:
    if str(currency or "usd").lower() != "usd":
        raise ValueError(f"the amount is in {currency!r}; only US dollars can be compared")
    # `gpt-4o-2024-08-06, cached input` is a model and one of its meters; without a comma it is the model, or a tool.
    model, _, meter = text(row, "line_item").partition(",")
    batch = "batch" in meter.lower()
    return Entry(day=day, model=model.strip(), key=text(row, "api_key_id"), usd=money(value, "amount"), batch=batch)


def _usage(day: Any, row: Mapping[str, Any]) -> Entry:
    return Entry(
        day=day,
        model=text(row, "model"),
        key=text(row, "api_key_id"),
        input_tokens=tokens(row["input_tokens"], "input_tokens"),
        cached_tokens=tokens(row.get("input_cached_tokens"), "input_cached_tokens"),
        output_tokens=tokens(row.get("output_tokens"), "output_tokens"),
        batch=flag(row.get("batch")),
    )
