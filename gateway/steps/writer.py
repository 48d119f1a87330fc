"""Steps on their way to the database: noted in memory, written in batches by a thread beside the application's work."""

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
import psycopg

from gateway.ledger.database import connection_parameters
from gateway.sql import queries
from gateway.telemetry import trouble

logger = logging.getLogger("tollhouse.steps")

Row = Mapping[str, Any]

#: What comes within this time is written together; after a failure it is tried again after the longer one. Seconds.
GATHER_S, RETRY_S = 0.5, 5.0
#: Rows of one statement, and rows that wait at most: of later ones each is counted as dropped.
BATCH, MOST = 500, 20_000
SQL = queries("steps.sql")


class Writer:
    """The steps of a process that are not written yet: at most so many. `connect` says how the database is reached; without
    `background` nothing is written but by `write`.
    """

    def __init__(
        self,
        connect: Callable[[], dict[str, Any]] = connection_parameters,
        *,
        most: int = MOST,
        background: bool = True,
    ) -> None:
        self._connect, self._most, self._background = connect, most, background
        self._waiting: list[Row] = []
        self._dropped = 0
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._some, self._stopped = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, row: Row) -> None:
        """The row of a step that has ended; it is written soon."""
        with self._lock:
            if len(self._waiting) >= self._most:
                self._dropped += 1
                return
            self._waiting.append(row)
            if self._thread is None and self._background:
                self._thread = threading.Thread(target=self._keep_writing, name="tollhouse-steps", daemon=True)
                self._thread.start()
        self._some.set()

    def stop(self) -> None:
        """Writes what is left, as far as the database takes it."""
        self._stopped.set()
        self._some.set()
        if self._thread is not None:
            self._thread.join(2 * RETRY_S)
        with self._lock:
            left = len(self._waiting)
        if left:
            logger.error("steps: %d were not written, as the database was away when the process ended", left)

    def _keep_writing(self) -> None:
        while not self._stopped.is_set():
            self._some.wait()
            self._stopped.wait(GATHER_S)
            self._some.clear()
            if not self.write():
                self._stopped.wait(RETRY_S)
                self._some.set()
        self.write()

    def write(self) -> bool:
        """Writes all that waits; False, and it waits on, when the database does not take it."""
        with self._writing:
            self._tell_dropped()
            while taken := self._take():
                try:
                    with psycopg.connect(**self._connect()) as connection:
                        connection.execute("SET LOCAL statement_timeout = '5s'")
                        connection.execute(SQL["add"], [orjson.dumps(taken).decode().replace("\\u0000", "")])
                except (psycopg.DataError, psycopg.IntegrityError, TypeError) as error:
                    # Nothing of it will ever fit; the others are not to wait for it.
                    logger.error("steps: %d cannot be written: %s", len(taken), type(error).__name__)
                    trouble.note("steps", ok=False, dropped=len(taken))
                except (psycopg.Error, OSError) as error:
                    logger.warning("steps: %d wait for the database: %s", len(taken), type(error).__name__)
                    trouble.note("steps", ok=False, dropped=0)
                    with self._lock:
                        self._waiting[:0] = taken
                    return False
                else:
                    trouble.note("steps", ok=True, dropped=0)
            return True

    def _take(self) -> list[Row]:
        with self._lock:
            taken, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        return taken

    def _tell_dropped(self) -> None:
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            logger.error("steps: %d were dropped, as %d others wait for the database", dropped, self._most)
            trouble.note("steps", ok=False, dropped=dropped)


_writer = Writer()
_stand_in: Callable[[Row], None] | None = None


def note(row: Row) -> None:
    """The row of a step that has ended."""
    if _stand_in is not None:
        _stand_in(row)
    else:
        _writer.note(row)


def flush() -> bool:
    """Writes what waits now. False when the database does not take it; it waits on then."""
    return _writer.write()


@contextmanager
def standing_in(take: Callable[[Row], None]) -> Iterator[None]:
    """While inside, steps go there and not to the database. For tests."""
    global _stand_in
    before, _stand_in = _stand_in, take
    try:
        yield
    finally:
        _stand_in = before


def _start_anew() -> None:
    """A forked child has noted nothing, and shares no thread with its parent, which writes what is its own."""
    global _writer
    _writer = Writer()


os.register_at_fork(after_in_child=_start_anew)
atexit.register(lambda: _writer.stop())
