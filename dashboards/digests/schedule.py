"""When a digest is due, by the calendar of a time zone, and the days that it is about."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
Every = Literal["day", "week", "month"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Every day, week or month at an hour (0 to 23) of the zone's clock.

    `weekday` is 0 for Monday, `day` the day of the month; of a month that is shorter it is the last. An hour that clocks leave
    out is the moment at which they go on; of one that comes twice the first counts. Moments are aware, those returned in UTC.
    """

    every: Every
    hour: int
    zone: ZoneInfo
    weekday: int = 0
    day: int = 1

    def latest(self, at: datetime) -> datetime:
        """The last time that it was due, at the moment or before it."""
        return self._moment(self._latest(at))

    def after(self, at: datetime) -> datetime:
        """The first time that it is due after the moment."""
        day = self._latest(at)
        while (moment := self._moment(day)) <= at:
            day = self._next(day)
        return moment

    def count(self, since: datetime, until: datetime) -> int:
        """How often it is due from one moment on, before another."""
        found, at = 0, since - timedelta(microseconds=1)
        while (at := self.after(at)) < until:
            found += 1
        return found

    def period(self, at: datetime) -> tuple[datetime, datetime]:
        """The whole days that the digest which was due last is about: those since the one before it."""
        day = self._latest(at)
        return self._midnight(self._on_or_before(day - DAY)), self._midnight(day)

    def _latest(self, at: datetime) -> date:
        day = self._on_or_before(at.astimezone(self.zone).date() + DAY)
        while self._moment(day) > at:
            day = self._on_or_before(day - DAY)
        return day

    def _on_or_before(self, day: date) -> date:
        if self.every == "day":
            return day
        if self.every == "week":
            return day - (day.weekday() - self.weekday) % 7 * DAY
        own = self._in_month(day)
        return own if own <= day else self._in_month(day.replace(day=1) - DAY)

    def _next(self, day: date) -> date:
        if self.every == "month":
            return self._in_month(day.replace(day=monthrange(day.year, day.month)[1]) + DAY)
        return day + (7 * DAY if self.every == "week" else DAY)

    def _in_month(self, day: date) -> date:
        return day.replace(day=min(self.day, monthrange(day.year, day.month)[1]))

    def _moment(self, day: date) -> datetime:
        return datetime.combine(day, time(self.hour), self.zone).astimezone(UTC)

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), self.zone).astimezone(UTC)


def in_words(since: datetime, until: datetime, zone: ZoneInfo) -> str:
    """The days of a period: `Friday 20 November 2026`, `16 to 22 November 2026`, `October 2026`."""
    first, end = since.astimezone(zone).date(), until.astimezone(zone).date()
    last = end - DAY
    if first == last:
        return f"{first:%A} {first.day} {first:%B %Y}"
    if first.day == end.day == 1 and (end - DAY).month == first.month:
        return f"{first:%B %Y}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} to {last.day} {last:%B %Y}"
    start = f"{first.day} {first:%B}" if first.year == last.year else f"{first.day} {first:%B %Y}"
    return f"{start} to {last.day} {last:%B %Y}"
