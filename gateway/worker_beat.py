"""That a worker runs: each says so in a row of its own, and whoever looks sees for how long none has."""

import os
import socket

from django.db import connection
from uuid_utils.compat import uuid7

from gateway.sql import queries

SQL = queries("worker.sql")
_ID = uuid7()


def beat() -> None:
    """Notes that this process, a worker, runs; forgets those that have been silent for a day."""
    with connection.cursor() as cursor:
        cursor.execute(SQL["beat"], [_ID, socket.gethostname(), os.getpid()])
        cursor.execute(SQL["bury"])


def silent_s() -> float | None:
    """For how many seconds no worker has been seen; None when none ever was."""
    with connection.cursor() as cursor:
        cursor.execute(SQL["silence"])
        found: float | None = cursor.fetchone()[0]
    return found
