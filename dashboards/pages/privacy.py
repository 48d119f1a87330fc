"""Privacy: what personal data was found in calls, which were refused for it, and who read what calls said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max

from dashboards.filters import Filters
from dashboards.pages.charts import OTHERS, Chart, Series, Slices, spread
from dashboards.pages.frame import Page, Reading, term
from dashboards.pages.spend import Tile
from dashboards.pages.sums import change, percent, share
from dashboards.rollups import entities, figures
from gateway.models import AuditEntry

REFUSED = "refused_policy"
READ = "payload.read"
AUDIT = "tollhouse_gateway.view_auditentry"
MOST_READERS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Somebody who read payloads."""

    actor: str
    reads: int
    last: datetime


def context(reading: Reading) -> dict[str, Any]:
    filters, before = reading.filters, reading.before
    found = _found(filters)
    all_now, all_before = sum(found.values()), sum(_found(before).values())
    by_outcome = {row.values[0]: row.calls for row in figures(filters, by=("outcome",))}
    refused, calls = by_outcome.get(REFUSED, 0), sum(by_outcome.values())
    refused_before = sum(row.calls for row in figures(before.among("outcome", (REFUSED,))))
    readers = _readers(reading) if reading.may(AUDIT) else None
    tiles = [
        Tile(label="Entities found", now=f"{all_now:,}", change=change(all_now, all_before), note=f"before: {all_before:,}"),
        Tile(
            label="Refused by policy", now=f"{refused:,}", change=change(refused, refused_before),
            note=f"{percent(share(refused, calls))} of {calls:,} calls",
        ),
    ]  # fmt: skip
    if readers is not None:
        reads = sum(reader.reads for reader in readers)
        tiles.append(
            Tile(
                label="Payloads read",
                now=f"{reads:,}",
                note=f"by {len(readers)} {'person' if len(readers) == 1 else 'people'}",
            )
        )
    return {
        "nothing": not calls and not all_now,
        "tiles": tiles,
        "rows": [
            (name, count, percent(share(count, all_now)))
            for name, count in sorted(found.items(), key=lambda kv: (-kv[1], kv[0]))
        ],
        "readers": readers[:MOST_READERS] if readers is not None else None,
        "chart_urls": {name: reading.data_url("privacy", name) for name in PRIVACY.charts},
    }


def _found(filters: Filters) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in entities(filters):
        found[row.entity] = found.get(row.entity, 0) + row.count
    return found


def _readers(reading: Reading) -> list[Reader]:
    span = (reading.filters.since, reading.filters.until)
    rows = AuditEntry.objects.filter(action=READ, at__gte=span[0], at__lt=span[1]).order_by().values("actor")
    counted = rows.annotate(reads=Count("id"), last=Max("at")).order_by("-reads", "actor")
    return [Reader(actor=row["actor"], reads=row["reads"], last=row["last"]) for row in counted]


def over_time(reading: Reading) -> Chart:
    """Entities found, by hour or day and type."""
    slices, rows = Slices(reading.filters), entities(reading.filters, step=Slices(reading.filters).step)
    found = spread(
        slices, rows, at=lambda row: row.at, name=lambda row: row.entity, value=lambda row: row.count, zero=0
    )
    others = sorted({row.entity for row in rows} - found.keys())
    urls = {
        name: reading.calls_url(None, term("entity", (name,) if name else (*others,)), timed=False) for name in found
    }
    return _bars(slices, found, urls, "No personal data was found.")


def refusals(reading: Reading) -> Chart:
    """Calls that a policy refused, by hour or day and feature."""
    slices, filters = Slices(reading.filters), reading.filters.among("outcome", (REFUSED,))
    found = spread(
        slices, figures(filters, by=("feature",), step=slices.step),
        at=lambda row: row.at, name=lambda row: row.values[0], value=lambda row: row.calls, zero=0,
    )  # fmt: skip
    shown = term("feature", tuple(name for name in found if name is not None))
    urls = {
        name: reading.calls_url(filters, f"-{shown}", timed=False) if name is None
        else reading.calls_url(filters.only(feature=name), timed=False)
        for name in found
    }  # fmt: skip
    return _bars(slices, found, urls, "No call was refused by a policy.")


def _bars(
    slices: Slices, found: Mapping[str | None, Sequence[int]], urls: Mapping[str | None, str], empty: str
) -> Chart:
    series = [
        Series(
            name=OTHERS if name is None else name, values=counts, shown=[f"{count:,}" for count in counts], url=urls[name],
            tone="others" if name is None else "",
        )
        for name, counts in found.items()
    ]  # fmt: skip
    return Chart(kind="bars", unit="count", spans=slices.spans, series=series, empty=empty)


PRIVACY = Page(
    name="privacy",
    title="Privacy",
    about="Personal data found in calls, as counts by type: what it was is nowhere kept unless a policy says so.",
    permission="tollhouse_redaction.view_redactionpolicy",
    context=context,
    charts={"entities": over_time, "refusals": refusals},
)
