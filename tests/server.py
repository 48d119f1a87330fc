"""The product's own server, as a process of its own, on the test database."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psycopg
from django.conf import settings
from django.db import connection

from deploy.postgres import SERVER_ROLE, server_url
from gateway.models import Revision

ROOT = Path(__file__).resolve().parent.parent
#: Whether the tests' database is the embedded one, in which servers are a role that owns nothing.
EMBEDDED = "DATABASE_URL" not in os.environ


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment() -> dict[str, str]:
    """The environment of a process that shares this test's database and secrets."""
    params = connection.get_connection_params()
    url = f"postgresql://{params['user']}@/{params['dbname']}?host={params['host']}"
    if params.get("password") or "port" in params:
        url = f"postgresql://{params['user']}:{params.get('password', '')}@{params['host']}:{params['port']}/{params['dbname']}"
    return {
        **os.environ,
        "DATABASE_URL": url,
        "DJANGO_SECRET_KEY": settings.SECRET_KEY,
        "DJANGO_SETTINGS_MODULE": "deploy.settings",
        "TOLLHOUSE_ALLOW_PRIVATE_UPSTREAMS": "true",
        "TOLLHOUSE_OWNER_HEARTBEAT_S": "0.5",
        # It runs beside other tests' ledgers, whose owners they forget between tests and whose clocks they set.
        "TOLLHOUSE_OWNER_DEAD_AFTER_S": "86400",
    }


class Server:
    """A running server; `url` is where. Stopped with SIGTERM, or killed outright.

    `log` is a file that takes what the server writes; it goes where the tests' own output goes otherwise.
    """

    def __init__(self, app: str = "deploy.asgi:application", *, log: IO[bytes] | None = None, **variables: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(self.port),
                   "--no-ws", "--log-level", "warning", app]  # fmt: skip
        given = environment()
        if EMBEDDED:
            given["DATABASE_URL"] = server_url(given["DATABASE_URL"])
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=given | variables, start_new_session=True, stdout=log, stderr=log
        )
        self._wait(lambda: self.ready() is not None)

    def ready(self) -> dict | None:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return json.load(answer)
        except (urllib.error.URLError, OSError):
            return None

    def catch_up(self) -> None:
        """Waits until the server's catalog is the database's."""
        wanted = dict(Revision.objects.values_list("name", "value"))
        self._wait(lambda: (self.ready() or {}).get("revisions") == wanted)

    def _wait(self, condition) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}")
            if time.monotonic() > deadline:
                raise TimeoutError("the server did not become ready")
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def kill(self) -> None:
        """Ends the server and its workers at once, as the kernel would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)


@contextmanager
def as_server() -> Iterator[psycopg.Connection]:
    """A connection as the role that servers have, which owns nothing."""
    known = connection.get_connection_params()
    known = {name: known[name] for name in ("dbname", "host", "port") if known.get(name)}
    with psycopg.connect(**known, user=SERVER_ROLE, autocommit=True) as server:
        yield server
