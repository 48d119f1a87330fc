"""Breakers that open and close, told as alerts: noted in memory by the calls, written beside them."""

import asyncio
import logging
from typing import Any

import psycopg
from psycopg import AsyncConnection

from gateway.sql import queries

logger = logging.getLogger("tollhouse.breakers")

#: When the database has not answered by then, it is tried again later, in seconds.
TIMEOUT_S = 5.0
RETRY_S = 5.0
SQL = queries("alerts.sql")


class Trips:
    """The trips of a process's breakers. A call only notes one; a task writes them, as one alert for each outage of a target,
    whichever processes see it.

    `connect` are psycopg's connection parameters; they are used only when there is something to write.
    """

    def __init__(self, connect: dict[str, Any]) -> None:
        self._connect_to = connect
        #: By target, what is to be written: whether its breaker is open.
        self._noted: dict[str, bool] = {}
        self._wake = asyncio.Event()
        self._writing = asyncio.create_task(self._write_what_comes(), name="tollhouse-trips")

    def note(self, target: str, is_open: bool) -> None:
        """The breaker of a target has opened, or a probe kept it open; or it has closed."""
        self._noted[target] = is_open
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
                    await AsyncConnection.connect(**self._connect_to, autocommit=True) as connection,
                ):
                    for target, is_open in noted.items():
                        await connection.execute(
                            SQL["breaker_open" if is_open else "breaker_closed"], {"target": target}
                        )
            return True
        except (psycopg.Error, OSError) as error:
            logger.warning("breakers: what happened could not be written yet: %s", type(error).__name__)
        except asyncio.CancelledError:
            self._noted = noted | self._noted
            raise
        self._noted = noted | self._noted
        return False
