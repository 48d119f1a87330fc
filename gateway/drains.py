"""Calls of a process that are read on though their caller left, and how many there may be at a time."""

import asyncio
import logging

logger = logging.getLogger("tollhouse.drain")


class Drains:
    """At most `most` tasks that read a call on to its end."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._reading: set[asyncio.Task[None]] = set()

    def take(self, reading: "asyncio.Task[None]") -> bool:
        """Whether there is room for one more; it is counted until it ends."""
        if len(self._reading) >= self.most:
            return False
        self._reading.add(reading)
        reading.add_done_callback(self._ended)
        return True

    def stop(self) -> None:
        """Cancels all; their rows say so."""
        for reading in self._reading:
            reading.cancel()

    def _ended(self, reading: "asyncio.Task[None]") -> None:
        self._reading.discard(reading)
        if not reading.cancelled() and (error := reading.exception()):
            logger.error("a call that was read on failed: %s", type(error).__name__, exc_info=error)
