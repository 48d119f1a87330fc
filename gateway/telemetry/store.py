"""The meters behind `/metrics`: collected in memory, and added every few seconds to rows that all processes share.

So a counter is the same whichever server answers, and goes on where it was after a restart. A process that is killed
takes at most what it collected since it last wrote; the ledger's rows are the truth.
"""

import atexit
import hashlib
import logging
import os
import socket
import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg

from gateway.ledger.database import connection_parameters
from gateway.sql import queries
from gateway.telemetry.gauges import readings
from gateway.telemetry.names import BY_NAME

logger = logging.getLogger("tollhouse.telemetry")

#: How often a process writes what it collected, in seconds.
PERIOD_S = 5.0
#: A gauge that its process has not written for so long is not told any more, in seconds.
STALE_S = 60.0
#: Series that one process collects; further ones are dropped, and counted as such.
MOST_SERIES = 20_000
DROPPED = ("tollhouse.telemetry.dropped", (("tollhouse.signal", "metrics"),))
SQL = queries("meters.sql")

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Series:
    """A series as all processes made it. `values`: the count, or a histogram's buckets, sum and count."""

    name: str
    labels: Mapping[str, str]
    values: list[float]


class Store:
    """What this process collected since it last wrote."""

    def __init__(self) -> None:
        self._collected: dict[tuple[str, Labels], list[float]] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        #: Why nothing could be written when it was last tried; empty when it was.
        self.problem = ""

    def add(self, name: str, amount: float, said: Mapping[str, str]) -> None:
        """Adds to a counter, or records in a histogram."""
        buckets = BY_NAME[name].buckets
        with self._lock:
            series = self._series((name, tuple(said.items())))
            if series is None:
                return
            if not buckets:
                series[0] += amount
                return
            series[bisect_left(buckets, amount)] += 1
            series[-2] += amount
            series[-1] += 1

    def _series(self, key: tuple[str, Labels]) -> list[float] | None:
        if (found := self._collected.get(key)) is not None:
            return found
        if len(self._collected) >= MOST_SERIES and key != DROPPED:
            self._collected.setdefault(DROPPED, [0.0])[0] += 1
            return None
        buckets = BY_NAME[key[0]].buckets
        # One more bucket for what is above the last bound, then sum and count.
        return self._collected.setdefault(key, [0.0] * (len(buckets) + 3 if buckets else 1))

    def start(self) -> None:
        """Writes every few seconds from now on, in a thread of its own."""
        if self._thread is None:
            self._stopped.clear()
            self._thread = threading.Thread(target=self._keep_writing, name="tollhouse-meters", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Writes what is left, and no more."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(2 * PERIOD_S)
            self._thread = None

    def _keep_writing(self) -> None:
        while not self._stopped.wait(PERIOD_S):
            self.write()
        self.write()

    def write(self) -> bool:
        """Adds what was collected to the shared rows; False, and it is kept, when the database does not take it."""
        with self._writing:
            with self._lock:
                taken, self._collected = self._collected, {}
            try:
                with psycopg.connect(**connection_parameters()) as connection:
                    connection.execute("SET LOCAL statement_timeout = '5s'")
                    if taken:
                        connection.execute(SQL["add"], [_added(taken)])
                    if gauges := _set(readings()):
                        connection.execute(SQL["set"], [gauges])
                    connection.execute(SQL["forget"], [STALE_S])
            except (psycopg.Error, OSError) as error:
                self.problem = type(error).__name__
                logger.warning("telemetry: meters wait for the database: %s", self.problem)
                self._give_back(taken)
                return False
            self.problem = ""
            return True

    def _give_back(self, taken: dict[tuple[str, Labels], list[float]]) -> None:
        with self._lock:
            for key, values in taken.items():
                series = self._series(key)
                if series is not None:
                    series[:] = [a + b for a, b in zip(series, values, strict=True)]


def read() -> list[Series]:
    """Every series that is worth something, as the rows have it. Raises psycopg.Error."""
    with psycopg.connect(**connection_parameters()) as connection:
        rows = connection.execute(SQL["read"], [STALE_S]).fetchall()
    found = [Series(name, labels, values) for name, labels, values in rows if name in BY_NAME]
    return [series for series in found if len(series.values) == _width(series.name)]


def _width(name: str) -> int:
    buckets = BY_NAME[name].buckets
    return len(buckets) + 3 if buckets else 1


def _added(taken: Mapping[tuple[str, Labels], list[float]]) -> str:
    rows = [
        {"key": _key("", name, labels), "name": name, "labels": dict(labels), "values": values}
        for (name, labels), values in taken.items()
    ]
    return orjson.dumps(rows).decode().replace("\\u0000", "")


def _set(found: Iterable[tuple[str, float, Mapping[str, str]]]) -> str:
    process = f"{socket.gethostname()}:{os.getpid()}"
    rows: list[dict[str, Any]] = []
    for name, value, said in found:
        labels = {**said, "tollhouse.process": process}
        key = _key(process, name, tuple(labels.items()))
        rows.append({"key": key, "name": name, "labels": labels, "process": process, "value": value})
    return orjson.dumps(rows).decode() if rows else ""


def _key(process: str, name: str, labels: Labels) -> str:
    return hashlib.sha256(orjson.dumps([process, name, sorted(labels)])).hexdigest()


store = Store()


def _start_anew() -> None:
    """A forked child has collected nothing, and shares no thread with its parent, which writes what is its own."""
    global store
    store = Store()


os.register_at_fork(after_in_child=_start_anew)
atexit.register(lambda: store.stop())
