"""A digest is due when the clock of its zone says so, whatever clocks do, and tells of whole days."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.digests.schedule import Schedule, in_words

BERLIN = ZoneInfo("Europe/Berlin")


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


def due(schedule, since, count):
    found, at = [], since
    for _ in range(count):
        found.append(at := schedule.after(at))
    return found


def test_a_daily_one_keeps_its_hour_over_changes_of_clocks():
    daily = Schedule(every="day", hour=8, zone=BERLIN)
    assert due(daily, utc(2026, 3, 27, 12), 3) == [utc(2026, 3, 28, 7), utc(2026, 3, 29, 6), utc(2026, 3, 30, 6)]
    assert due(daily, utc(2026, 10, 24), 3) == [utc(2026, 10, 24, 6), utc(2026, 10, 25, 7), utc(2026, 10, 26, 7)]


def test_an_hour_that_clocks_leave_out_or_have_twice_is_once():
    at_two = Schedule(every="day", hour=2, zone=BERLIN)
    assert due(at_two, utc(2026, 3, 28), 3) == [utc(2026, 3, 28, 1), utc(2026, 3, 29, 1), utc(2026, 3, 30, 0)]
    assert due(at_two, utc(2026, 10, 24, 12), 2) == [utc(2026, 10, 25, 0), utc(2026, 10, 26, 1)]


def test_a_weekly_one_is_of_the_seven_days_before():
    weekly = Schedule(every="week", hour=8, zone=BERLIN, weekday=0)
    [at] = due(weekly, utc(2026, 3, 25), 1)
    assert at == utc(2026, 3, 30, 6)
    assert weekly.period(at) == (utc(2026, 3, 22, 23), utc(2026, 3, 29, 22))  # an hour less
    assert in_words(*weekly.period(at), BERLIN) == "23 to 29 March 2026"
    assert weekly.period(utc(2026, 4, 3)) == weekly.period(at)


def test_a_monthly_one_on_a_day_that_few_months_have():
    monthly = Schedule(every="month", hour=0, zone=ZoneInfo("UTC"), day=31)
    assert due(monthly, utc(2026, 1, 31), 4) == [utc(2026, 2, 28), utc(2026, 3, 31), utc(2026, 4, 30), utc(2026, 5, 31)]
    assert monthly.period(utc(2026, 3, 31)) == (utc(2026, 2, 28), utc(2026, 3, 31))
    first = Schedule(every="month", hour=7, zone=ZoneInfo("UTC"))
    assert first.period(utc(2026, 1, 15)) == (utc(2025, 12, 1), utc(2026, 1, 1))


def test_how_often_it_was_due():
    daily = Schedule(every="day", hour=8, zone=BERLIN)
    assert daily.count(utc(2026, 3, 20, 7), utc(2026, 3, 30, 6)) == 10
    assert daily.count(utc(2026, 3, 20, 7), utc(2026, 3, 20, 7)) == 0


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        (utc(2026, 11, 20), utc(2026, 11, 21), "Friday 20 November 2026"),
        (utc(2026, 11, 30), utc(2026, 12, 7), "30 November to 6 December 2026"),
        (utc(2026, 12, 28), utc(2027, 1, 4), "28 December 2026 to 3 January 2027"),
        (utc(2026, 10, 1), utc(2026, 11, 1), "October 2026"),
        (utc(2026, 12, 1), utc(2027, 1, 1), "December 2026"),
    ],
)
def test_days_in_words(since, until, words):
    assert in_words(since, until, ZoneInfo("UTC")) == words


@settings(max_examples=60, deadline=None)
@given(
    every=st.sampled_from(["day", "week", "month"]),
    hour=st.integers(0, 23),
    zone=st.sampled_from(sorted(available_timezones() - {"localtime"})).map(ZoneInfo),
    weekday=st.integers(0, 6),
    day=st.integers(1, 31),
    at=st.datetimes(datetime(2015, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)),
)
def test_any_schedule_is_a_sequence_of_moments(every, hour, zone, weekday, day, at):
    schedule = Schedule(every=every, hour=hour, zone=zone, weekday=weekday, day=day)
    latest, following = schedule.latest(at), schedule.after(at)
    assert latest <= at < following <= at + timedelta(days=33)
    assert (
        schedule.latest(following) == following and schedule.after(following - timedelta(microseconds=1)) == following
    )
    assert schedule.after(latest) == following
    since, until = schedule.period(following)
    assert since < until <= following
    assert until.astimezone(zone).date() == following.astimezone(zone).date() or hour == 23
