"""Routes in order, and quiet hours on clocks that change."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgets.routing import Quiet, Route, choose

LONDON, NEW_YORK = ZoneInfo("Europe/London"), ZoneInfo("America/New_York")
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
NIGHT = Quiet(start=time(22), end=time(7), zone=ZoneInfo("UTC"), breaks_through="critical")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def chosen(routes, *, when=NOON, **given):
    alert = {"kind": "budget_threshold", "severity": "warning", "feature": "support.reply", "tenant": "acme", **given}
    return choose(routes, at=when, **alert)


def test_the_first_route_that_matches_decides():
    routes = [
        Route(severity="critical", channels=(1,)),
        Route(severity="info", features=("support.*",), channels=(2,)),
        Route(severity="info", channels=(3,)),
    ]
    assert chosen(routes) == {2: None}
    assert chosen(routes, severity="critical") == {1: None}
    assert chosen(routes, feature="search") == {3: None}


def test_a_route_that_goes_on_adds_to_those_after_it():
    routes = [Route(severity="info", channels=(1, 2), goes_on=True), Route(severity="info", channels=(2, 3))]
    assert chosen(routes) == {1: None, 2: None, 3: None}


@pytest.mark.parametrize(
    ("severity", "least", "matches"),
    [("info", "info", True), ("info", "warning", False), ("warning", "warning", True), ("critical", "warning", True)],
)
def test_a_route_takes_its_severity_and_worse(severity, least, matches):
    assert bool(chosen([Route(severity=least, channels=(1,))], severity=severity)) is matches


@pytest.mark.parametrize(
    ("globs", "matches"),
    [
        ({"kinds": ("budget_*",)}, True), ({"kinds": ("lost", "budget_threshold")}, True), ({"kinds": ("lost",)}, False),
        ({"features": ("support.*",)}, True), ({"features": ("Support.*",)}, False), ({"tenants": ("acme",)}, True),
        ({"tenants": ("ac",)}, False), ({"tenants": ("acme",), "features": ("search",)}, False),
    ],
)  # fmt: skip
def test_every_list_of_globs_must_match(globs, matches):
    assert bool(chosen([Route(severity="info", channels=(1,), **globs)])) is matches


def test_an_alert_without_a_feature_is_not_of_those_that_are_named():
    assert chosen([Route(severity="info", features=("support.*",), channels=(1,))], feature="") == {}
    assert chosen([Route(severity="info", features=("*",), channels=(1,))], feature="") == {1: None}


def test_quiet_hours_hold_back_what_does_not_break_through():
    route = Route(severity="info", channels=(1,), quiet=NIGHT)
    assert chosen([route], when=at("2026-05-04T23:00")) == {1: at("2026-05-05T07:00")}
    assert chosen([route], when=at("2026-05-05T06:59:59")) == {1: at("2026-05-05T07:00")}
    assert chosen([route], when=at("2026-05-05T07:00")) == {1: None}
    assert chosen([route], when=at("2026-05-04T23:00"), severity="critical") == {1: None}


def test_a_channel_of_two_routes_waits_for_the_shorter_time():
    quiet = Route(severity="info", channels=(1,), quiet=NIGHT, goes_on=True)
    night = at("2026-05-04T23:00")
    assert chosen([quiet, Route(severity="info", channels=(1,))], when=night) == {1: None}
    early = Quiet(start=time(22), end=time(5), zone=ZoneInfo("UTC"), breaks_through="")
    assert chosen([quiet, Route(severity="info", channels=(1,), quiet=early)], when=night) == {
        1: at("2026-05-05T05:00")
    }


@pytest.mark.parametrize(
    ("zone", "start", "end", "when", "until"),
    [
        # Clocks in London go forward at 01:00 UTC on 29 March 2026, from 01:00 to 02:00.
        (LONDON, "22:00", "07:00", "2026-03-28T23:00", "2026-03-29T06:00"),
        # An end in the gap: 01:30 does not exist that day, so it is half an hour after the clocks changed.
        (LONDON, "22:00", "01:30", "2026-03-28T23:00", "2026-03-29T01:30"),
        (LONDON, "22:00", "01:30", "2026-03-29T01:00", None),
        # Back at 01:00 UTC on 25 October 2026, from 02:00 to 01:00: half past one comes twice.
        (LONDON, "22:00", "07:00", "2026-10-24T22:30", "2026-10-25T07:00"),
        (LONDON, "22:00", "01:30", "2026-10-24T22:30", "2026-10-25T00:30"),
        (LONDON, "22:00", "01:30", "2026-10-25T00:45", None),
        (LONDON, "22:00", "01:30", "2026-10-25T01:15", "2026-10-25T01:30"),
        # New York: forward at 07:00 UTC on 8 March, back at 06:00 UTC on 1 November 2026.
        (NEW_YORK, "22:00", "07:00", "2026-03-08T04:00", "2026-03-08T11:00"),
        (NEW_YORK, "22:00", "07:00", "2026-11-01T03:00", "2026-11-01T12:00"),
        (NEW_YORK, "12:00", "13:00", "2026-07-01T16:30", "2026-07-01T17:00"),
        (NEW_YORK, "12:00", "13:00", "2026-07-01T12:30", None),
    ],
)
def test_quiet_hours_follow_the_clocks_of_their_zone(zone, start, end, when, until):
    quiet = Quiet(start=time.fromisoformat(start), end=time.fromisoformat(end), zone=zone, breaks_through="")
    assert quiet.until(at(when)) == (until and at(until))


@given(
    start=st.times(), end=st.times(), zone=st.sampled_from([LONDON, NEW_YORK, ZoneInfo("Australia/Lord_Howe")]),
    when=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
)  # fmt: skip
def test_quiet_hours_always_end_within_a_day_or_so(start, end, zone, when):
    if start == end:
        return
    until = Quiet(start=start, end=end, zone=zone, breaks_through="").until(when)
    assert until is None or when < until <= when + timedelta(hours=25)
