"""The gate's clock: the database's, carried on by a counter that nobody can set.

Ids of calls say when they were made, and decide their partition; windows go by the database's clock. A process whose own
clock is wrong, or jumps, must not tear the two apart.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

#: The counter that goes on while the machine sleeps, where there is one.
_COUNTER = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
#: How long an answer may take and still say what the time is; seconds.
MOST_UNDER_WAY_S = 1.0


def counter() -> float:
    """Seconds since some moment; never set, never back."""
    return time.clock_gettime(_COUNTER)


class Clock:
    """Tells the database's time, once it was told of it; until then the process's own (`wall`, in seconds since 1970)."""

    def __init__(self, wall: Callable[[], float] = time.time, count: Callable[[], float] = counter) -> None:
        self._wall = wall
        self._count = count
        self._ahead: float | None = None
        #: By how much the process's clock may differ before ids are made by the database's; seconds.
        self.bound_s = 5.0

    def now_s(self) -> float:
        """Now, in seconds since 1970."""
        return self._wall() if self._ahead is None else self._count() + self._ahead

    def now(self) -> datetime:
        """Now, aware."""
        return datetime.fromtimestamp(self.now_s(), UTC)

    @property
    def skew_s(self) -> float:
        """By how much the process's clock is ahead of the database's; 0 before that is known."""
        return 0.0 if self._ahead is None else self._wall() - self.now_s()

    def told(self, at: datetime, asked: float) -> float:
        """Takes the database's time `at`, which was asked for when the counter said `asked` and has arrived just now.

        Returns by how many seconds the database's clock has jumped since it was last asked; 0 the first time. An answer
        that was long under way tells nothing, as nobody knows when it was given.
        """
        if self._count() - asked > MOST_UNDER_WAY_S:
            return 0.0
        ahead = at.timestamp() - (asked + self._count()) / 2
        jump = 0.0 if self._ahead is None else ahead - self._ahead
        self._ahead = ahead
        return jump

    def new_id(self) -> UUID:
        """A UUIDv7 of now. Those of one process are in order, as long as its own clock is right."""
        now = self.now_s()
        return uuid7() if abs(self._wall() - now) <= self.bound_s else uuid7(nanoseconds=int(now * 1e9))


#: The process's. Its time is that of the database `default`.
clock = Clock()
