"""Windows from the calendar: which period of a budget an instant falls into. Computed, so that no job resets anything."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def window_bounds(period: str, zone: ZoneInfo, at: datetime) -> tuple[datetime, datetime]:
    """Start (inclusive) and end (exclusive) in UTC of the hour, day, week or month of `zone` that holds `at`.

    Consecutive windows tile time: where clocks change, a day has 23 or 25 hours, and a clock hour that comes twice
    is two windows. Weeks begin on Monday (ISO 8601). `at` must be aware; raises KeyError for an unknown period.
    """
    if period == "hour":
        return _hour(zone, at)
    first, next_first = _DAYS[period](at.astimezone(zone))
    return _midnight(first.date(), zone), _midnight(next_first.date(), zone)


def range_bounds(first: date, last: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Start (inclusive) and end (exclusive) in UTC of the days from `first` to `last`, both in full, of the zone."""
    return _midnight(first, zone), _midnight(last + timedelta(days=1), zone)


def _day(local: datetime) -> tuple[datetime, datetime]:
    return local, local + timedelta(days=1)


def _week(local: datetime) -> tuple[datetime, datetime]:
    monday = local - timedelta(days=local.weekday())
    return monday, monday + timedelta(days=7)


def _month(local: datetime) -> tuple[datetime, datetime]:
    first = local.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)


_DAYS = {"day": _day, "week": _week, "month": _month}


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    # In a gap (clocks jump from 0:00 to 1:00) fold=0 reads midnight with the offset before the jump, which is the
    # instant of the jump itself; where midnight comes twice it is the first one.
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def _hour(zone: ZoneInfo, at: datetime) -> tuple[datetime, datetime]:
    local = at.astimezone(zone)
    start = at.astimezone(UTC) - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    end = start + timedelta(hours=1)
    # Few zones change their clocks by less than an hour or off the hour; there the window ends at the change.
    offset = local.utcoffset()
    if start.astimezone(zone).utcoffset() != offset:
        start = _change(zone, start, at.astimezone(UTC) + timedelta(microseconds=1))
    if (end - timedelta(microseconds=1)).astimezone(zone).utcoffset() != offset:
        end = _change(zone, at.astimezone(UTC), end)
    return start, end


def _change(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The instant in (low, high] at which the zone's offset becomes that of `high`, to the second."""
    final = (high - timedelta(microseconds=1)).astimezone(zone).utcoffset()
    low, high = low.replace(microsecond=0), high.replace(microsecond=0) + timedelta(seconds=1)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == final:
            high = middle
        else:
            low = middle
    return high
