"""Budgets: every window that is open now, as what is left of it over time, with its thresholds and its forecast."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

from django.db.models import Q
from django.http import Http404
from django.utils import timezone

from budgets.forecast_words import short
from budgets.models import Forecast, Window, WindowSample
from budgets.models.window import WindowQuerySet
from budgets.scopes import split_value
from dashboards.filters import Filters
from dashboards.overview import LiveWindow, live_windows
from dashboards.pages.charts import Chart, Series
from dashboards.pages.frame import Page, Reading
from gateway.access import visible

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
    found = live_windows(reading.request.user, *_asked(reading), most=MOST + 1)
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
    number, now = reading.request.GET.get("window", ""), timezone.now()
    window = _windows(reading).filter(pk=number if number.isdecimal() and len(number) < 19 else 0).first()
    if window is None:
        raise Http404("There is no such window.")
    metric, limit, until = window.budget.metric, window.limit, min(now, window.ends_at)
    samples = WindowSample.objects.filter(window=window, at__gt=window.starts_at, at__lt=until).order_by("at")
    spent = [(window.starts_at, Decimal(0)), *samples.values_list("at", "spent"), (until, window.spent)]
    ahead = [window.ends_at] if window.ends_at > now else []
    moments = [*(at for at, _ in spent), *ahead]
    url = reading.calls_url(_its(reading, window), timed=False)
    lines = [
        _line(
            "left",
            metric,
            [*(limit - amount for _, amount in spent), *(None for _ in ahead)],
            tone="left",
            shape="hv",
            url=url,
        )
    ]
    for name, end, tone in _ends(window) if ahead else ():
        lines.append(
            _line(name, metric, [*(None for _ in spent[1:]), limit - window.spent, limit - end], tone=tone, dash="dot")
        )
    for percent in window.budget.soft_percent:
        level = [limit * (100 - percent) / 100] * len(moments)
        lines.append(_line(f"alert at {percent}%", metric, level, tone="limit", dash="dash"))
    is_money = metric == "usd"
    return Chart(
        kind="lines", unit="money" if is_money else "count", prefix="$" if is_money else "", spans=_spans(moments), series=lines
    )  # fmt: skip


def _windows(reading: Reading) -> WindowQuerySet:
    """The windows that the reader may see, ready to be shown."""
    return visible(Window.objects.select_related("budget", "forecast"), reading.request.user).with_limit()


def _ends(window: Window) -> Iterator[tuple[str, Decimal, str]]:
    """What the window is expected to have spent when it ends, with a name and a tone; nothing while it is too early to say."""
    forecast: Forecast | None = getattr(window, "forecast", None)
    if forecast is not None:
        named = (
            ("expected", forecast.expected, "expected"),
            ("at most", forecast.high, "range"),
            ("at least", forecast.low, "range"),
        )
        yield from ((name, end, tone) for name, end, tone in named if end is not None)


def _line(name: str, metric: str, left: Sequence[Decimal | None], **looks: str) -> Series:
    return Series(
        name=name, values=[None if value is None else float(value) for value in left],
        shown=["–" if value is None else short(max(value, Decimal(0)), metric) for value in left], **looks,
    )  # fmt: skip


def _spans(moments: list[datetime]) -> list[tuple[datetime, datetime]]:
    """Each point with the time until the next one; the last is a moment."""
    return [*pairwise(moments), (moments[-1], moments[-1])]


def _its(reading: Reading, window: Window) -> Filters:
    """The calls that count in a window, as far as filters can say: whatever else the page is filtered by."""
    named = {name: getattr(window.budget, field) for field, name in NAMES.items() if getattr(window.budget, field)}
    each = window.budget.each
    named |= {NAMES[field]: value for field, value in zip(each, split_value(each, window.value), strict=True)}
    return replace(reading.filters, where={name: (value,) for name, value in named.items()})


BUDGETS = Page(
    name="budgets",
    title="Budgets",
    about="Every window that is open now: what is left of it, when it told somebody, and what is expected by its end.",
    permission="tollhouse_budgets.view_window",
    context=context,
    charts={"window": burn_down},
)
