"""`run.py up`: sets the helpdesk up and serves it, together with Tollhouse's worker, until Ctrl-C."""

import io
import json
import os
import secrets
import sys
from pathlib import Path

import django
from django.core.management import call_command

from deploy.up import CannotStart, Supervisor, port_to_serve_on

HERE = Path(__file__).resolve().parent


def serve(state_dir: Path, database: str) -> int:
    """Returns the exit status. `database` is its URL for the server; tables and worker have DATABASE_URL, as their owner."""
    supervisor = Supervisor()
    try:
        port = port_to_serve_on(default=8010, command="make helpdesk")
        password = _prepare(state_dir)
        supervisor.start("worker", [sys.executable, str(HERE / "manage.py"), "worker"])
        supervisor.start(
            "server",
            [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port),
             "--blocking-threads", "4", "--log-level", "warning", "--static-path-route", "/static",
             "--static-path-mount", os.environ["STATIC_ROOT"], "helpdesk.wsgi:application"],
            DATABASE_URL=database,
        )  # fmt: skip
        address = f"http://127.0.0.1:{port}"
        supervisor.wait_for(f"{address}/login/", "server", 60)
        print(f"""
The helpdesk is up.

  pages     {address}/         user: priya (Brightwater, Fenwick) or tomas (Oakhurst)
  admin     {address}/admin/   user: admin
  password  {password}

Drafts are in their beta phase: only Brightwater has them. catalog.toml says so; change it, then
make -C examples/helpdesk catalog
Ctrl-C stops it.
""", flush=True)  # fmt: skip
        supervisor.run()
    except CannotStart as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    finally:
        supervisor.stop()
    print("\nStopped.")
    return 0


def _prepare(state_dir: Path) -> str:
    """Tables, catalog, people and tickets; returns everybody's password."""
    password = _password(state_dir / "login.json")
    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
    call_command("prices", "sync", stdout=io.StringIO())
    call_command("catalog", "apply", str(HERE / "catalog.toml"), actor="make helpdesk", stdout=io.StringIO())
    call_command("collectstatic", verbosity=0, interactive=False)
    # As one word, for a password may begin with a dash.
    call_command("seed", f"--password={password}", verbosity=0)
    return password


def _password(file: Path) -> str:
    """Made once, and kept readable by its owner alone."""
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(json.dumps({"password": secrets.token_urlsafe(12)}))
    password: str = json.loads(file.read_text())["password"]
    return password
