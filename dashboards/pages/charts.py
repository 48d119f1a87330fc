"""Charts as data: what the browser draws, and what the digest draws as an image. Figures come ready to be read, too."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import timezone as FixedZone
from itertools import pairwise
from typing import Any, Literal

from django.utils import timezone

from dashboards.filters import DAY, HOUR, Filters, iso

#: Series that have a colour of their own; what is beyond is drawn as one.
MOST = 8
OTHERS = "all others"
Unit = Literal["money", "ms", "count", "percent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A line, or the bars of one colour. `url` are the calls of it, without the time; `tone` a colour with a meaning."""

    name: str
    values: Sequence[float | None]
    shown: Sequence[str]
    url: str = ""
    tone: str = ""
    dash: str = ""
    shape: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """`spans` are the stretches of time that the points stand for; `empty` is what is said where there is no series."""

    kind: Literal["bars", "lines"]
    unit: Unit
    spans: Sequence[tuple[datetime, datetime]]
    series: Sequence[Series]
    prefix: str = ""
    note: str = ""
    empty: str = "No calls in this time."

    def as_json(self) -> dict[str, Any]:
        """`times` are where the points lie, by the local clock; `names` what it showed. On a day on which it goes back
        (`twice`), times go on as if it had not: a moment and the one an hour later would lie on one another.
        """
        local = [timezone.localtime(since) for since, _ in self.spans]
        shown = [at.replace(tzinfo=None) for at in local]
        if twice := any(before >= after for before, after in pairwise(shown)):
            zone = FixedZone(local[0].utcoffset() or timedelta(0))
            shown = [at.astimezone(zone).replace(tzinfo=None) for at in local]
        return {
            "kind": self.kind, "unit": self.unit, "prefix": self.prefix, "note": self.note, "empty": self.empty,
            "times": [at.strftime("%Y-%m-%dT%H:%M:%S") for at in shown], "names": [clock(at) for at in local], "twice": twice,
            "spans": [[iso(since), iso(until)] for since, until in self.spans],
            "series": [
                {
                    "name": series.name, "values": list(series.values), "shown": list(series.shown), "url": series.url,
                    "tone": series.tone, "dash": series.dash, "shape": series.shape,
                }
                for series in self.series
            ],
        }  # fmt: skip


def clock(at: datetime, form: str = "%Y-%m-%d %H:%M") -> str:
    """What a clock shows at the moment, by the moment's own zone; with the zone's name where it shows it twice that day."""
    twice = at.replace(fold=0).utcoffset() != at.replace(fold=1).utcoffset()
    return at.strftime(f"{form} %Z" if twice else form)


class Slices:
    """The hours or days of a range, each from its start to the next one's; the first and last may be cut.

    All moments are in UTC: of two by a local clock that goes back an hour, Python tells which is later by what the clock showed.
    """

    def __init__(self, filters: Filters) -> None:
        self.step = filters.step
        since, until = filters.since.astimezone(UTC), filters.until.astimezone(UTC)
        self.starts = [self._floor(since)]
        while (following := self._after(self.starts[-1])) < until:
            self.starts.append(following)
        ends = [*self.starts[1:], until]
        self.spans = [(max(start, since), end) for start, end in zip(self.starts, ends, strict=True)]

    def place(self, at: datetime) -> int:
        """Which slice a moment of the range is in. Where clocks go by half an hour, an hour of the rollups may begin before
        the first slice does, and counts there."""
        return max(0, bisect_right(self.starts, at) - 1)

    def _floor(self, at: datetime) -> datetime:
        local = timezone.localtime(at)
        if self.step == "day":
            return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).astimezone(UTC)
        return local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)

    def _after(self, at: datetime) -> datetime:
        # By the calendar where it is days, as one may have 23 or 25 hours; by the clock where it is hours.
        if self.step == "hour":
            return at + HOUR
        return timezone.make_aware(timezone.localtime(at).replace(tzinfo=None) + DAY).astimezone(UTC)


def spread[R](
    slices: Slices,
    rows: Iterable[R],
    *,
    at: Callable[[R], datetime | None],
    name: Callable[[R], str],
    value: Callable[[R], Any],
    zero: Any,
) -> dict[str | None, list[Any]]:
    """Rows of values by slice, summed, by name: the greatest MOST names in all, and what is left under None."""
    found: dict[str | None, list[Any]] = {}
    for row in rows:
        if moment := at(row):
            line = found.setdefault(name(row), [zero] * len(slices.spans))
            line[slices.place(moment)] += value(row)
    ordered = sorted(found, key=lambda key: (-sum(found[key], zero), str(key)))
    if len(ordered) <= MOST + 1:
        return {key: found[key] for key in ordered}
    rest = [sum(column, zero) for column in zip(*(found[key] for key in ordered[MOST:]), strict=True)]
    return {**{key: found[key] for key in ordered[:MOST]}, None: rest}
