"""Windows follow the calendar of their zone and tile time, whatever clocks do."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgets.windows import window_bounds

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
