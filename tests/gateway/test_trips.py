"""An outage of a target is one alert, that ends when a probe finds the target well."""

import asyncio
import time
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.test import override_settings
from django.utils import timezone
from uuid_utils.compat import uuid7

import gateway
from budgets.models import Alert
from gateway import errors
from gateway.catalog import ProviderInfo, TargetInfo
from gateway.health import Moved
from gateway.ledger.database import connection_parameters
from gateway.models import BreakerTrip, Meter
from gateway.providers import KINDS
from gateway.telemetry import prometheus, store
from gateway.trips import Trips
from tests.world import World

pytestmark = pytest.mark.django_db(transaction=True)


def moved(model, *, open_s, status=503):
    provider = ProviderInfo(
        name="mock",
        adapter=KINDS["sandbox"],
        base_url="",
        price_provider="mock",
        api_key="",
        options={},
        max_concurrent=None,
    )
    error = None if open_s is None else errors.ProviderError("x", transient=True, billable=False, status=status)
    return Moved(target=TargetInfo(provider=provider, model=model), failures=5, open_s=open_s, error=error)


async def write(*processes):
    """Writes what each of so many processes saw, one after the other."""
    for seen in processes:
        trips = Trips(await sync_to_async(connection_parameters)(), uuid7())
        for one in seen:
            trips.note(one)
            # Some of it alone, some together.
            await asyncio.sleep(0)
        await trips.close()


def test_every_process_sees_the_outage_and_it_is_one_alert():
    opened, closed = moved("a", open_s=15), moved("a", open_s=None)
    asyncio.run(write([opened], [opened], [opened, moved("b", open_s=15)]))
    alerts = {alert.detail["target"]: alert for alert in Alert.objects.filter(kind="breaker", resolved_at=None)}
    assert set(alerts) == {"mock/a", "mock/b"} and Alert.objects.count() == 2
    asyncio.run(write([opened, closed], [closed]))
    ended = Alert.objects.get(resolved_at__isnull=False)
    assert ended.detail == {"target": "mock/a"} and ended.resolution == "The target answers again."


def test_each_opening_in_each_process_is_a_trip_with_its_end():
    steps = [
        moved("a", open_s=15),
        moved("a", open_s=30, status=None),
        moved("a", open_s=None),
        moved("a", open_s=None),
    ]
    asyncio.run(write([*steps, moved("a", open_s=15)], steps[:2]))
    first, second, other = BreakerTrip.objects.order_by("id")
    assert first.process == second.process != other.process
    assert (first.provider, first.model, first.failures, first.failed_probes) == ("mock", "a", 5, 1)
    assert first.opened_at <= first.closed_at <= timezone.now() and second.closed_at is other.closed_at is None
    assert (second.http_status, other.http_status, other.error_class) == (503, None, "ProviderError")
    assert timedelta(seconds=25) < other.retry_at - other.opened_at < timedelta(seconds=40)


@override_settings(TOLLHOUSE={"METRICS_TOKEN": "a secret for Prometheus alone"})
def test_each_opening_is_counted_once_however_often_its_row_is_written():
    store.store.write()
    Meter.objects.all().delete()
    steps = [moved("a", open_s=15), moved("a", open_s=30), moved("a", open_s=None)]
    asyncio.run(write([*steps, moved("a", open_s=15)], steps, [moved("b", open_s=15)]))
    assert BreakerTrip.objects.count() == 4
    told = prometheus.page().splitlines()
    assert 'tollhouse_breaker_trips_total{tollhouse_target="mock/a"} 3' in told
    assert 'tollhouse_breaker_trips_total{tollhouse_target="mock/b"} 1' in told


def test_an_outage_over_the_turn_of_an_hour_is_one_alert_that_lasts():
    asyncio.run(write([moved("a", open_s=15)]))
    earlier = timezone.now() - timedelta(hours=2)
    Alert.objects.update(dedup_key="breaker:mock/a:earlier", created_at=earlier, ends_at=earlier)
    asyncio.run(write([moved("a", open_s=15)]))
    assert Alert.objects.get().ends_at > timezone.now()


def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@override_settings(TOLLHOUSE={"ALLOW_PRIVATE_UPSTREAMS": True, "BREAKER_FAILURES": 1, "BREAKER_OPEN_S": 0.05})
def test_a_call_that_fails_opens_it_and_a_probe_that_passes_ends_it(world: World):
    world.feature("f", "flaky:trips")

    def passes():
        try:
            gateway.complete("f", messages=[{"role": "user", "content": "hello"}])
        except errors.ProviderError:
            return False
        return True

    assert not passes()
    until(Alert.objects.exists)
    alert = Alert.objects.get()
    assert (alert.kind, alert.severity, alert.detail) == ("breaker", "warning", {"target": "mock/flaky:trips"})
    assert alert.resolved_at is None and alert.ends_at > timezone.now()
    until(passes)
    until(Alert.objects.filter(resolved_at__isnull=False).exists)
    trips = list(BreakerTrip.objects.all())
    assert {(trip.provider, trip.model) for trip in trips} == {("mock", "flaky:trips")} and trips[-1].closed_at


def test_a_database_that_is_away_stops_no_call():
    async def scenario():
        trips = Trips({"host": "127.0.0.1", "port": 1, "connect_timeout": 1}, uuid7())
        trips.note(moved("a", open_s=15))
        await trips.close()

    asyncio.run(scenario())
    assert not Alert.objects.exists()
