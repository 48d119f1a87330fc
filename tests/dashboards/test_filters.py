"""What an address asks of a dashboard: presets, ranges of one's own, values; what cannot be read is told, and nothing else is lost."""

from datetime import UTC, datetime, timedelta

import pytest
from django.http import QueryDict
from django.utils import timezone

from dashboards.filters import LONGEST_RANGE, MOST_VALUES, NONE, Filters, parse

NOW = datetime(2026, 3, 18, 14, 25, 30, tzinfo=UTC)


def asked(query, now=NOW):
    return parse(QueryDict(query), now)


def at(day, hour=0, month=3):
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    "query, since, before",
    [
        ("", at(12), (at(5), at(11, 15))),
        ("range=today", at(18), (at(17), at(17, 15))),
        ("range=24h", at(17, 15), (at(16, 15), at(17, 15))),
        ("range=7d", at(12), (at(5), at(11, 15))),
        ("range=30d", at(17, month=2), (at(18, month=1), at(16, 15, month=2))),
        ("range=month", at(1), (at(1, month=2), at(18, 15, month=2))),
    ],
)
def test_presets_end_now_and_are_beside_as_long_a_time_before(query, since, before):
    found = asked(query)
    assert (found.filters.since, found.filters.until, found.problems) == (since, NOW, ())
    assert (found.before.since, found.before.until) == before


def test_a_preset_follows_the_reader_s_clock():
    with timezone.override("Asia/Kolkata"):
        found = asked("range=today").filters
    assert found.since == datetime(2026, 3, 17, 18, 30, tzinfo=UTC)


def test_a_range_of_one_s_own_is_widened_to_whole_hours():
    found = asked("range=custom&since=2026-03-01T08:20&until=2026-03-02T10:40&feature=a")
    assert (found.filters.since, found.filters.until) == (at(1, 8), at(2, 11))
    assert (found.before.since, found.before.until) == (at(28, 5, month=2), at(1, 8))
    assert asked("since=2026-03-10").filters.until == NOW
    assert asked(found.query()).filters == found.filters


@pytest.mark.parametrize(
    "query, told",
    [
        ("range=lately", "There is no range “lately”"),
        ("range=custom&since=yesterday", "“yesterday” is no time for “From”"),
        ("range=custom&since=2026-02-30", "“2026-02-30” is no time"),
        ("range=custom&since=0001-01-01", "is no time"),
        ("range=custom&since=2026-03-05&until=2026-03-04", "ends before it begins"),
        ("range=custom&since=2020-01-01", f"at most {LONGEST_RANGE.days} days"),
        ("outcome=sad", "no outcome “sad”"),
        ("label=search", "write name=value"),
        (f"tenant={'x' * 301}", "too long"),
        ("tenant=%00", "too long or no text"),
        ("&".join(f"tenant=t{n}" for n in range(MOST_VALUES + 1)), f"At most {MOST_VALUES} values"),
    ],
)
def test_what_cannot_be_read_is_told_and_the_rest_counts(query, told):
    found = asked(f"{query}&feature=support.reply")
    assert any(told in problem for problem in found.problems), found.problems
    assert found.filters.where["feature"] == ("support.reply",)
    assert timedelta(0) < found.filters.until - found.filters.since <= LONGEST_RANGE


def test_values_come_back_as_they_were():
    query = f"range=30d&feature=a&feature=b&tenant={NONE}&label=team%3Dx+y&user_ref=&model=%C3%A9%26"
    found = asked(query)
    assert found.filters.where == {"feature": ("a", "b"), "tenant": ("",), "label": ("team=x y",), "model": ("é&",)}
    assert asked(found.query()).filters == found.filters
    assert asked(found.without("feature", "a")).filters.where["feature"] == ("b",)
    assert "tenant" not in asked(found.without("tenant", "")).filters.where
    assert asked(found.narrowed(feature="c").query(by="model")).filters.where["feature"] == ("c",)


def test_short_ranges_are_drawn_by_hours():
    assert Filters(NOW - timedelta(days=3), NOW).step == "hour"
    assert Filters(NOW - timedelta(days=3, hours=1), NOW).step == "day"
