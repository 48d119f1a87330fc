"""What calls came to in a range of time: from the rollups, and from the rows that these have not counted yet, in one snapshot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dashboards.filters import Filters
from dashboards.rollups import sketch
from dashboards.rollups.changes import SQL
from dashboards.rollups.found import Figures, Found, Quantiles
from dashboards.rollups.query import AMOUNTS, ENTITIES, FIGURES, Metric, Query, Step, sketches

#: The quantiles that pages show.
SHOWN = (0.5, 0.95, 0.99)
#: When and of which values.
Key = tuple[Any, tuple[str, ...]]


def figures(filters: Filters, by: Sequence[str] = (), step: Step = None) -> list[Figures]:
    """What the calls came to, by these dimensions and by hour or day; those without calls are left out, except where there is one
    answer only. The range is widened to whole hours of the reporting time zone. By label, a call counts for each of its labels.

    Raises TooMuchData where no rollup has these dimensions together and the range has more than MOST_CALLS calls, and
    ValueError for an unknown dimension.
    """
    found: dict[Key, Sequence[Any]] = {}
    for at, *row in Query(filters, by, step, needs=("outcome",)).rows(FIGURES):
        key, counts = (at, tuple(row[: len(by)])), row[len(by) :]
        before = found.get(key)
        found[key] = [a + b for a, b in zip(before, counts, strict=True)] if before else counts
    if not found and not by and step is None:
        return [Figures(None, ())]
    return sorted((Figures.of(*key, counts) for key, counts in found.items() if counts[0]), key=_order)


def amounts(filters: Filters, by: str) -> dict[str, tuple[int, int]]:
    """Nano-dollars and calls of every value of a dimension, of which there may be very many; otherwise like `figures`."""
    rows = Query(filters, (by,), None).rows(AMOUNTS, SQL["amounts"])
    return {value: (nano, calls) for value, nano, calls in rows}


class Dearest(NamedTuple):
    """The dearest `values` of a dimension, in order, of so many that it has."""

    values: list[str]
    of: int


def dearest(filters: Filters, by: str, most: int) -> Dearest:
    """At most so many values of a dimension, of which there may be very many; otherwise like `figures`."""
    wrapped = SQL["dearest"].format(amounts=SQL["amounts"], most=int(most))
    rows = Query(filters, (by,), None).rows(AMOUNTS, wrapped)
    return Dearest([value for value, _ in rows], rows[0][1] if rows else 0)


@dataclass(frozen=True, slots=True)
class Latencies:
    """Sketches of some metrics, by time and values, which can be put together."""

    _sketches: Mapping[Key, Mapping[Metric, bytes]]

    def each(self, metric: Metric, q: Sequence[float] = SHOWN) -> list[Quantiles]:
        """Quantiles (each 0 to 1) of each time and values that have any, in milliseconds, within `sketch.ERROR` of the calls'
        own, at the ranks q(n-1) rounded down."""
        asked = ((key, sketch.quantiles(of[metric], q)) for key, of in self._sketches.items())
        return sorted((Quantiles(*key, calls, ms) for key, (calls, ms) in asked if calls), key=_order)

    def whole(self, metric: Metric, q: Sequence[float] = SHOWN) -> Quantiles:
        """The same of all of them together; None each where there are none."""
        return Quantiles(None, (), *sketch.quantiles(b"".join(of[metric] for of in self._sketches.values()), q))


def latencies(filters: Filters, metrics: Sequence[Metric], by: Sequence[str] = (), step: Step = None) -> Latencies:
    """Latencies of calls; otherwise like `figures`.

    `latency` is of calls that were answered by a provider or from the cache, `provider` the part of it that was spent at
    providers, `gate` the rest, `first_token` of streams.
    """
    found: dict[Key, dict[Metric, bytes]] = {}
    for at, *row in Query(filters, by, step, sketched=True).rows(sketches(metrics)):
        key, entries = (at, tuple(row[: len(by)])), row[len(by) :]
        of = found.setdefault(key, dict.fromkeys(metrics, b""))
        for metric, more in zip(metrics, entries, strict=True):
            of[metric] += bytes(more)
    return Latencies(found)


def entities(filters: Filters, by: Sequence[str] = (), step: Step = None) -> list[Found]:
    """How much personal data was found, by type and otherwise like `figures`."""
    found: dict[tuple[Any, tuple[str, ...], str], int] = {}
    for at, *values, entity, count in Query(filters, by, step, found=True).rows(ENTITIES):
        key = at, tuple(values), entity
        found[key] = found.get(key, 0) + count
    return sorted((Found(at, values, entity, n) for (at, values, entity), n in found.items() if n), key=_order)


def _order(one: Figures | Quantiles | Found) -> tuple[Any, ...]:
    return (one.at is not None and one.at, one.values)
