"""What is told of breakers: of the processes that live, of each target one state, and its trips."""

from datetime import timedelta

import pytest
from django.utils import timezone
from uuid_utils.compat import uuid7

from gateway.breakers import alive, breakers
from gateway.models import BreakerTrip, Owner

pytestmark = pytest.mark.django_db
HOUR = 3600


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def trip(now):
    """Makes a trip that opened, lets a probe through and closed so many seconds ago."""

    def make(process, model="m", *, opened=60, retry=-HOUR, closed=None, **values):
        moments = {"opened_at": opened, "retry_at": retry, "closed_at": closed}
        moments = {name: None if ago is None else now - timedelta(seconds=ago) for name, ago in moments.items()}
        defaults = {"provider": "p", "failures": 5, "error_class": "ProviderError", "http_status": 503}
        return BreakerTrip.objects.create(id=uuid7(), process=process, model=model, **{**defaults, **moments, **values})

    return make


def process(*, silent_s=-HOUR):
    """A process that was seen so long ago; one that lives does for the whole test, however long that takes."""
    return Owner.objects.bulk_create(
        [Owner(id=uuid7(), host="h", pid=1, seen_at=timezone.now() - timedelta(seconds=silent_s))]
    )[0].pk


def test_a_breaker_is_what_it_is_in_the_processes_that_live(now, trip):
    one, other, dead = process(), process(), process(silent_s=HOUR)
    trip(one, "open", failed_probes=2)
    trip(other, "open", opened=90, retry=5)
    trip(one, "half", opened=90, retry=30, http_status=None, error_class="ProviderTimeout")
    trip(one, "well", opened=500, closed=400)
    trip(one, "well", opened=300, closed=200)
    trip(dead, "orphan")
    trip(one, "long ago", opened=2 * HOUR, closed=HOUR + 100)
    # Servers of other tests may live, too.
    assert {one, other} <= set(alive().values_list("pk", flat=True)) and not alive().filter(pk=dead).exists()
    targets = [("p", "never"), ("p", "long ago")]
    found = {one.model: one for one in breakers(targets, now - timedelta(seconds=HOUR), now)}
    assert {name: (one.state, one.processes, one.trips) for name, one in found.items()} == {
        "open": ("open", 2, 2), "half": ("half open", 1, 1), "well": ("closed", 0, 2), "orphan": ("closed", 0, 1),
        "never": ("closed", 0, 0), "long ago": ("closed", 0, 0),
    }  # fmt: skip
    assert list(found)[:3] == ["open", "half", "well"], "what is worst comes first"
    ago = {name: one.since and round((now - one.since).total_seconds()) for name, one in found.items()}
    assert ago == {"open": 90, "half": 30, "well": 200, "orphan": None, "never": None, "long ago": HOUR + 100}
    assert found["open"].retry_at == now + timedelta(seconds=HOUR) and found["half"].retry_at is None
    assert (
        found["open"].why == "5 failures in a row, the last: ProviderError with status 503. Since then 2 probes failed."
    )
    assert found["half"].why == (
        "5 failures in a row, the last: ProviderTimeout. The next call is let through as a probe."
    )
    assert found["well"].why == "A probe found it well." and found["never"].why == ""
    assert found["orphan"].why == "The process that left it alone has ended."
