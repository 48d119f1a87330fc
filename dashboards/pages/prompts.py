"""Prompts: the versions of a prompt side by side, and what is proven of them."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from dashboards.currency import Currency, reporting
from dashboards.filters import Filters, Step
from dashboards.pages import scores
from dashboards.pages.charts import Chart, Series, Slices, Unit
from dashboards.pages.compare import LEAST_CALLS, Interval, Z, difference, mean, proportion, ratio, together, verdict
from dashboards.pages.frame import Page, Reading
from dashboards.pages.sums import ZERO, of_row, percent, share
from dashboards.rollups import Figures, figures, latencies
from gateway.access import visible
from gateway.models import Prompt, PromptVersion, Variant

#: Versions side by side, those with most calls.
MOST = 8
#: Names of prompts that the page offers while one is typed; any other is shown, too.
MOST_OFFERED = 500
#: What says something about a version: refusals and callers that left do not.
JUDGED = ("ok", "truncated", "filtered", "provider_error", "timeout")
#: Longer ranges are compared by days, shorter ones by hours, so that there are slices enough for an interval.
LONGEST_BY_HOUR = timedelta(days=8)


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the calls of a version come to; `slices` are cost and calls of each hour or day."""

    calls: int = 0
    ok: int = 0
    judged: int = 0
    cost: Decimal = ZERO
    slices: dict[datetime | None, tuple[Decimal, int]] = field(default_factory=dict)

    def add(self, row: Figures, currency: Currency) -> None:
        sums = of_row(row, currency)
        self.calls += sums.calls
        self.cost += sums.cost
        self.judged += judged(row)
        self.ok += sums.ok
        self.slices[row.at] = sums.cost, sums.calls

    def per_call(self, z: float = Z) -> Interval | None:
        return mean(((float(cost), calls) for cost, calls in self.slices.values()), z)

    def success(self, z: float = Z) -> Interval | None:
        return proportion(self.ok, self.judged, z)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version in the table. `share` is its part of the calls; `live` its part of the traffic in words, empty for one that is
    not live; `said` is what is proven of it beside the first one. `page` is its row's id, None where it is not recorded.
    """

    address: str
    tally: Tally
    latency: tuple[float | None, ...]
    share: str
    live: str
    said: str
    page: int | None
    calls_url: str
    per_call: str
    per_call_range: str
    cells: list[scores.Cell]

    @property
    def name(self) -> str:
        return self.address[:8]

    @property
    def success(self) -> str:
        found = self.tally.success()
        return percent(found.value) if found else "–"

    @property
    def success_range(self) -> str:
        found = self.tally.success()
        return f"{percent(found.low)} to {percent(found.high)}" if found else ""


def context(reading: Reading) -> dict[str, Any]:
    slug = _prompt(reading)
    said = _said_of(reading, slug)
    versions = _versions(reading, slug, said or {}) if slug else []
    return {
        "prompts": Prompt.objects.order_by("feature__slug").values_list("feature__slug", flat=True)[:MOST_OFFERED],
        "slug": slug,
        "unknown": asked if (asked := reading.request.GET.get("prompt", "")) != slug else "",
        "versions": versions,
        "nothing": not versions,
        "currency": reporting(),
        "judged": ", ".join(JUDGED),
        "too_many_scores": said is None,
        "chart_urls": {name: reading.data_url("prompts", name, prompt=slug) for name in PROMPTS.charts},
    }


def _prompt(reading: Reading) -> str:
    """The prompt that is asked for, or filtered by; otherwise the one with most calls. Empty where none has any."""
    for slug in _known([reading.request.GET.get("prompt", ""), *reading.filters.where.get("feature", ())]):
        return slug
    calls = {row.values[0]: row.calls for row in figures(reading.filters, by=("feature",))}
    return max(_known(calls), key=lambda slug: (calls[slug], slug), default="")


def _known(slugs: Collection[str]) -> list[str]:
    """Those that prompts have, in their order."""
    names = Prompt.objects.filter(feature__slug__in=[slug for slug in slugs if "\0" not in slug])
    found = set(names.values_list("feature__slug", flat=True))
    return [slug for slug in slugs if slug in found]


def _said_of(reading: Reading, slug: str) -> dict[str, scores.Scores] | None:
    """What was said of the prompt's calls, by version, as far as the reader may see it; None: too much to read."""
    if not slug or not reading.may("tollhouse_gateway.view_score"):
        return {}
    return scores.read(reading.filters.only(feature=slug))


def _versions(reading: Reading, slug: str, said: Mapping[str, scores.Scores]) -> list[Version]:
    filters, currency, live = reading.filters.only(feature=slug), reporting(), _live(slug)
    tallies = _tallies(filters, currency)
    ordered = _ordered(tallies, live)
    measured = latencies(filters, ("latency",), by=("prompt_version",)).each("latency")
    latency = {row.values[0]: row.ms for row in measured}
    rows = visible(PromptVersion.objects.filter(prompt__feature__slug=slug, address__in=ordered), reading.request.user)
    pages = dict(rows.values_list("address", "pk"))
    whole, cells = sum(tally.calls for tally in tallies.values()), scores.table(said, ordered)
    # Each version is compared with the first by its cost, its success, and whatever was said of both.
    z = together(sum(2 + len(_measured(said, ordered[0], address)) for address in ordered[1:]))
    found = []
    for address in ordered:
        tally = tallies[address]
        per_call = tally.per_call()
        found.append(
            Version(
                address=address, tally=tally, latency=latency.get(address, (None, None, None)), page=pages.get(address),
                share=percent(share(tally.calls, whole)), live=live.get(address, ""),
                said=_said(address, tallies[ordered[0]], tally, _measured(said, ordered[0], address, z), z)
                if address != ordered[0] else "",
                cells=cells[address],
                calls_url=reading.calls_url(filters.only(prompt_version=address)),
                per_call=currency.shown(tally.cost / tally.calls if tally.calls else None),
                per_call_range=f"{_money(per_call.low, currency)} to {_money(per_call.high, currency)}" if per_call else "",
            )
        )  # fmt: skip
    return found


def _ordered(tallies: Mapping[str, Tally], live: Mapping[str, str]) -> list[str]:
    """Versions with most calls, but first what others are measured by: the oldest live one that has calls."""
    found = sorted(tallies, key=lambda address: (-tallies[address].calls, address))[:MOST]
    first = next((address for address in live if address in found), None)
    return sorted(found, key=lambda address: address != first)


def _measured(said: Mapping[str, scores.Scores], first: str, address: str, z: float = Z) -> list[tuple[str, Interval]]:
    return scores.measures(said.get(first, scores.NOTHING), said.get(address, scores.NOTHING), z)


def _said(address: str, first: Tally, tally: Tally, measured: list[tuple[str, Interval]], z: float) -> str:
    one, other = first.per_call(z), tally.per_call(z)
    cost = ratio(one, other) if one and other else None
    enough = min(first.judged, tally.judged) >= LEAST_CALLS
    before, after = first.success(z), tally.success(z)
    quality = difference(before, after) if enough and before and after else None
    return verdict(address[:8], cost, quality, measured)


def _money(amount: float, currency: Currency) -> str:
    return currency.shown(max(ZERO, Decimal(repr(amount))))


def _tallies(filters: Filters, currency: Currency) -> dict[str, Tally]:
    step: Step = "hour" if filters.until - filters.since <= LONGEST_BY_HOUR else "day"
    found: dict[str, Tally] = {}
    for row in figures(filters, by=("prompt_version",), step=step):
        if address := row.values[0]:
            found.setdefault(address, Tally()).add(row, currency)
    return found


def judged(row: Figures) -> int:
    """Calls that say something about their version."""
    return sum(row.outcomes.get(outcome, 0) for outcome in JUDGED)


def _live(slug: str) -> dict[str, str]:
    """Live versions with their share of the traffic in words, by address, the oldest first."""
    variants = Variant.objects.filter(deployment__prompt__feature__slug=slug).order_by(
        "version__created_at", "version_id"
    )
    found = list(variants.values_list("version__address", "name", "weight"))
    weights = sum(weight for _, _, weight in found)
    return {address: f"{name}, {round(100 * weight / weights)}%" for address, name, weight in found}


def per_call(reading: Reading) -> Chart:
    """What a call costs, by hour or day and version."""
    currency = reporting()

    def value(row: Figures) -> tuple[float | None, str]:
        cost = of_row(row, currency).per_call
        return (None if cost is None else float(cost)), currency.shown(cost)

    return _by_version(reading, value, unit="money", prefix=currency.sign)


def success(reading: Reading) -> Chart:
    """The share of calls that succeeded, by hour or day and version."""

    def value(row: Figures) -> tuple[float | None, str]:
        calls = judged(row)
        return (100 * row.ok / calls, percent(row.ok / calls)) if calls else (None, "–")

    return _by_version(reading, value, unit="percent")


def _by_version(
    reading: Reading, value: Callable[[Figures], tuple[float | None, str]], *, unit: Unit, prefix: str = ""
) -> Chart:
    """A line for each version; `value` makes a point, and its text, of a version's figures."""
    slug, slices = _prompt(reading), Slices(reading.filters)
    filters = reading.filters.only(feature=slug)
    rows: dict[str, dict[int, Figures]] = {}
    for row in figures(filters, by=("prompt_version",), step=slices.step):
        if row.at and row.values[0]:
            rows.setdefault(row.values[0], {})[slices.place(row.at)] = row
    series = []
    for address in sorted(rows, key=lambda key: -sum(row.calls for row in rows[key].values()))[:MOST]:
        found = rows[address]
        points = [value(found[place]) if place in found else (None, "–") for place in range(len(slices.spans))]
        series.append(
            Series(
                name=address[:8], values=[point for point, _ in points], shown=[text for _, text in points],
                url=reading.calls_url(filters.only(prompt_version=address), timed=False),
            )
        )  # fmt: skip
    return Chart(kind="lines", unit=unit, prefix=prefix, spans=slices.spans, series=series)


PROMPTS = Page(
    name="prompts",
    title="Prompts",
    about="Versions of a prompt side by side. Differences are proven when chance would show any in fewer than 5 of 100 cases.",
    permission="tollhouse_gateway.view_promptversion",
    context=context,
    charts={"cost": per_call, "success": success},
    more=("prompt",),
)
