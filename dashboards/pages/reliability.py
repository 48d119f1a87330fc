"""Latency and reliability: how long calls take, where the time goes, what fails, by provider and model."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from dashboards.currency import Currency
from dashboards.filters import Filters
from dashboards.pages import breakers, names
from dashboards.pages.charts import MOST, OTHERS, Chart, Series, Slices, spread
from dashboards.pages.errors import classes
from dashboards.pages.frame import Page, Reading
from dashboards.pages.spend import Tile
from dashboards.pages.sums import Sums, change, percent, read, total
from dashboards.rollups import Figures, Latencies, Quantiles, figures, latencies
from dashboards.rollups.found import ERRORS
from gateway.templatetags.tollhouse import ms

Metric = Literal["latency", "first_token", "gate", "provider"]
METRICS: tuple[Metric, ...] = get_args(Metric)
MOST_ROWS = 50
LINES = ((0.5, "p50", "median"), (0.95, "p95", "slow"), (0.99, "p99", "slowest"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A model at a provider; times in milliseconds, None where no call has one."""

    provider: str
    model: str
    sums: Sums
    p50: float | None
    p95: float | None
    p99: float | None
    first_token: float | None
    calls_url: str
    failed_url: str


def context(reading: Reading) -> dict[str, Any]:
    filters, before = reading.filters, reading.before
    # Money is not shown here, so that its currency does not matter.
    found = read(filters, ("provider", "model", "error_class"), Currency())
    by_target: dict[tuple[str, ...], Sums] = {}
    for (*target, _), sums in found.items():
        by_target[tuple(target)] = by_target.get(tuple(target), Sums()) + sums
    now, then = total(by_target.values()), total(read(before, (), Currency()).values())
    measured = latencies(filters, METRICS, by=("provider", "model"))
    times = {metric: measured.whole(metric).ms for metric in METRICS}
    return {
        "nothing": not now.calls,
        "tiles": tiles(now, then, times, waited(before)),
        "rows": rows(reading, by_target, measured),
        "classes": classes(reading, found),
        "whole": now,
        "charts": [
            ("latency", "Latency", "What a caller waits for, from the request to the last byte of the reply."),
            ("first-token", "Time to first token", "Streams: until the first piece of the reply."),
            ("gate", "The gate itself", "What is left of the latency without the time at providers."),
            ("by-model", "Providers, by model", "What providers take at the 95th percentile, retries and fallbacks included."),
            ("outcomes", "What did not end well", "Calls by outcome, all but ok."),
            ("errors", "Error classes", "Calls that ended with an error, by its class; refusals too."),
            ("fallbacks", "Fallbacks", "Calls that another target answered than the first one."),
            *breakers.charts(reading),
        ],
        **breakers.context(reading),
        "chart_urls": {name: reading.data_url("reliability", name) for name in RELIABILITY.charts},
    }  # fmt: skip


def waited(filters: Filters) -> tuple[float | None, ...]:
    """p50, p95 and p99 of the latency of all calls together, in milliseconds; None each without calls."""
    return latencies(filters, ("latency",)).whole("latency").ms


def tiles(
    now: Sums, then: Sums, times: Mapping[Metric, tuple[float | None, ...]], before: tuple[float | None, ...]
) -> list[Tile]:
    latency = [
        Tile(label=f"Latency {name}", now=ms(here), change=change(here, there), note=f"before: {ms(there)}")
        for (_, name, _), here, there in zip(LINES, times["latency"], before, strict=True)
    ]
    return [
        *latency,
        Tile(label="First token p95", now=ms(times["first_token"][1]), note=f"p50 {ms(times['first_token'][0])}"),
        Tile(label="The gate itself p95", now=ms(times["gate"][1]), note=f"p50 {ms(times['gate'][0])}"),
        Tile(label="Providers p95", now=ms(times["provider"][1]), note=f"p50 {ms(times['provider'][0])}"),
        Tile(
            label="Error rate", now=percent(now.error_share), change=change(now.error_share, then.error_share),
            note=f"{now.errors:,} of {now.calls:,} calls",
        ),
        Tile(
            label="Fallbacks", now=percent(now.fallback_share), change=change(now.fallback_share, then.fallback_share),
            note=f"{now.fallback_calls:,} calls",
        ),
    ]  # fmt: skip


def rows(reading: Reading, by_target: Mapping[tuple[str, ...], Sums], measured: Latencies) -> list[Row]:
    """The models with most calls. Calls that were refused have no provider; they are not here."""
    latency = {row.values: row.ms for row in measured.each("latency")}
    first = {row.values: row.ms for row in measured.each("first_token")}
    targets = sorted((key for key in by_target if key[0]), key=lambda key: (-by_target[key].calls, key))
    nothing = (None, None, None)
    made = []
    for provider, model in targets[:MOST_ROWS]:
        p50, p95, p99 = latency.get((provider, model), nothing)
        its = reading.filters.only(provider=provider, model=model)
        made.append(
            Row(
                provider=provider, model=names.shown("model", model), sums=by_target[provider, model], p50=p50, p95=p95, p99=p99,
                first_token=first.get((provider, model), nothing)[1],
                calls_url=reading.calls_url(its), failed_url=reading.calls_url(failed(its)),
            )
        )  # fmt: skip
    return made


def failed(filters: Filters) -> Filters:
    """The same calls, as far as they failed."""
    return filters.among("outcome", ERRORS)


def lines(reading: Reading, metric: Metric, *more: str, wanted: Iterable[tuple[float, str, str]] = LINES) -> Chart:
    """Quantiles of a time, by hour or day. `more` are terms that say which calls have this time."""
    slices, wanted = Slices(reading.filters), tuple(wanted)
    columns: list[list[float | None]] = [[None] * len(slices.spans) for _ in wanted]
    found = latencies(reading.filters, (metric,), step=slices.step)
    for row in found.each(metric, tuple(q for q, _, _ in wanted)):
        if row.at:
            for column, value in zip(columns, row.ms, strict=True):
                column[slices.place(row.at)] = value
    url = reading.calls_url(None, *more, timed=False)
    series = [
        Series(name=name, values=column, shown=[ms(value) for value in column], url=url, tone=tone)
        for (_, name, tone), column in zip(wanted, columns, strict=True)
    ]
    some = any(value is not None for column in columns for value in column)
    return Chart(
        kind="lines", unit="ms", spans=slices.spans, series=series if some else (), empty="No call has this time here."
    )


def by_model(reading: Reading) -> Chart:
    """What providers take at the 95th percentile, by hour or day, of the models with most calls."""
    slices = Slices(reading.filters)
    cells: dict[tuple[str, ...], dict[int, Quantiles]] = {}
    measured = latencies(reading.filters, ("provider",), by=("provider", "model"), step=slices.step)
    for row in measured.each("provider", (0.95,)):
        if row.at and row.values[0]:
            cells.setdefault(row.values, {})[slices.place(row.at)] = row
    most = sorted(cells, key=lambda key: (-sum(row.calls for row in cells[key].values()), key))[:MOST]
    series = []
    for provider, model in most:
        found = cells[provider, model]
        values = [found[place].ms[0] if place in found else None for place in range(len(slices.spans))]
        its = reading.filters.only(provider=provider, model=model)
        series.append(
            Series(
                name=f"{provider}/{model}", values=values, shown=[ms(value) for value in values],
                url=reading.calls_url(its, "attempts>0", timed=False),
            )
        )  # fmt: skip
    return Chart(kind="lines", unit="ms", spans=slices.spans, series=series, empty="No call reached a provider.")


def outcomes(reading: Reading) -> Chart:
    return counted(reading, "outcome", lambda row: row.calls, leave=("ok",), empty="All calls ended well.")


def errors(reading: Reading) -> Chart:
    return counted(reading, "error_class", lambda row: row.calls, leave=("",), empty="No call ended with an error.")


def fallbacks(reading: Reading) -> Chart:
    also = '-fallback:""'
    return counted(reading, "provider", lambda row: row.fallback_calls, also, empty="No call needed a fallback.")


def counted(
    reading: Reading, by: str, value: Callable[[Figures], int], *more: str, leave: tuple[str, ...] = (), empty: str
) -> Chart:
    """Calls by hour or day, stacked by a dimension, but for the values to leave out. `more` are terms that say which calls of a
    dimension's value are those that are counted.
    """
    slices = Slices(reading.filters)
    found = spread(
        slices,
        (row for row in figures(reading.filters, by=(by,), step=slices.step) if row.values[0] not in leave and value(row)),
        at=lambda row: row.at, name=lambda row: row.values[0], value=value, zero=0,
    )  # fmt: skip
    shown = [*leave, *(name for name in found if name is not None)]
    series = [
        Series(
            name=OTHERS if name is None else names.shown(by, name), values=counts, shown=[f"{count:,}" for count in counts],
            url=reading.others_url(by, shown, *more) if name is None
            else reading.calls_url(reading.filters.only(**{by: name}), *more, timed=False),
            tone="others" if name is None else "",
        )
        for name, counts in found.items()
    ]  # fmt: skip
    return Chart(kind="bars", unit="count", spans=slices.spans, series=series, empty=empty)


RELIABILITY = Page(
    name="reliability",
    title="Latency and reliability",
    about="How long calls take and what fails. Percentiles come from sketches, within the error that the documentation states.",
    permission="tollhouse_gateway.view_feature",
    context=context,
    charts={
        "latency": lambda reading: lines(reading, "latency"),
        "first-token": lambda reading: lines(reading, "first_token", "-first:none"),
        "gate": lambda reading: lines(reading, "gate", "latency>0ms"),
        "by-model": by_model,
        "outcomes": outcomes,
        "errors": errors,
        "fallbacks": fallbacks,
        "trips": breakers.tripped,
    },
)
