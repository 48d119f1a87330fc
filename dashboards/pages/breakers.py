"""The part of the reliability page about breakers: how they are now, and when they tripped."""

from datetime import UTC

from django.db.models import Count
from django.db.models.functions import TruncMinute

from dashboards.pages.charts import OTHERS, Chart, Series, Slices, spread
from dashboards.pages.frame import Reading
from dashboards.rollups.found import ERRORS
from gateway.breakers import alive, breakers, trips
from gateway.models import Target

PERMISSION = "tollhouse_budgets.view_alert"
HIDDEN = "Breakers are shown to those who may view the alerts of all tenants."
MOST_ROWS = 100
TONES = {"open": "bad", "half open": "warn", "closed": "good"}


def may_see(reading: Reading) -> bool:
    """Whether the reader is told: what trips a breaker are everybody's calls."""
    return reading.tenants is None and reading.may(PERMISSION)


def context(reading: Reading) -> dict[str, object]:
    """What the page's template needs; `breakers` is None for who may not see them."""
    if not may_see(reading):
        return {"breakers": None}
    configured = Target.objects.values_list("provider__name", "model").distinct()
    found = breakers(configured, reading.filters.since, reading.filters.until)
    shown = [breaker for breaker in found if _asked(reading, breaker.provider, breaker.model)]
    return {"breakers": shown[:MOST_ROWS], "processes": alive().count(), "breaker_tones": TONES}


def charts(reading: Reading) -> list[tuple[str, str, str]]:
    """The chart's name, heading and what it is about; none for who may not see it."""
    return (
        [("trips", "Trips of breakers", "How often a process began to leave a target alone.")]
        if may_see(reading)
        else []
    )


def tripped(reading: Reading) -> Chart:
    """Trips by hour or day, stacked by target."""
    slices = Slices(reading.filters)
    rows = []
    if may_see(reading):
        minute = TruncMinute("opened_at", tzinfo=UTC)
        of_range = trips(reading.filters.since, reading.filters.until).annotate(minute=minute)
        counted = of_range.values_list("minute", "provider", "model").annotate(n=Count("pk"))
        rows = [row for row in counted if _asked(reading, row[1], row[2])]
    providers = {f"{provider}/{model}": provider for _, provider, model, _ in rows}
    found = spread(
        slices, rows, at=lambda row: row[0], name=lambda row: f"{row[1]}/{row[2]}", value=lambda row: row[3], zero=0
    )
    series = [
        Series(
            name=name or OTHERS, values=counts, shown=[f"{count:,}" for count in counts],
            url=_failed_url(reading, providers.get(name or "")), tone="" if name else "others",
        )
        for name, counts in found.items()
    ]  # fmt: skip
    empty = "No breaker tripped in this time." if may_see(reading) else HIDDEN
    return Chart(kind="bars", unit="count", spans=slices.spans, series=series, empty=empty)


def _failed_url(reading: Reading, provider: str | None) -> str:
    """The calls of the provider that failed. By the provider alone: a reply may name its model more exactly than the target."""
    filters = reading.filters.only(provider=provider) if provider else reading.filters
    return reading.calls_url(filters.among("outcome", ERRORS), timed=False)


def _asked(reading: Reading, provider: str, model: str) -> bool:
    """Whether the filters for providers and models let the target through; the others are about calls."""
    where = reading.filters.where
    return provider in where.get("provider", (provider,)) and model in where.get("model", (model,))
