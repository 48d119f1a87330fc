"""What is told of breakers: of the processes that live, of each target one state, and its trips."""

from datetime import timedelta

import pytest
from django.utils import timezone
from uuid_utils.compat import uuid7

from gateway.breakers import alive, breakers
from gateway.models import BreakerTrip, Owner

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def process(*, silent_s=0):
    return Owner.objects.bulk_create(
        [Owner(id=uuid7(), host="h", pid=1, seen_at=timezone.now() - timedelta(seconds=silent_s))]
    )[0].pk


def trip(process, model="m", *, opened=60, retry=-60, closed=None, **values):
    """A trip that opened, lets a probe through and closed so many seconds ago."""
    moments = {"opened_at": opened, "retry_at": retry, "closed_at": closed}
    moments = {name: None if ago is None else NOW - timedelta(seconds=ago) for name, ago in moments.items()}
    defaults = {"provider": "p", "failures": 5, "error_class": "ProviderError", "http_status": 503}
    return BreakerTrip.objects.create(id=uuid7(), process=process, model=model, **{**defaults, **moments, **values})


def told(*targets):
    return {one.model: one for one in breakers([("p", target) for target in targets], NOW - timedelta(hours=1), NOW)}


def test_a_breaker_is_what_it_is_in_the_processes_that_live():
    one, other, dead = process(), process(), process(silent_s=3600)
    trip(one, "open", failed_probes=2)
    trip(other, "open", opened=90, retry=5)
    trip(one, "half", opened=90, retry=30, http_status=None, error_class="ProviderTimeout")
    trip(one, "well", opened=500, closed=400)
    trip(one, "well", opened=300, closed=200)
    trip(dead, "orphan")
    trip(one, "long ago", opened=7200, closed=7100)
    assert alive().count() == 2
    found = told("never", "long ago")
    assert {name: (one.state, one.processes, one.trips) for name, one in found.items()} == {
        "open": ("open", 2, 2), "half": ("half open", 1, 1), "well": ("closed", 0, 2), "orphan": ("closed", 0, 1),
        "never": ("closed", 0, 0), "long ago": ("closed", 0, 0),
    }  # fmt: skip
    assert list(found)[:3] == ["open", "half", "well"], "what is worst comes first"
    ago = {name: one.since and round((NOW - one.since).total_seconds()) for name, one in found.items()}
    assert ago == {"open": 90, "half": 30, "well": 200, "orphan": None, "never": None, "long ago": 7100}
    assert found["open"].retry_at == NOW + timedelta(seconds=60) and found["half"].retry_at is None
    assert (
        found["open"].why == "5 failures in a row, the last: ProviderError with status 503. Since then 2 probes failed."
    )
    assert found["half"].why == (
        "5 failures in a row, the last: ProviderTimeout. The next call is let through as a probe."
    )
    assert found["well"].why == "A probe found it well." and found["never"].why == ""
    assert found["orphan"].why == "The process that left it alone has ended."
