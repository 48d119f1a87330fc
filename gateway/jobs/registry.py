"""Jobs of the worker: what one is, and those that other apps add to the gate's own."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do every so many seconds. Any number of workers may do it at the same time."""

    name: str
    period_s: float
    run: Callable[[], object]


#: Those of other apps, in the order in which they were added.
REGISTERED: list[Job] = []


def register(job: Job) -> None:
    """Adds a job; call it in the app's `ready`. The same one twice is one."""
    if job not in REGISTERED:
        REGISTERED.append(job)
