"""What a writer learns with every heartbeat beside its own work: the database's clock, and whether a worker runs."""

import logging
import socket
from typing import Any

from psycopg import AsyncConnection

from gateway.clock import Clock, counter
from gateway.conf import TollhouseSettings
from gateway.ledger.link import json_rows
from gateway.ledger.operations import Row
from gateway.ledger.transaction import SQL

logger = logging.getLogger("tollhouse.ledger")


class Pulse:
    """The clock of the database and the silence of workers, as of the last heartbeat."""

    def __init__(self, clock: Clock, options: TollhouseSettings) -> None:
        self._clock = clock
        self._bound_s = clock.bound_s = options.CLOCK_SKEW_S
        self._dead_after_s = options.OWNER_DEAD_AFTER_S
        self._sweep_from = 0.0
        self._worker_silent_s: float | None = None
        self._worker_may_be_silent_s = options.WORKER_SILENT_AFTER_S

    @property
    def may_sweep(self) -> bool:
        """Whether silence means death: not while owners have not beaten since the database's clock jumped."""
        return counter() >= self._sweep_from

    def state(self) -> dict[str, object]:
        """What `/readyz` tells: by how many seconds the process's clock is ahead, for how many no worker was seen (None:
        ever), and in words what of it is wrong.
        """
        warnings = []
        if abs(self._clock.skew_s) > self._bound_s:
            warnings.append(f"The clock of this process differs from the database's by {self._clock.skew_s:+.1f} s.")
        if self._worker_silent_s is None or self._worker_silent_s > self._worker_may_be_silent_s:
            since = "yet" if self._worker_silent_s is None else f"for {self._worker_silent_s / 60:.0f} minutes"
            warnings.append(f"No worker has run {since}.")
        return {
            "clock_skew_s": round(self._clock.skew_s, 3), "worker_silent_s": self._worker_silent_s, "warnings": warnings,
        }  # fmt: skip

    async def take(self, connection: AsyncConnection[Any]) -> None:
        """Asks the database. Raises psycopg.Error."""
        asked = counter()
        row = await (await connection.execute(SQL["pulse"])).fetchone()
        assert row is not None
        at, self._worker_silent_s = row
        jump = self._clock.told(at, asked)
        alerts: list[Row] = []
        if abs(jump) > self._bound_s:
            self._sweep_from = counter() + self._dead_after_s
            summary = f"The database's clock jumped by {jump:+.1f} s; budgets' windows go by it."
            alerts.append({"dedup_key": f"clock_jump:{at:%Y-%m-%dT%H}", "summary": summary})
        if abs(self._clock.skew_s) > self._bound_s:
            host = socket.gethostname()
            summary = (
                f"The clock of {host} is off the database's by {self._clock.skew_s:+.1f} s; rows go by the database's."
            )
            alerts.append({"dedup_key": f"clock_skew:{host}:{at:%Y-%m-%dT%H}"[:255], "summary": summary[:500]})
        for alert in alerts:
            logger.warning("ledger: %s", alert["summary"])
            alert |= {
                "kind": "clock_skew",
                "severity": "warning",
                "detail": {"skew_s": self._clock.skew_s, "jump_s": jump},
            }
        if alerts:
            await connection.execute(SQL["insert_alerts"], [json_rows(alerts)])
