"""Budgets: every window that is open now, as what is left of it over time, with its thresholds and its forecast."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce, NullIf
from django.http import Http404
from django.utils import timezone

from budgets.forecast_words import short
from budgets.models import Forecast, Window, WindowSample
from dashboards.overview import LiveWindow, live_windows
from dashboards.pages.charts import Chart, Series
from dashboards.pages.frame import Page, Reading

#: Windows on the page, the fullest first: a budget of each tenant has one for each.
MOST = 60
NAMES = {
    "feature": "feature",
    "tenant": "tenant",
    "cohort": "cohort",
    "user": "user_ref",
    "key": "key",
    "provider": "provider",
    "model": "model",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A window with the address of its chart."""

    item: LiveWindow
    url: str


def context(reading: Reading) -> dict[str, Any]:
    found = live_windows(*_asked(reading), most=MOST + 1)
    return {
        "windows": [
            Shown(item=item, url=reading.data_url("budgets", "window", window=str(item.window.pk)))
            for item in found[:MOST]
        ],
        "more": len(found) > MOST,
        "nothing": not found,
    }


def _asked(reading: Reading) -> list[Q]:
    """Windows of the values that the filters name, by what their budget says or the value that they are of.

    Budgets that leave a dimension open count for all of its values, and stay.
    """
    found = []
    for field, name in NAMES.items():
        if values := reading.filters.where.get(name):
            found.append(Q(**{f"budget__{field}__in": [*values, ""]}))
            found.append(~Q(budget__each=[field]) | Q(value__in=values))
    return found


def burn_down(reading: Reading) -> Chart:
    """What is left of one window: what it had at each sample, as it is now, and as it is expected to go on."""
    number = reading.request.GET.get("window", "")
    now = timezone.now()
    windows = Window.objects.filter(pk=number if number.isdecimal() and len(number) < 19 else 0)
    window = windows.select_related("budget", "forecast").with_limit().first()
    if window is None:
        raise Http404("There is no such window.")
    metric, limit = window.budget.metric, window.limit
    until = min(now, window.ends_at)
    samples = WindowSample.objects.filter(window=window, at__gt=window.starts_at, at__lt=until).order_by("at")
    spent = [(window.starts_at, Decimal(0)), *samples.values_list("at", "spent"), (until, window.spent)]
    forecast: Forecast | None = getattr(window, "forecast", None)
    moments = [at for at, _ in spent]
    if window.ends_at > now:
        moments.append(window.ends_at)

    def series(name: str, left: list[Decimal | None], **looks: str) -> Series:
        return Series(
            name=name, values=[None if value is None else float(value) for value in left],
            shown=["–" if value is None else short(max(value, Decimal(0)), metric) for value in left], **looks,
        )  # fmt: skip

    nothing: list[Decimal | None] = [None] * (len(moments) - len(spent))
    left: list[Decimal | None] = [*(limit - amount for _, amount in spent), *nothing]
    made = [series("left", left, tone="left", shape="hv", url=reading.calls_url(_its(reading, window), timed=False))]
    if nothing and forecast and forecast.expected is not None:
        for name, end, tone in (
            ("expected", forecast.expected, "expected"),
            ("at most", forecast.high, "range"),
            ("at least", forecast.low, "range"),
        ):
            if end is not None:
                line: list[Decimal | None] = [*[None] * (len(spent) - 1), limit - window.spent, limit - end]
                made.append(series(name, line, tone=tone, dash="dot"))
    for percent in window.budget.soft_percent:
        level = limit * (100 - percent) / 100
        made.append(series(f"alert at {percent}%", [level] * len(moments), tone="limit", dash="dash"))
    return Chart(
        kind="lines",
        unit="money" if metric == "usd" else "count",
        prefix="$" if metric == "usd" else "",
        spans=_spans(moments),
        series=made,
    )


def _spans(moments: list[datetime]) -> list[tuple[datetime, datetime]]:
    """Each point with the time until the next one; the last is a moment."""
    return [*pairwise(moments), (moments[-1], moments[-1])]


def _its(reading: Reading, window: Window) -> Any:
    """The calls that count in a window, as far as filters can say."""
    named = {name: getattr(window.budget, field) for field, name in NAMES.items() if getattr(window.budget, field)}
    if len(window.budget.each) == 1:
        named[NAMES[window.budget.each[0]]] = window.value
    return reading.asked.filters.only(**named)


BUDGETS = Page(
    name="budgets",
    title="Budgets",
    about="Every window that is open now: what is left of it, when it told somebody, and what is expected by its end.",
    permission="tollhouse_budgets.view_window",
    context=context,
    charts={"window": burn_down},
)
