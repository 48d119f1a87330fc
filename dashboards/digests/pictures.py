"""Charts as images, drawn from the data that the browser draws them from. Matplotlib is loaded when the first one is drawn."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor, isfinite, log10, nan
from typing import Any

from django.utils import timezone

from dashboards.pages.charts import Chart, Series, clock

#: What is said where images cannot be drawn.
MISSING = "Charts are left out: matplotlib is not installed where the worker runs (pip install 'tollhouse[digests]')."
WIDTH, HEIGHT = 560, 260
#: Pixels of the image for each of the page: it is sharp on dense screens.
SCALE = 2
MOST_TICKS_X, MOST_TICKS_Y = 6, 5
#: Characters of a name in the legend, and of the longest where there are three beside each other.
LONGEST_NAME, LONGEST_OF_THREE = 32, 17
#: Between moments that are written below a chart whose points may be anywhere.
STEPS = [*(timedelta(hours=n) for n in (1, 2, 3, 6, 12)), *(timedelta(days=n) for n in (1, 2, 5, 7, 14, 30, 61, 122))]
DASHES = {"dash": (5, 3), "dot": (1.5, 2)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """Colours of one scheme: those of the pages (`dashboards.css`, `theme.css`)."""

    card: str
    text: str
    quiet: str
    line: str
    series: Sequence[str]
    tones: dict[str, str]


LIGHT = Palette(
    card="#ffffff", text="#1d2733", quiet="#586675", line="#e3e8ee",
    series=("#2f6fa8", "#c2703d", "#3d8b6a", "#8a5fb0", "#b8892a", "#4c93a8", "#b04f73", "#6c7a3a", "#7d8894"),
    tones={
        "others": "#9aa6b2", "median": "#2f6fa8", "slow": "#c2703d", "slowest": "#b3261e", "gate": "#3d8b6a",
        "gate-slow": "#8a5fb0", "left": "#2f6fa8", "expected": "#c2703d", "range": "#9aa6b2", "limit": "#b8892a",
    },
)  # fmt: skip
DARK = Palette(
    card="#16202b", text="#dde5ee", quiet="#95a3b3", line="#243140",
    series=("#6aa9de", "#e09a6b", "#67c09a", "#b795dc", "#dcb65c", "#78c0d4", "#e08aab", "#a9b96a", "#a4b0bd"),
    tones={
        "others": "#75828f", "median": "#6aa9de", "slow": "#e09a6b", "slowest": "#ff9b94", "gate": "#67c09a",
        "gate-slow": "#b795dc", "left": "#6aa9de", "expected": "#e09a6b", "range": "#75828f", "limit": "#dcb65c",
    },
)  # fmt: skip


class CannotDraw(Exception):
    """Matplotlib is not installed; the message says what to do."""


def draw(chart: Chart, palette: Palette = LIGHT, heading: str = "") -> bytes:
    """The chart as a PNG of WIDTH × HEIGHT pixels of a page, on a background of its own. Raises CannotDraw."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.text import Text
    except ImportError as error:
        raise CannotDraw(MISSING) from error
    names = [_name(series.name) for series in chart.series]
    columns = 3 if max(map(len, names), default=0) <= LONGEST_OF_THREE else 2
    rows = 0 if len(names) < 2 else -(-len(names) // columns)
    height = HEIGHT + 16 * max(0, rows - 1)
    figure = Figure(figsize=(WIDTH / 100, height / 100), dpi=100 * SCALE, facecolor=palette.card, layout="constrained")
    axes = figure.add_subplot(facecolor=palette.card)
    drawn = (_bars if chart.kind == "bars" else _lines)(axes, chart, palette)
    _style(axes, chart, palette)
    if rows:
        figure.legend(
            drawn, names, loc="outside lower left", ncols=columns, fontsize=9, frameon=False, labelcolor=palette.text,
            handlelength=1.1, columnspacing=1.4,
        )  # fmt: skip
    if heading:
        axes.set_title(_name(heading), loc="left", fontsize=11, color=palette.text, pad=10, parse_math=False)
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a $ begins no formula
    out = io.BytesIO()
    figure.savefig(out, format="png", facecolor=palette.card, metadata={"Software": None})
    return out.getvalue()


def _colour(series: Series, number: int, palette: Palette) -> str:
    return palette.tones.get(series.tone) or palette.series[number % len(palette.series)]


def _bars(axes: Any, chart: Chart, palette: Palette) -> list[Any]:
    """Stacked: what is above nothing upwards, what is below it downwards."""
    above, below = [0.0] * len(chart.spans), [0.0] * len(chart.spans)
    drawn = []
    for number, series in enumerate(chart.series):
        values = [value or 0.0 for value in series.values]
        bottoms = [up if value >= 0 else down for value, up, down in zip(values, above, below, strict=True)]
        colour = _colour(series, number, palette)
        drawn.append(axes.bar(range(len(values)), values, bottom=bottoms, width=0.82, color=colour, zorder=2))
        above = [up + max(value, 0.0) for up, value in zip(above, values, strict=True)]
        below = [down + min(value, 0.0) for down, value in zip(below, values, strict=True)]
    axes.set_xlim(-0.6, len(chart.spans) - 0.4)
    _limits(axes, [*above, *below])
    step = -(-len(chart.spans) // MOST_TICKS_X)
    shown = range(0, len(chart.spans), step)
    axes.set_xticks(list(shown), [_moment(chart, chart.spans[place][0]) for place in shown])
    return drawn


def _lines(axes: Any, chart: Chart, palette: Palette) -> list[Any]:
    at = [since.timestamp() for since, _ in chart.spans]
    drawn = []
    for number, series in enumerate(chart.series):
        values = [nan if value is None else value for value in series.values]
        colour, style = _colour(series, number, palette), "steps-post" if series.shape == "hv" else "default"
        width = 1.5 if series.tone == "limit" else 2
        (line,) = axes.plot(
            at, values, color=colour, linewidth=width, drawstyle=style, zorder=2, solid_capstyle="round"
        )
        # A point without neighbours would not be seen.
        lone = [place for place in range(len(values)) if _alone(values, place)]
        axes.plot([at[place] for place in lone], [values[place] for place in lone], "o", color=colour, markersize=4)
        if series.dash:
            line.set_dashes(DASHES.get(series.dash, (None, None)))
        drawn.append(line)
    _limits(axes, [value for series in chart.series for value in series.values if value is not None])
    if len(at) > 1 and at[0] < at[-1]:
        axes.set_xlim(at[0] - (at[-1] - at[0]) * 0.02, at[-1] + (at[-1] - at[0]) * 0.02)
    ticks = _times(chart)
    axes.set_xticks([tick.timestamp() for tick in ticks], [_moment(chart, tick) for tick in ticks])
    return drawn


def _alone(values: Sequence[float], place: int) -> bool:
    around = [values[near] for near in (place - 1, place + 1) if 0 <= near < len(values)]
    return isfinite(values[place]) and not any(isfinite(value) for value in around)


def _times(chart: Chart) -> list[datetime]:
    """Moments to write below lines: of the hours or days, or round ones where the points are anywhere."""
    starts = [since for since, _ in chart.spans]
    first, whole = starts[0], starts[-1] - starts[0]
    if not any(series.shape for series in chart.series):
        return starts[:: -(-len(starts) // MOST_TICKS_X)]
    step = next((step for step in STEPS if whole / step < MOST_TICKS_X), whole)
    at = timezone.localtime(first).replace(minute=0, second=0, microsecond=0)
    at = at.replace(hour=0) if step >= timedelta(days=1) else at
    found = []
    while at <= starts[-1]:
        if at >= first:
            found.append(at)
        at += step
    return found or [first]


def _moment(chart: Chart, at: datetime) -> str:
    """A moment by the pages' clock: the hour where all is within two days, else the day."""
    local = timezone.localtime(at)
    whole = chart.spans[-1][1] - chart.spans[0][0]
    if whole <= timedelta(hours=30):
        return clock(local, "%H:%M")
    return f"{local.day} {clock(local, '%b %H:%M')}" if whole <= timedelta(days=3) else f"{local.day} {local:%b}"


def _limits(axes: Any, values: Sequence[float]) -> None:
    """From nothing, or from below it where there is something, to a little more than the most."""
    least, most = min([0.0, *values]), max([0.0, *values])
    room = (most - least) * 0.06 or 1.0
    axes.set_ylim(least - room if least < 0 else 0.0, most + room)


def _style(axes: Any, chart: Chart, palette: Palette) -> None:
    ticks = _levels(*axes.get_ylim(), whole=chart.unit == "count")
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    axes.set_yticks(ticks, [_shown(chart, tick, step) for tick in ticks])
    axes.grid(axis="y", color=palette.line, linewidth=0.8, zorder=0)
    axes.tick_params(colors=palette.quiet, labelcolor=palette.quiet, labelsize=9.5, length=0, pad=6)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(palette.line)


def _levels(low: float, high: float, *, whole: bool) -> list[float]:
    """Round figures between the two, a few."""
    rough = (high - low) / MOST_TICKS_Y
    size = 10.0 ** floor(log10(rough))
    step = next(size * by for by in (1, 2, 5, 10) if size * by >= rough)
    step = max(step, 1.0) if whole else step
    first = -floor(-low / step)
    return [number * step for number in range(first, floor(high / step) + 1)]


def _shown(chart: Chart, value: float, step: float) -> str:
    """A level with as many digits as tell it from the next one: `$0.05`, `1.5k`, `250 ms`, `20%`."""
    size, unit = (1e6, "M") if step >= 1e5 else (1e3, "k") if step >= 1e3 and chart.unit != "ms" else (1.0, "")
    digits = max(0, -floor(log10(step / size) + 1e-9))
    text = f"{abs(value) / size:,.{digits}f}{unit}" if value else "0"
    ends: dict[str, str] = {"ms": " ms", "percent": "%"}
    return f"{'−' if value < 0 else ''}{chart.prefix}{text}{ends.get(chart.unit, '')}"


def _name(text: str) -> str:
    """A name as the font can draw it: signs that it has not are `□`; the message has the whole name in its text."""
    known = _signs()
    clean = "".join(sign if known(sign) else "□" for sign in text)
    return clean if len(clean) <= LONGEST_NAME else clean[: LONGEST_NAME - 1] + "…"


def _signs() -> Callable[[str], bool]:
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans"))
    return lambda sign: bool(sign.isprintable() and font.get_char_index(ord(sign)))
