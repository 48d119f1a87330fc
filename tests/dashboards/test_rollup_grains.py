"""Rollups by hour, day and week: whatever a range is made of, its figures are those of the rows."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from dashboards.filters import Filters
from dashboards.models import RollupState
from dashboards.rollups import TooMuchData, dearest, figures, latencies, query
from dashboards.rollups.build import build, prune, rebuild
from dashboards.rollups.check import differences
from dashboards.rollups.roll import roll
from gateway import privacy
from gateway.models import Adjustment
from gateway.models.calls import uuid7_time
from tests.rollups import count
from tests.rows import make_call

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = timezone.now().replace(minute=0, second=0, microsecond=0)
#: Long ago, by the hours of those that have many values.
OLD = NOW - 20 * DAY


def scattered(number, seed=1):
    """Calls of five weeks, some in the same hour."""
    random = Random(seed)
    at = [NOW - random.randrange(35 * 24) * HOUR for _ in range(number // 2)]
    return [
        make_call(
            at=random.choice(at), tenant=random.choice(["", "acme", "globex"]), user_ref=random.choice("uvw"),
            labels=random.choice([{}, {"a": "1"}]), cost_usd=Decimal(random.randrange(10**9)) / 10**9,
            latency_ms=random.uniform(1, 9000),
        )
        for _ in range(number)
    ]  # fmt: skip


def hours_there():
    with connection.cursor() as cursor:
        cursor.execute("SELECT kind, min(at) FROM tollhouse_rollup WHERE grain = 'hour' GROUP BY 1")
        return dict(cursor.fetchall())


def test_any_range_is_that_of_its_rows(transactional_db):
    calls = scattered(40)
    count()
    # Beside what is counted, some that are not, and a correction of one that is.
    calls += scattered(4, seed=2)
    late = calls[0]
    Adjustment.objects.bulk_create([Adjustment(call_id=late.id, cost_usd=Decimal("0.5"), actor="a", reason="repriced")])
    random = Random(3)
    for number in range(6):
        since = NOW - random.randrange(40 * 24) * HOUR
        filters = Filters(since, since + (random.randrange(24) * HOUR + random.choice([0, 1, 9, 30]) * DAY or HOUR))
        among = [call for call in calls if filters.since <= uuid7_time(call.id) < filters.until]
        for by in ("tenant", "user_ref"):
            usd, seen = Counter(), Counter()
            for call in among:
                usd[getattr(call, by)] += call.cost_usd + (Decimal("0.5") if call is late else 0)
                seen[getattr(call, by)] += 1
            for step in (None, "day", "hour"):
                found = Counter()
                for one in figures(filters, (by,), step):
                    found[one.values[0]] += one.cost_usd
                assert found == usd, (number, by, step)
            ordered = sorted(seen, key=lambda value: (-usd[value], -seen[value], value))
            assert dearest(filters, by, 2) == (ordered[:2], len(seen))
        assert latencies(filters, ("latency",)).whole("latency").calls == len(among)
    count()
    assert not differences()


def test_single_hours_of_many_values_are_kept_for_some_days(transactional_db, monkeypatch):
    for at in (OLD, OLD + HOUR, OLD + HOUR, NOW - DAY):
        make_call(at=at, tenant="acme", cost_usd=Decimal(1))
    count()
    kept = RollupState.objects.get().hours_since
    assert hours_there()["core"] == OLD and min(hours_there()[kind] for kind in ("tenant", "user")) >= kept
    # As if they had been counted when they were new, and then been kept for long enough.
    RollupState.objects.update(hours_since=datetime(2020, 1, 1, tzinfo=UTC))
    call_command("rollups", "rebuild")
    assert hours_there()["tenant"] == OLD
    prune()
    assert RollupState.objects.get().hours_since == kept and hours_there()["tenant"] >= kept
    assert hours_there()["core"] == OLD and not differences()
    # An hour of then is read from its calls, a day from its sum.
    one_hour, one_day = Filters(OLD + HOUR, OLD + 2 * HOUR), Filters(OLD - DAY, OLD + 2 * DAY)
    assert [one.calls for one in figures(one_hour, ("tenant",))] == [2]
    assert [one.calls for one in figures(one_hour.only(tenant="acme"), step="hour")] == [2]
    monkeypatch.setattr(query, "MOST_CALLS", 1)
    with pytest.raises(TooMuchData, match="single hours for the last 8 days"):
        figures(one_hour, ("tenant",))
    monkeypatch.setattr(query, "MOST_CALLS", 0)
    assert sum(one.calls for one in figures(_whole_days(one_day), ("tenant",))) == 3


def _whole_days(filters):
    since, until = (timezone.localtime(at).replace(hour=0) for at in (filters.since, filters.until))
    return Filters(since, until)


@pytest.mark.parametrize("weekday", [0, 6])
def test_sums_of_days_of_another_time_zone_do_not_stay(transactional_db, settings, weekday):
    """The oldest call is of the next day by the new zone's clock, and of the next week where it is Sunday."""
    midnight = NOW.replace(hour=0) - 21 * DAY
    at = midnight + (weekday - midnight.weekday()) * DAY + timedelta(hours=23, minutes=30)
    make_call(at=at, tenant="acme", cost_usd=Decimal(1))
    count()
    settings.TIME_ZONE = "Europe/Berlin"
    count()
    for step in (None, "day"):
        found = figures(Filters(NOW - 40 * DAY, NOW), ("tenant",), step)
        assert [(one.values, one.calls, one.cost_usd) for one in found] == [(("acme",), 1, 1)]
    assert not differences()


def test_days_and_weeks_follow_the_time_zone(transactional_db, settings):
    calls = scattered(12)
    count()
    settings.TIME_ZONE = "Europe/Berlin"
    count()
    everything = Filters(NOW - 40 * DAY, NOW + 2 * HOUR)
    assert {one.at.astimezone(UTC).hour for one in figures(everything, step="day")} <= {22, 23}
    for by in ((), ("tenant",), ("user_ref",)):
        assert sum(one.cost_usd for one in figures(everything, by)) == sum(call.cost_usd for call in calls)
    assert not differences()


def test_processes_that_have_another_time_zone_spoil_nothing(transactional_db, settings):
    settings.TIME_ZONE = "UTC"
    # By the clock of New York both are of the day before.
    first, _ = (make_call(at=NOW.replace(hour=2) - n * DAY, user_ref="ann") for n in (2, 1))
    count()
    settings.TIME_ZONE = "America/New_York"
    count()
    # A worker that was not started anew yet goes on with what it was at, and a page erases somebody.
    settings.TIME_ZONE = "UTC"
    make_call(at=uuid7_time(first.id))
    assert not roll() and build().days == 0
    with pytest.raises(ValueError, match="days of America/New_York"):
        differences()
    with pytest.raises(ValueError, match="the worker does it"):
        rebuild(None)
    privacy.erase("ann", actor="dpo", reason="r")
    settings.TIME_ZONE = "America/New_York"
    count()
    assert not differences()
