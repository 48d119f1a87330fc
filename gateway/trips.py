"""Breakers that open and close: noted in memory by the calls, written beside them, as trips and as alerts."""

import asyncio
import logging
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg
from psycopg import AsyncConnection

from gateway.clock import clock
from gateway.errors import ProviderError
from gateway.health import Moved
from gateway.ledger.database import connect
from gateway.sql import queries
from gateway.telemetry import meters

logger = logging.getLogger("tollhouse.breakers")

#: When the database has not answered by then, it is tried again later, in seconds.
TIMEOUT_S = 5.0
RETRY_S = 5.0
#: Trips that wait for the database; of more than these the oldest give way.
MOST_NOTED = 1000
ALERTS, TRIPS = queries("alerts.sql"), queries("breakers.sql")


@dataclass(slots=True, kw_only=True)
class Trip:
    """One opening of a target's breaker. Moments are by `monotonic`, in seconds; `closed` is None while it is not."""

    id: UUID
    provider: str
    model: str
    opened: float
    retry: float
    failures: int
    failed_probes: int = -1
    closed: float | None = None
    error_class: str = ""
    http_status: int | None = None
    #: Whether it is among those of the meters.
    counted: bool = False

    @property
    def target(self) -> str:
        return f"{self.provider}/{self.model}"


class Trips:
    """The trips of a process's breakers. A call only notes what happened; a task writes it: a row for each trip, and one alert
    for each outage of a target, whichever processes see it.

    `connect` are psycopg's connection parameters; they are used only when there is something to write. `process` is the
    ledger's owner in this process.
    """

    def __init__(self, parameters: dict[str, Any], process: UUID | None) -> None:
        self._connect_to = parameters
        self._process = process
        #: By target, the trips that have not ended; by id, those that have to be written.
        self._open: dict[str, Trip] = {}
        self._noted: dict[UUID, Trip] = {}
        self._wake = asyncio.Event()
        self._writing = asyncio.create_task(self._write_what_comes(), name="tollhouse-trips")

    def note(self, moved: Moved) -> None:
        """A breaker has opened, or a probe kept it open; or it has closed."""
        now, name = monotonic(), str(moved.target)
        if moved.open_s is None:
            trip = self._open.pop(name, None)
            if trip is None:
                return
            trip.closed = now
        else:
            trip = self._open.get(name) or Trip(
                id=clock.new_id(), provider=moved.target.provider.name, model=moved.target.model, opened=now,
                retry=now, failures=moved.failures,
            )  # fmt: skip
            self._open[name] = trip
            trip.retry = now + moved.open_s
            trip.failed_probes += 1
            trip.error_class = type(moved.error).__name__
            trip.http_status = moved.error.status if isinstance(moved.error, ProviderError) else None
        self._noted[trip.id] = trip
        if len(self._noted) > MOST_NOTED:
            del self._noted[next(iter(self._noted))]
        self._wake.set()

    async def close(self) -> None:
        """Writes what is left, as far as the database is there."""
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)
        await self._write()

    async def _write_what_comes(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not await self._write():
                await asyncio.sleep(RETRY_S)
                self._wake.set()

    async def _write(self) -> bool:
        noted, self._noted = self._noted, {}
        try:
            if noted:
                async with (
                    asyncio.timeout(TIMEOUT_S),
                    await connect(self._connect_to) as connection,
                ):
                    for trip in noted.values():
                        await self._write_trip(connection, trip)
            return True
        except (psycopg.Error, OSError) as error:
            logger.warning("breakers: what happened could not be written yet: %s", type(error).__name__)
        except asyncio.CancelledError:
            self._noted = noted | self._noted
            raise
        self._noted = noted | self._noted
        return False

    async def _write_trip(self, connection: AsyncConnection, trip: Trip) -> None:
        now = monotonic()
        values = {
            "id": trip.id, "process": self._process, "provider": trip.provider, "model": trip.model,
            "opened_s": now - trip.opened, "retry_s": now - trip.retry,
            "closed_s": None if trip.closed is None else now - trip.closed,
            "failures": trip.failures, "failed_probes": trip.failed_probes, "error_class": trip.error_class,
            "http_status": trip.http_status,
        }  # fmt: skip
        await connection.execute(TRIPS["trip"], values)
        if not trip.counted:
            trip.counted = True
            meters.count("tollhouse.breaker.trips", 1, {"tollhouse.target": trip.target})
        await connection.execute(
            ALERTS["breaker_open" if trip.closed is None else "breaker_closed"], {"target": trip.target}
        )
