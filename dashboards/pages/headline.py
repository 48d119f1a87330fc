"""The head of the overview: spend today and this month beside budgets, calls, failures, latency, and what moved most."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from django.http import QueryDict
from django.utils import timezone

from budgets.forecast_words import shown_limit, shown_spend
from budgets.models import SCOPE_FIELDS, Window
from dashboards.currency import Currency, reporting
from dashboards.filters import HOUR, parse
from dashboards.pages.frame import Reading, frame
from dashboards.pages.most import beside
from dashboards.pages.reliability import waited
from dashboards.pages.spend import Row, Tile, rows
from dashboards.pages.sums import change, percent, read, total
from dashboards.rollups import TooMuchData, one_snapshot
from gateway.access import visible
from gateway.templatetags.tollhouse import ms

#: Features that moved most, and how many of them are told.
MOST_MOVED = 6
MOST_FEATURES = 500


def headline(reading: Reading) -> dict[str, Any]:
    """What the reader may see of it: nothing without the permission to view features."""
    if not reading.may("tollhouse_gateway.view_feature"):
        return {}
    shown = frame(reading)
    try:
        with one_snapshot():
            return {**shown, **_figures(reading)}
    except TooMuchData as error:
        return {**shown, "too_much": str(error)}


def _figures(reading: Reading) -> dict[str, Any]:
    currency = reporting()
    found = beside(reading.filters, reading.before, "feature", currency, MOST_FEATURES)
    all_now, all_before = found.whole, found.whole_before
    latency, latency_before = waited(reading.filters), waited(reading.before)
    return {
        "currency": currency,
        "tiles": [
            _spent(reading, "today", "Spend today", currency),
            _spent(reading, "month", "Spend this month", currency),
            _tile("Calls", f"{all_now.calls:,}", f"{all_before.calls:,}", all_now.calls, all_before.calls),
            _tile(
                "Error rate", percent(all_now.error_share), percent(all_before.error_share),
                all_now.error_share, all_before.error_share,
            ),
            *(
                _tile(f"Latency {name}", ms(latency[at]), ms(latency_before[at]), latency[at], latency_before[at])
                for at, name in enumerate(("p50", "p95"))
            ),
        ],
        "moved": _moved(rows(reading, "feature", found)),
        "chart_urls": {
            "spend": reading.data_url("spend", "over-time", by="feature"),
            "latency": reading.data_url("reliability", "latency"),
        },
    }  # fmt: skip


def _tile(label: str, now: str, before: str, figure: float | None, earlier: float | None) -> Tile:
    return Tile(label=label, now=now, change=change(figure, earlier), note=f"before: {before}")


def _spent(reading: Reading, preset: str, label: str, currency: Currency) -> Tile:
    """Spend since the day or month began, whatever range is shown, with the reader's other filters."""
    asked, where = parse(QueryDict(f"range={preset}"), reading.now), reading.filters.where
    here, there = (
        total(read(replace(span, where=where), (), currency).values()).cost for span in (asked.filters, asked.before)
    )
    budget = "" if where else _budget(reading, "day" if preset == "today" else preset)
    note = budget or f"before: {currency.exact(there)}"
    # Its first minutes beside a whole hour would say nothing.
    began = asked.filters.until - asked.filters.since >= HOUR
    return Tile(label=label, now=currency.exact(here), change=change(here, there) if began else "", note=note)


def _budget(reading: Reading, period: str) -> str:
    """How the period's budget for everything stands, with its forecast; empty where there is none that the reader may see."""
    if not reading.may("tollhouse_budgets.view_window"):
        return ""
    now = timezone.now()
    found = Window.objects.filter(
        starts_at__lte=now, ends_at__gt=now, budget__active=True, budget__period=period, budget__metric="usd", budget__each=[],
        **{f"budget__{name}": "" for name in SCOPE_FIELDS},
    )  # fmt: skip
    window = (
        visible(found, reading.request.user)
        .select_related("budget", "forecast")
        .with_limit()
        .order_by("budget__limit")
        .first()
    )
    if window is None:
        return ""
    used = percent(float(window.spent / window.limit)) if window.limit else "all"
    forecast = getattr(window, "forecast", None)
    expected = shown_spend(forecast, "usd") if forecast else ""
    return f"{used} of {shown_limit(window)}" + (f"; expected {expected}" if expected else "")


def _moved(found: list[Row]) -> list[Row]:
    """The features whose spend changed most, by money."""

    def much(row: Row) -> Decimal:
        return abs(row.now.cost - row.before.cost)

    return [row for row in sorted(found, key=much, reverse=True)[:MOST_MOVED] if much(row)]
