"""What telemetry does in a process that makes calls, from the opening of its gate to the end of it."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Protocol

from gateway.conf import settings
from gateway.health import Health
from gateway.ledger import Ledger
from gateway.offload import in_thread
from gateway.telemetry import gauges, store
from gateway.telemetry.gauges import Reading

#: What reads a gate's gauges.
Source = Callable[[], Iterator[Reading]]


class Gate(Protocol):
    """What of a gate is told."""

    health: Health
    ledger: Ledger


def watch(gate: Gate) -> Source:
    """From now on this process tells how its gate is; with `/metrics` on, it also writes the meters of its calls.

    Returns what `forget` takes.
    """

    def source() -> Iterator[Reading]:
        state = gate.ledger.state()
        for name, key in (("tollhouse.ledger.queue", "queue"), ("tollhouse.ledger.away", "away_s")):
            if isinstance(value := state.get(key), int | float):
                yield name, float(value), {}
        for target, is_open in gate.health.breakers().items():
            yield "tollhouse.breaker.open", float(is_open), {"tollhouse.target": target}

    gauges.add_source(source)
    _export_gauges()
    if settings().METRICS_TOKEN:
        store.store.start()
    return source


async def forget(source: Source) -> None:
    """Ends what `watch` began; what was measured is written."""
    gauges.remove_source(source)
    if settings().METRICS_TOKEN:
        await in_thread(store.store.stop)


@cache
def _export_gauges() -> None:
    gauges.export(gauges.OF_PROCESS, gauges.readings)
