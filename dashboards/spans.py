"""Stretches of time that spend is compared over, each beside an earlier one, and which part of each rollups can tell of.

Rollups are cut at full hours by the clock of the reporting time zone. What lies beside such cuts, a part of an hour, is read call
by call, so that both stretches are of one length.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from dashboards.filters import DAY, HOUR, LONGEST_BY_HOUR, Step
from dashboards.rollups.sets import HOURS_KEPT

#: Up to so long, calls are read one by one, as they are few, and slices are of minutes.
SHORT, MINUTES = timedelta(hours=3), timedelta(minutes=5)
Range = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Stretch:
    """The time from `since` to before `until`. `starts` are when its slices begin, the first one with it; `rolled` is the part to
    be read from rollups, None where there is none.
    """

    since: datetime
    until: datetime
    starts: tuple[datetime, ...]
    rolled: Range | None

    @property
    def beside(self) -> list[Range]:
        """The parts that are to be read call by call."""
        first, last = self.rolled or (self.until, self.until)
        return [(since, until) for since, until in ((self.since, first), (last, self.until)) if since < until]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of time and one before it, with slices of `step`, an hour, a day, or some minutes where it is None.

    `key` is its name in addresses; `label` what it is called, `before_label` what the other one is.
    """

    key: str
    label: str
    before_label: str
    now: Stretch
    before: Stretch
    step: Step | None


def span(
    key: str, label: str, before_label: str, since: datetime, until: datetime, apart: timedelta, now: datetime
) -> Span:  # fmt: skip
    """The span from `since` to `until`, beside the time that lies so far before it; `now` is the present."""
    step: Step | None = None
    kept = _midnight(now - HOURS_KEPT)
    earlier = _earlier(since, apart)
    length = until - since
    if length > SHORT:
        step = "hour" if length <= LONGEST_BY_HOUR and earlier >= kept else "day"
    return Span(
        key=key, label=label, before_label=before_label, step=step,
        now=_stretch(since, until, step),
        before=_stretch(earlier, min(earlier + length, since), step),
    )  # fmt: skip


def _earlier(since: datetime, apart: timedelta) -> datetime:
    """So long before: in whole days by the calendar, of which one may have 23 or 25 hours, or in whole hours where it is less."""
    if apart < DAY - HOUR:
        return since + (-apart // HOUR) * HOUR
    days = -((HOUR - apart) // DAY) * DAY
    return timezone.make_aware(timezone.localtime(since).replace(tzinfo=None) - days).astimezone(UTC)


def _stretch(since: datetime, until: datetime, step: Step | None) -> Stretch:
    first, last = (_hour(since), _hour(until)) if step else (until, since)
    if first < since:
        first += HOUR
    starts = tuple(_starts(since, until, step))
    return Stretch(since, until, starts, (first, last) if first < last else None)


def _starts(since: datetime, until: datetime, step: Step | None) -> Iterator[datetime]:
    at = since
    yield at
    while (at := _after(at, step)) < until:
        yield at


def _after(at: datetime, step: Step | None) -> datetime:
    """When the slice after the one begins that the moment is in."""
    if step is None:
        return at + MINUTES
    return _hour(at) + HOUR if step == "hour" else _midnight(_midnight(at) + 1.5 * DAY)


def _hour(at: datetime) -> datetime:
    return timezone.localtime(at).replace(minute=0, second=0, microsecond=0).astimezone(UTC)


def _midnight(at: datetime) -> datetime:
    return timezone.localtime(at).replace(hour=0, minute=0, second=0, microsecond=0, fold=0).astimezone(UTC)
