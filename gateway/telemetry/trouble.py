"""What a collector did not take in this process, for `/readyz`, the overview and the meters."""

import threading
from collections import Counter

from gateway.conf import settings
from gateway.telemetry import meters, store

_lock = threading.Lock()
_failing: set[str] = set()
_dropped: Counter[str] = Counter()


def note(signal: str, *, ok: bool, dropped: int) -> None:
    """A batch of `spans` or `metrics` was taken, or it was not and so many items are gone."""
    with _lock:
        if ok:
            _failing.discard(signal)
            return
        _failing.add(signal)
        _dropped[signal] += dropped
    if not dropped:
        return
    said = {"tollhouse.signal": signal}
    meters.add("tollhouse.telemetry.dropped", dropped, said)
    if settings().METRICS_TOKEN:
        store.store.add("tollhouse.telemetry.dropped", dropped, said)


def failing() -> list[str]:
    """The signals that the collector does not take now."""
    with _lock:
        return sorted(_failing)


def state() -> dict[str, object]:
    """Which signals the collector does not take now, and how many items of each were dropped since the start."""
    with _lock:
        return {"failing": sorted(_failing), "dropped": dict(_dropped)}
