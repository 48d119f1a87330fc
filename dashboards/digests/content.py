"""What a digest says, however it is sent: sections of figures, charts and short lists, all of them as its owner sees them."""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.pages.charts import Chart, Series
from dashboards.pages.spend import Tile

#: Lines of a chart that its text tells of.
MOST_TOLD = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A chart with its heading."""

    heading: str
    chart: Chart

    @property
    def text(self) -> str:
        """The chart in words, for those who do not see it: what each line, or colour, came to at its highest and at its end."""
        if not self.chart.series:
            return f"{self.heading}: {self.chart.empty}"
        told = [_told(series) for series in self.chart.series[:MOST_TOLD]]
        more = len(self.chart.series) - len(told)
        return f"{self.heading}: {'; '.join(told)}{f'; and {more} more' if more > 0 else ''}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of a list: what, how much, a word on it, and the page about it; all but the first may be empty."""

    text: str
    value: str = ""
    detail: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A short list; `empty` is what is said where there is nothing in it."""

    heading: str
    entries: Sequence[Entry]
    empty: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What one page says. `about` is its time and its filters, `url` the page, empty without PUBLIC_URL."""

    title: str
    about: str
    url: str
    tiles: Sequence[Tile] = ()
    figures: Sequence[Figure] = ()
    listings: Sequence[Listing] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A digest as it is sent. `when` is the time that it is about, `foot` what is said at its
    end, `url` the page where it is set up."""

    title: str
    when: str
    sections: Sequence[Section]
    notes: Sequence[str] = ()
    foot: Sequence[str] = ()
    url: str = ""


def _told(series: Series) -> str:
    points = [(value, text) for value, text in zip(series.values, series.shown, strict=True) if value is not None]
    if not points:
        return f"{series.name}, no figures"
    highest, last = max(points, key=lambda point: point[0]), points[-1]
    end = f", last {last[1]}" if last[1] != highest[1] else ""
    return f"{series.name}, highest {highest[1]}{end}"
