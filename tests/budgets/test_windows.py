"""Windows follow the calendar of their zone and tile time, whatever clocks do."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgets.windows import range_bounds, window_bounds

ZONES = sorted(available_timezones())
moments = st.datetimes(datetime(2000, 1, 1), datetime(2037, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))


@given(st.sampled_from(["hour", "day", "week", "month"]), st.sampled_from(ZONES).map(ZoneInfo), moments)
def test_windows_tile_time(period, zone, at):
    start, end = window_bounds(period, zone, at)
    assert start <= at < end
    assert window_bounds(period, zone, start) == (start, end)
    assert window_bounds(period, zone, end - timedelta(microseconds=1)) == (start, end)
    assert window_bounds(period, zone, end)[0] == end


@given(st.sampled_from(["day", "week", "month"]), st.sampled_from(ZONES).map(ZoneInfo), moments)
def test_days_weeks_and_months_begin_at_the_zone_s_midnight(period, zone, at):
    start, _ = window_bounds(period, zone, at)
    local, before = start.astimezone(zone), (start - timedelta(seconds=1)).astimezone(zone)
    assert local.date() > before.date()
    if period == "week":
        assert local.weekday() == 0
    if period == "month":
        assert local.day == 1 or local.date() > before.date()


@pytest.mark.parametrize(
    "period, zone, at, start, hours",
    [
        ("day", "Europe/Paris", "2026-03-29T12:00", "2026-03-28T23:00", 23),
        ("day", "Europe/Paris", "2026-10-25T12:00", "2026-10-24T22:00", 25),
        ("day", "America/Sao_Paulo", "2018-11-04T12:00", "2018-11-04T03:00", 23),
        ("hour", "Europe/Paris", "2026-10-25T00:30", "2026-10-25T00:00", 1),
        ("hour", "Europe/Paris", "2026-10-25T01:30", "2026-10-25T01:00", 1),
        ("hour", "Asia/Kathmandu", "2026-01-01T00:20", "2026-01-01T00:15", 1),
        ("month", "UTC", "2026-02-15T00:00", "2026-02-01T00:00", 28 * 24),
        ("week", "UTC", "2026-11-22T23:00", "2026-11-16T00:00", 7 * 24),
    ],
)
def test_clock_changes(period, zone, at, start, hours):
    found = window_bounds(period, ZoneInfo(zone), datetime.fromisoformat(at).replace(tzinfo=UTC))
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert found == (begin, begin + timedelta(hours=hours))


#: Where clocks change twice a year, on different days, and once at a time of day that is no whole hour of UTC.
CHANGING = ("Europe/London", "America/New_York", "Australia/Lord_Howe")


def changes(zone, year):
    """The moments of a year, to the minute, at which the zone's clocks change."""
    at, found = datetime(year, 1, 1, tzinfo=UTC), []
    while at.year == year:
        after = at + timedelta(hours=1)
        if at.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            found.append(next(t for t in (at + timedelta(minutes=m) for m in range(61))
                              if t.astimezone(zone).utcoffset() == after.astimezone(zone).utcoffset()))  # fmt: skip
        at = after
    return found


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("year", [2024, 2026])
def test_walking_through_a_clock_change_meets_every_moment_once(name, year):
    zone = ZoneInfo(name)
    found = changes(zone, year)
    assert len(found) == 2
    for moment in found:
        for period in ("hour", "day", "week", "month"):
            at, end = moment - timedelta(days=3), moment + timedelta(days=3)
            starts = []
            while at < end:
                start, at = window_bounds(period, zone, at)
                starts.append(start)
                assert window_bounds(period, zone, at)[0] == at
            assert len(set(starts)) == len(starts)
            if period == "day":
                assert {at.astimezone(zone).hour for at in starts} == {0}


edges = st.sampled_from(
    [f"{year}-{day}T{time}" for year in (2000, 2023, 2024, 2100) for time in ("00:00:00", "23:59:59.999999", "12:00:00")
     for day in ("01-01", "01-31", "02-28", "03-01", "04-30", "12-31")]
    + [f"{year}-02-29T{time}" for year in (2000, 2024) for time in ("00:00:00", "23:59:59.999999")]
)  # fmt: skip


@given(edges, st.sampled_from(["hour", "day", "week", "month"]), st.sampled_from(CHANGING).map(ZoneInfo))
def test_month_ends_and_leap_days_are_in_one_window_of_the_zone_s_calendar(text, period, zone):
    local = datetime.fromisoformat(text).replace(tzinfo=zone)
    start, end = window_bounds(period, zone, local.astimezone(UTC))
    first, last = start.astimezone(zone), (end - timedelta(microseconds=1)).astimezone(zone)
    assert start <= local < end
    match period:
        case "day":
            assert first.date() == last.date() == local.date()
        case "month":
            assert (first.day, first.month, last.month) == (1, local.month, local.month)
            assert (last + timedelta(days=1)).day == 1
        case "week":
            assert (first.weekday(), last.weekday()) == (0, 6)


days = st.dates(date(1971, 1, 1), date(2998, 1, 1))


@given(days, st.integers(0, 800), st.integers(1, 800), st.sampled_from(ZONES).map(ZoneInfo))
def test_ranges_that_follow_each_other_tile_time_as_days_do(first, length, next_length, zone):
    last = first + timedelta(days=length)
    start, end = range_bounds(first, last, zone)
    assert start < end
    assert range_bounds(last + timedelta(days=1), last + timedelta(days=next_length), zone)[0] == end
    assert start.astimezone(zone).date() == first or start.astimezone(zone).date() == first + timedelta(days=1)
    assert start == range_bounds(first, first, zone)[0] and end == range_bounds(last, last, zone)[1]


@given(
    moments,
    st.sampled_from(["hour", "day", "week", "month"]),
    st.lists(st.sampled_from(ZONES).map(ZoneInfo), min_size=2, max_size=2),
)
def test_a_zone_changed_in_mid_window_leaves_no_moment_without_a_window(at, period, zones):
    """The open window ends at the change; the next one of the new calendar holds that moment, and may begin before it."""
    (start, _), (after, end) = (window_bounds(period, zone, at) for zone in zones)
    assert start <= at < end and after <= at
    assert at - start < timedelta(days=32) and at - after < timedelta(days=32)
