"""How a process gives way."""

import resource
import signal
import time

import pytest

from redaction.yielding import taking_turns


@pytest.fixture(autouse=True)
def _alarm():
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.signal(signal.SIGALRM, before)


def naps() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def test_it_lets_go_of_its_core_while_it_computes():
    began, ends_at = naps(), time.monotonic() + 30
    with taking_turns():
        while naps() < began + 50 and time.monotonic() < ends_at:
            sum(range(1000))
    assert naps() >= began + 50
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_it_stops_when_what_it_did_fails():
    with pytest.raises(ZeroDivisionError), taking_turns():
        _ = 1 / 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
