"""Forecasts in words, as pages, alerts and messages show them."""

from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from budgets.models import USD, Forecast, Window


def short(value: Decimal, metric: str) -> str:
    """An amount to about three figures: an estimate has no more. `$0.0123`, `$31`, `$1,240`, `12,400`."""
    if metric != "usd":
        return f"{_rounded(value):,.0f}"
    rounded = _rounded(value)
    if rounded >= 100:
        return f"${rounded:,.0f}"
    if rounded >= 1:
        return f"${rounded:,.2f}".removesuffix(".00")
    return f"${rounded.normalize():f}"


def shown_limit(window: Window) -> str:
    """The limit with its unit and raises, exact but for trailing zeros; of another currency in US dollars as well."""
    budget = window.budget
    if budget.unit == budget.currency != USD:
        own = budget.limit + getattr(window, "raised", Decimal(0))
        return f"{own.normalize():,f} {budget.unit} ({short(window.limit, budget.metric)})"
    text = f"{window.limit.normalize():,f}"
    return f"${text}" if budget.metric == "usd" else f"{text} {budget.metric}"


def shown_budget(window: Window) -> str:
    """Which budget it is, and of which value: `The day's budget for tenant acme`."""
    budget = window.budget
    if budget.starts_on is None:
        return f"The {budget.period}'s budget for {window.scope}"
    return f"The budget from {budget.starts_on} to {budget.ends_on} for {window.scope}"


def shown_spend(row: Forecast, metric: str) -> str:
    """`$31 (26–38)`; empty while it is too early to say."""
    if row.expected is None or row.low is None or row.high is None:
        return ""
    low, high = (short(value, metric).removeprefix("$") for value in (row.low, row.high))
    return f"{short(row.expected, metric)} ({low}–{high})"


def shown_run_out(row: Forecast, window: Window, zone: ZoneInfo) -> str:
    """`; runs out about 17:40`, with the day where the window has several; empty where the limit is not reached."""
    if row.runs_out_at is None:
        return ""
    if row.runs_out_at <= row.made_at:
        return "; has run out"
    return f"; runs out about {_moment(row.runs_out_at, window, zone)}"


def in_words(row: Forecast, window: Window, zone: ZoneInfo) -> str:
    """`expected $31 (26–38) by midnight; runs out about 17:40`, in the budget's zone; or that it is too early to say."""
    if row.expected is None:
        return "too early to say"
    by = "midnight" if window.budget.period == "day" else _moment(window.ends_at, window, zone)
    if window.budget.period in ("week", "month"):
        by = f"the end of the {window.budget.period}"
    elif window.budget.period == "range":
        last = (window.ends_at - timedelta(microseconds=1)).astimezone(zone)
        by = f"the end of {last:%a} {last.day} {last:%b}"
    return f"expected {shown_spend(row, window.budget.metric)} by {by}{shown_run_out(row, window, zone)}"


def _moment(at: datetime, window: Window, zone: ZoneInfo) -> str:
    local = at.astimezone(zone)
    long = (window.ends_at - window.starts_at).days > 1
    return f"{local:%a} {local.day} {local:%b} {local:%H:%M}" if long else f"{local:%H:%M}"


def _rounded(value: Decimal) -> Decimal:
    if not value:
        return Decimal(0)
    return round(value, 2 - value.adjusted())
