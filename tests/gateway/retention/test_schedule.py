"""When partitions go: against the rule for single rows, for any times and rules."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.retention.schedule import ends_at, fate, shorter, starts_at

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
KEPT = st.dictionaries(st.sampled_from(["", "a", "b"]), st.integers(1, 60), min_size=1)
SPANS = st.sampled_from([timedelta(days=1), timedelta(days=7)])


def expired(made: datetime, feature: str, now: datetime, keep: dict[str, int]) -> bool:
    days = keep.get(feature, keep.get(""))
    return days is not None and made <= now - timedelta(days=days)


@given(keep=KEPT, span=SPANS, minutes=st.integers(0, 80 * 1440))
def test_a_partition_is_dropped_exactly_when_no_row_in_it_can_be_visible(keep, span, minutes):
    now = MONDAY + timedelta(minutes=minutes)
    first, last = MONDAY, MONDAY + span - timedelta(milliseconds=1)
    found = fate(MONDAY, MONDAY + span, now, keep)
    gone = [expired(made, feature, now, keep) for made in (first, last) for feature in ("a", "b", "other")]
    if found == "drop":
        assert all(gone)
    if found == "keep":
        assert not any(gone)
    # One millisecond of slack: a row made in the last one has expired before the partition's end has.
    if all(expired(MONDAY + span, feature, now, keep) for feature in ("a", "b", "other")) and "" in keep:
        assert found == "drop" or {*keep} >= {"a", "b"}


@given(keep=KEPT, span=SPANS, minutes=st.integers(0, 80 * 1440))
def test_the_times_that_are_told_are_those_at_which_the_fate_changes(keep, span, minutes):
    now = MONDAY + timedelta(minutes=minutes)
    found = fate(MONDAY, MONDAY + span, now, keep)
    assert (found == "keep") == (now < starts_at(MONDAY, keep))
    if "" in keep:
        assert (found == "drop") == (now >= ends_at(MONDAY + span, keep))


@given(calls=KEPT, payloads=KEPT, feature=st.sampled_from(["a", "b", "other"]))
def test_a_payload_is_kept_no_longer_than_its_call(calls, payloads, feature):
    def days(kept):
        return kept.get(feature, kept.get("", 36_500))

    assert days(shorter(payloads, calls)) == min(days(payloads), days(calls))


def test_without_any_rule_nothing_goes():
    assert fate(MONDAY, MONDAY + timedelta(days=1), MONDAY + timedelta(days=9999), {}) == "keep"
