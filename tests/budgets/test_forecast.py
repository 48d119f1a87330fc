"""The method of forecasts: what must hold for any window, and how often the end lies within the interval."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from budgets.forecast import Clock, Curve, curve, forecast, weekday_weights
from budgets.windows import window_bounds

AMOUNTS = st.floats(0.001, 1e6)
SHARES = st.floats(0, 1)


@st.composite
def curves(draw):
    times = sorted(draw(st.lists(st.floats(0.01, 0.99), max_size=8, unique=True)))
    shares = sorted(draw(st.lists(SHARES, min_size=len(times), max_size=len(times))))
    return Curve(times=(0.0, *times, 1.0), shares=(0.0, *shares, 1.0), total=draw(AMOUNTS))


CASES = {
    "spent": AMOUNTS,
    "elapsed": SHARES,
    "steps": st.integers(0, 48),
    "limit": AMOUNTS,
    "earlier": st.lists(curves(), max_size=4),
}


@given(**CASES)
def test_a_forecast_is_never_below_what_is_spent_and_lies_in_its_interval(**case):
    made = forecast(**case)
    assume(made)
    assert case["spent"] <= made.low <= made.expected <= made.high
    if made.runs_out is None:
        assert made.expected <= case["limit"] and case["spent"] < case["limit"]
    else:
        assert case["elapsed"] <= made.runs_out <= 1
        assert max(made.expected, case["spent"]) >= case["limit"]


@given(more=AMOUNTS, **CASES)
def test_who_has_spent_more_is_expected_to_end_higher_and_to_run_out_sooner(more, **case):
    lower, higher = forecast(**case), forecast(**{**case, "spent": case["spent"] + more})
    assume(lower and higher)
    assert higher.expected >= lower.expected
    if lower.runs_out is not None:
        assert higher.runs_out is not None and higher.runs_out <= lower.runs_out + 1e-9


@given(more=AMOUNTS, **CASES)
def test_a_higher_limit_runs_out_later_and_changes_nothing_else(more, **case):
    lower, higher = forecast(**case), forecast(**{**case, "limit": case["limit"] + more})
    assume(lower and higher)
    assert (lower.expected, lower.low, lower.high) == (higher.expected, higher.low, higher.high)
    if higher.runs_out is not None:
        assert lower.runs_out is not None and lower.runs_out <= higher.runs_out + 1e-9


def test_without_earlier_windows_it_is_the_pace():
    made = forecast(spent=10, elapsed=0.25, steps=10, limit=20)
    assert made.expected == pytest.approx(40)
    assert made.runs_out == pytest.approx(0.5)
    assert made.low < 40 < made.high


def test_the_profile_of_earlier_days_tells_a_quiet_night_from_a_busy_day():
    """Nine tenths are spent in the second half: at noon a tenth is no reason to expect only two tenths."""
    day = curve([(0.5, 10.0), (0.75, 55.0)], 100.0)
    made = forecast(spent=10, elapsed=0.5, steps=20, limit=80, earlier=[day] * 4)
    assert 60 < made.expected < 110
    assert made.runs_out is not None and made.runs_out > 0.75


def test_a_day_that_runs_far_ahead_of_the_others_is_believed_soon():
    usual = [curve([(t / 10, t / 10 * total) for t in range(1, 10)], total) for total in (8.0, 10.0, 12.0, 10.0)]
    made = forecast(spent=12, elapsed=0.25, steps=12, limit=25, earlier=usual)
    assert made.expected > 20


def test_little_data_is_too_early_and_a_full_window_never_is():
    assert forecast(spent=1, elapsed=0.5, steps=2, limit=10) is None
    assert forecast(spent=1, elapsed=0.01, steps=30, limit=10) is None
    assert forecast(spent=10, elapsed=0.01, steps=1, limit=10).runs_out == 0.01
    usual = [curve([(0.5, 5.0)], 10.0)] * 2
    assert forecast(spent=1, elapsed=0.1, steps=1, limit=10, earlier=usual) is not None


@pytest.mark.parametrize(("earlier", "least", "most"), [(4, 0.75, 0.97), (2, 0.75, 0.99), (0, 0.5, 0.97)])
def test_the_end_lies_within_the_interval_about_as_often_as_it_says(earlier, least, most):
    """Days with quiet nights, whose level and profile differ at random, seen at a random moment. 80% is meant; the pace
    alone does not know of nights."""
    dice = random.Random(5)

    def day():
        calls = [
            (min(0.999, max(0.001, dice.gauss(0.6, 0.18))), dice.expovariate(1))
            for _ in range(round(200 * dice.lognormvariate(0, 0.3)))
        ]
        points, spent = [], 0.0
        for at, cost in sorted(calls):
            spent += cost
            points.append((at, spent))
        return points, spent

    inside = []
    for _ in range(300):
        usual = [curve(points[::8], total) for points, total in (day() for _ in range(earlier))]
        points, total = day()
        now = dice.uniform(0.2, 0.9)
        before = [spent for at, spent in points if at <= now]
        steps = min(len(before), round(48 * now))
        if made := forecast(spent=max(before, default=0.0), elapsed=now, steps=steps, limit=1e9, earlier=usual):
            inside.append(made.low <= total <= made.high)
    assert len(inside) > 200 and least <= sum(inside) / len(inside) <= most


@given(
    st.sampled_from(["day", "week", "month"]),
    st.sampled_from(["Europe/London", "America/New_York", "UTC", "Australia/Lord_Howe"]),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
    st.lists(st.floats(0.05, 5), min_size=7, max_size=7),
)
def test_a_clock_runs_forward_from_none_to_all_whatever_the_clocks_do(period, zone, at, weights):
    zone = ZoneInfo(zone)
    starts, ends = window_bounds(period, zone, at)
    for clock in (Clock(starts, ends, zone), Clock(starts, ends, zone, tuple(weights))):
        moments = [starts + (ends - starts) * n / 20 for n in range(21)]
        found = [clock.elapsed(moment) for moment in moments]
        assert found[0] == 0 and found[-1] == pytest.approx(1)
        assert all(a < b for a, b in pairwise(found))
        assert clock.elapsed(ends + timedelta(days=1)) == pytest.approx(1)
        assert abs(clock.moment(clock.elapsed(moments[7])) - moments[7]) < timedelta(minutes=1)


def test_a_day_of_25_hours_is_half_over_after_twelve_and_a_half_of_them_in_any_zone():
    zone = ZoneInfo("Europe/London")
    starts, ends = window_bounds("day", zone, datetime(2026, 10, 25, 12, tzinfo=UTC))
    assert ends - starts == timedelta(hours=25)
    half = starts + timedelta(hours=12, minutes=30)
    assert Clock(starts, ends, zone).elapsed(half) == Clock(starts, ends, ZoneInfo("Asia/Tokyo")).elapsed(half) == 0.5


def test_a_month_is_read_by_its_weekdays():
    zone = ZoneInfo("Europe/London")
    monday = datetime(2026, 6, 1, tzinfo=zone)
    days = [(monday + timedelta(days=n), monday + timedelta(days=n + 1), 0.0 if n % 7 > 4 else 10.0) for n in range(28)]
    weights = weekday_weights(days, zone)
    assert weights == pytest.approx((1.4,) * 5 + (0.05,) * 2)
    assert weekday_weights([], zone) is None
    starts, ends = window_bounds("month", zone, datetime(2026, 8, 15, tzinfo=UTC))  # begins on a Saturday
    weighed = Clock(starts, ends, zone, weights).elapsed(starts + timedelta(days=2))
    assert weighed < 0.01 < Clock(starts, ends, zone).elapsed(starts + timedelta(days=2))
