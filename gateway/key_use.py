"""When keys were last used: noted in memory as they are presented, written about once a minute."""

import asyncio
import logging
from datetime import datetime
from typing import Any

import psycopg

from gateway.ledger.database import connect

logger = logging.getLogger("tollhouse.keys")

#: How often what was noted is written, in seconds.
PERIOD_S = 60.0
#: When the database has not answered by then, it is tried again at the next time, in seconds.
TIMEOUT_S = 5.0
# In order of the digests, so that processes which write the same keys wait for each other and never in a circle.
WRITE = """
INSERT INTO tollhouse_key_use (digest, used_at) SELECT * FROM unnest(%s::text[], %s::timestamptz[]) AS noted ORDER BY 1
ON CONFLICT (digest) DO UPDATE SET used_at = greatest(tollhouse_key_use.used_at, excluded.used_at)
"""


class KeyUses:
    """The uses of a process. A request costs one assignment; a process that is killed forgets its last minute.

    `connect` are psycopg's connection parameters; they are used only when there is something to write.
    """

    def __init__(self, parameters: dict[str, Any]) -> None:
        self._connect_to = parameters
        self._noted: dict[str, datetime] = {}
        self._writing = asyncio.create_task(self._write_periodically(), name="tollhouse-key-use")

    def note(self, digest: str, at: datetime) -> None:
        """The secret with this digest was presented and found good."""
        self._noted[digest] = at

    async def close(self) -> None:
        """Writes what is left."""
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)
        await self._write()

    async def _write_periodically(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            await self._write()

    async def _write(self) -> None:
        noted = dict(self._noted)
        if not noted:
            return
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                await connect(self._connect_to) as connection,
            ):
                await connection.execute(WRITE, [list(noted), list(noted.values())])
        except (psycopg.Error, OSError) as error:
            logger.warning("keys: last uses could not be written yet: %s", type(error).__name__)
            return
        for digest, at in noted.items():
            if self._noted[digest] == at:
                del self._noted[digest]
