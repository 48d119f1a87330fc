"""An outage of a target is one alert, that ends when a probe finds the target well."""

import asyncio
import time
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.test import override_settings
from django.utils import timezone

import gateway
from budgets.models import Alert
from gateway import errors
from gateway.ledger.database import connection_parameters
from gateway.trips import Trips
from tests.world import World

pytestmark = pytest.mark.django_db(transaction=True)


async def write(*notes):
    """Writes these notes as so many processes would."""
    for target, is_open in notes:
        trips = Trips(await sync_to_async(connection_parameters)())
        trips.note(target, is_open)
        await trips.close()


def test_every_process_sees_the_outage_and_it_is_one_alert():
    asyncio.run(write(*[("mock/a", True)] * 3, ("mock/b", True)))
    alerts = {alert.detail["target"]: alert for alert in Alert.objects.filter(kind="breaker", resolved_at=None)}
    assert set(alerts) == {"mock/a", "mock/b"} and Alert.objects.count() == 2
    asyncio.run(write(("mock/a", False), ("mock/a", False)))
    ended = Alert.objects.get(resolved_at__isnull=False)
    assert ended.detail == {"target": "mock/a"} and ended.resolution == "The target answers again."


def test_an_outage_over_the_turn_of_an_hour_is_one_alert_that_lasts():
    asyncio.run(write(("mock/a", True)))
    earlier = timezone.now() - timedelta(hours=2)
    Alert.objects.update(dedup_key="breaker:mock/a:earlier", created_at=earlier, ends_at=earlier)
    asyncio.run(write(("mock/a", True)))
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


def test_a_database_that_is_away_stops_no_call():
    async def scenario():
        trips = Trips({"host": "127.0.0.1", "port": 1, "connect_timeout": 1})
        trips.note("mock/a", True)
        await trips.close()

    asyncio.run(scenario())
    assert not Alert.objects.exists()
