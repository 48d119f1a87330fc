"""Spend: where the money goes, over time and by any dimension, beside the period before."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dashboards.currency import Currency, reporting
from dashboards.pages import names
from dashboards.pages.charts import MOST, OTHERS, Chart, Series, Slices, spread
from dashboards.pages.frame import LABELS, PEOPLE, Page, Reading
from dashboards.pages.most import Beside, beside, by_time
from dashboards.pages.sums import Sums, change, of_row, percent, share, total

BY = ("feature", "tenant", "cohort", "user_ref", "key", "provider", "model", "prompt_version")
#: Rows of the table; what is beyond is one row.
MOST_ROWS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A value in the table. `url` narrows the page to it, `calls_url` are its calls; both empty for the others together."""

    name: str
    now: Sums
    before: Sums
    share: str
    change: str
    url: str = ""
    calls_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A figure of the page's head."""

    label: str
    now: str
    note: str = ""
    change: str = ""


def context(reading: Reading) -> dict[str, Any]:
    kinds = choices(reading)
    by = reading.choice("by", kinds)
    currency = reporting()
    found = beside(reading.filters, reading.before, by, currency, MOST_ROWS)
    whole, whole_before = found.whole, found.whole_before
    return {
        "by": by,
        "kinds": [(name, label, f"?{reading.asked.query(by=name)}") for name, label in kinds.items()],
        "by_label": kinds[by],
        "nothing": not whole.calls and not whole_before.calls,
        "currency": currency,
        "tiles": tiles(whole, whole_before, currency),
        "rows": rows(reading, by, found),
        "whole": whole,
        "whole_before": whole_before,
        "chart_url": reading.data_url("spend", "over-time", by=by),
    }


def choices(reading: Reading) -> dict[str, str]:
    """By what the reader may tell calls apart, with its label."""
    return {name: LABELS[name] for name in BY if reading.sees_calls or name not in PEOPLE}


def tiles(now: Sums, before: Sums, currency: Currency) -> list[Tile]:
    def money(label: str, of: str, note: str = "") -> Tile:
        here, there = getattr(now, of), getattr(before, of)
        return Tile(label=label, now=currency.shown(here), change=change(here, there), note=note)

    def part(of: str) -> str:
        return f"{percent(share(getattr(now, of), now.cost))} of spend"

    return [
        Tile(
            label="Spend", now=currency.exact(now.cost), change=change(now.cost, before.cost),
            note=f"before: {currency.exact(before.cost)}",
        ),
        Tile(
            label="Calls", now=f"{now.calls:,}", change=change(now.calls, before.calls), note=f"before: {before.calls:,}"
        ),
        money("Cost per call", "per_call", f"before: {currency.shown(before.per_call)}"),
        money("Cost per successful call", "per_ok", f"before: {currency.shown(before.per_ok)}"),
        Tile(
            label="From the cache", now=percent(now.cached_share), note=f"{now.cached_calls:,} calls",
            change=change(now.cached_share, before.cached_share),
        ),
        money("Retries", "retried", part("retried")),
        money("Fallbacks", "fallback", part("fallback")),
        money("Lost calls", "lost", part("lost")),
    ]  # fmt: skip


def rows(reading: Reading, by: str, found: Beside) -> list[Row]:
    """The dearest values, now or before, and all others as one row."""
    known = names.of_versions(found.dearest) if by == "prompt_version" else {}
    nothing = Sums()

    def row(name: str, here: Sums, there: Sums, **urls: str) -> Row:
        part = percent(share(here.cost, found.whole.cost))
        return Row(name=name, now=here, before=there, share=part, change=change(here.cost, there.cost), **urls)

    made = [
        row(
            known.get(value) or names.shown(by, value), found.now.get(value, nothing), found.before.get(value, nothing),
            url=f"?{reading.asked.narrowed(**{by: value}).query(by=_next(reading, by))}",
            calls_url=reading.calls_url(reading.filters.only(**{by: value})),
        )
        for value in found.dearest
    ]  # fmt: skip
    if found.others:
        here, there = total(row.now for row in made), total(row.before for row in made)
        made.append(row(f"{found.others:,} others", found.whole - here, found.whole_before - there))
    return made


def _next(reading: Reading, by: str) -> str:
    """By what one looks at the calls of one value: features by model, all else by feature."""
    return "model" if by == "feature" else "feature"


def over_time(reading: Reading) -> Chart:
    """Spend by hour or day, stacked."""
    by = reading.choice("by", choices(reading))
    currency, slices = reporting(), Slices(reading.filters)
    rows, whole = by_time(reading.filters, by, MOST)
    found = spread(
        slices, rows, at=lambda row: row.at, name=lambda row: row.values[0], value=lambda row: of_row(row, currency).cost,
        zero=Decimal(0),
    )  # fmt: skip
    if whole:
        rest = [-sum(column) for column in zip(*found.values(), strict=True)]
        for row in whole:
            if row.at:
                rest[slices.place(row.at)] += of_row(row, currency).cost
        found[None] = rest
    known = names.of_versions(found) if by == "prompt_version" else {}
    shown = [value for value in found if value is not None]
    return Chart(
        kind="bars", unit="money", prefix=currency.sign, spans=slices.spans,
        series=[
            Series(
                name=OTHERS if value is None else known.get(value) or names.shown(by, value),
                values=[float(amount) for amount in amounts], shown=[currency.shown(amount) for amount in amounts],
                url=reading.others_url(by, shown) if value is None
                else reading.calls_url(reading.filters.only(**{by: value}), timed=False),
                tone="others" if value is None else "",
            )
            for value, amounts in found.items()
        ],
    )  # fmt: skip


SPEND = Page(
    name="spend",
    title="Spend",
    about="What calls cost, with corrections, beside the same time before.",
    permission="tollhouse_gateway.view_feature",
    context=context,
    charts={"over-time": over_time},
    more=("by",),
)
