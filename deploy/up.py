"""`make up`: everything that the gate needs on one machine, started in order, shown, and stopped together.

python -m deploy.up
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from deploy.local_model import model_path
from deploy.postgres import database_url, server_url

ROOT = Path(__file__).resolve().parent.parent
CATALOGS = Path(__file__).resolve().parent / "catalog"
LOCAL_BASE_URL = "http://127.0.0.1:8801/v1"
TICKET = "Hello, I am Ada Lovelace (ada@example.com). My order 4711 has not arrived yet. Where is it?"


class CannotStart(Exception):
    """Why the gate did not start, and what to do, in one line."""


class Supervisor:
    """The children of this process. When one ends by itself, all end."""

    def __init__(self) -> None:
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._stop = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stopped)

    def _stopped(self, number: int, frame: FrameType | None) -> None:
        self._stop = True

    def start(self, name: str, command: list[str], **environment: str) -> None:
        """Starts a child in a process group of its own, so that Ctrl-C reaches it through us, once."""
        self._children[name] = subprocess.Popen(
            [sys.executable, "-m", "deploy.child", *command],
            cwd=ROOT, env={**os.environ, **environment}, start_new_session=True,
        )  # fmt: skip

    def wait_for(self, url: str, name: str, seconds: float) -> None:
        """Waits until the child answers at `url` with 200. Raises CannotStart."""
        deadline = time.monotonic() + seconds
        while not self._stop:
            self.check()
            try:
                with urllib.request.urlopen(url, timeout=2):  # noqa: S310  (our own address)
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
            if time.monotonic() > deadline:
                raise CannotStart(f"The {name} did not answer at {url} within {seconds:.0f} s; see its lines above.")

    def check(self) -> None:
        """Raises CannotStart when a child has ended."""
        for name, child in self._children.items():
            if child.poll() is not None:
                raise CannotStart(f"The {name} ended with status {child.returncode}; see its lines above.")

    def run(self) -> None:
        """Waits until we are told to stop, or a child ends (CannotStart)."""
        while not self._stop:
            self.check()
            time.sleep(0.3)

    def stop(self) -> None:
        """Ends every child that we started, the last one first."""
        for child in reversed(self._children.values()):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in reversed(self._children.values()):
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)


def main() -> int:
    """Starts everything; returns the exit status."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "deploy.settings")
    os.environ.setdefault("TOLLHOUSE_ALLOW_PRIVATE_UPSTREAMS", "true")
    supervisor = Supervisor()
    try:
        port = port_to_serve_on(default=8000, command="make up")
        os.environ.setdefault("TOLLHOUSE_PUBLIC_URL", f"http://127.0.0.1:{port}")
        for_servers = prepare()
        login = _login()
        local = _start_local_model(supervisor)
        _start_server(supervisor, port, for_servers)
        _show(port, login, local=local)
        supervisor.run()
    except CannotStart as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    finally:
        supervisor.stop()
    print("\nStopped.")
    return 0


def port_to_serve_on(*, default: int, command: str) -> int:
    """The port that PORT names, else the default. Raises CannotStart where it cannot be had, naming the command to repeat."""
    text = os.environ.get("PORT", str(default))
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise CannotStart(f"PORT={text!r} is no port; write a number from 1 to 65535.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(text)))
        except OSError as error:
            raise CannotStart(
                f"Port {text} cannot be used ({error.strerror}); choose another: PORT={default + 1} {command}."
            ) from None
    return int(text)


def prepare() -> str:
    """Database, tables, prices, catalog and static files; returns the database's URL for servers. Raises CannotStart."""
    try:
        django.setup()
        connection.ensure_connection()
    except ImproperlyConfigured as error:
        raise CannotStart(str(error)) from None
    except (OperationalError, subprocess.SubprocessError) as error:
        where = (
            "DATABASE_URL" if os.environ.get("DATABASE_URL") else "the embedded PostgreSQL (.tollhouse/postgres/log)"
        )
        raise CannotStart(f"The database does not answer; check {where}: {str(error).splitlines()[0]}") from None
    embedded = not os.environ.get("DATABASE_URL")
    # Children share our database server, which so has one owner.
    url = os.environ["DATABASE_URL"] = database_url(settings.STATE_DIR)
    connection.close()
    call_command("migrate", verbosity=0, interactive=False)
    call_command("prices", "sync", stdout=_Quiet())
    call_command("collectstatic", verbosity=0, interactive=False)
    _seed()
    return server_url(url) if embedded else url


class _Quiet:
    def write(self, text: str) -> None:
        """Nothing: what a routine command says is no news on a start."""

    def flush(self) -> None:
        """Nothing."""


def _seed() -> None:
    from gateway.models import Provider

    files = []
    if not Provider.objects.filter(name="local").exists():
        files.append("demo")
    for name in ("openai", "anthropic"):
        if os.environ.get(f"{name.upper()}_API_KEY") and not Provider.objects.filter(name=name).exists():
            files.append(name)
    for name in files:
        try:
            call_command("catalog", "apply", str(CATALOGS / f"{name}.toml"), actor="make up", stdout=_Quiet())
        except (CommandError, SystemExit) as error:
            raise CannotStart(f"The catalog {name}.toml was not applied; see the lines above.") from error


def _login() -> dict[str, str]:
    """The administrator's password and the demo's API key: made once, kept readable by their owner alone."""
    from django.contrib.auth.models import User
    from django.db.models import Q

    from gateway import keys
    from gateway.models import Key

    file = settings.STATE_DIR / "login.json"
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    login = {"password": known.get("password") or secrets.token_urlsafe(12), "key": known.get("key") or keys.make()}
    if login != known:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(json.dumps(login))
    if not User.objects.filter(username="admin").exists():
        User.objects.create_superuser("admin", password=login["password"])
    digest = keys.digest(login["key"])
    if not Key.objects.filter(Q(digest=digest) | Q(previous_digest=digest)).exists():
        Key.objects.filter(name="demo").delete()
        keys.create("demo", ["*"], key=login["key"])
    return login


def _start_local_model(supervisor: Supervisor) -> bool:
    """Starts the local model on the port that the catalog names, unless it is not installed or not wanted."""
    from gateway.models import Provider

    provider = Provider.objects.filter(name="local", base_url__startswith="http://127.0.0.1:").first()
    if provider is None:
        return False
    if model_path() is None:
        print(
            "The local model is not installed (`uv sync --extra local`); calls to it fail until it is.", file=sys.stderr
        )
        return False
    port = int(provider.base_url.split(":")[2].split("/")[0])
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            port = _free_port()
            provider.base_url = LOCAL_BASE_URL.replace("8801", str(port))
            provider.save()
    log = open(settings.STATE_DIR / "local_model.log", "wb")  # noqa: SIM115  (the child's, for as long as it runs)
    supervisor._children["local model"] = subprocess.Popen(
        [sys.executable, "-m", "deploy.local_model", str(port)],
        cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    supervisor.wait_for(f"http://127.0.0.1:{port}/health", "local model", 60)
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start_server(supervisor: Supervisor, port: int, database: str) -> None:
    python = sys.executable
    supervisor.start("worker", [python, "manage.py", "worker"])
    supervisor.start(
        "server",
        [python, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), "--no-ws",
         "--workers", os.environ.get("TOLLHOUSE_WORKERS", "1"), "--workers-kill-timeout", "30", "--log-level", "warning",
         "--static-path-route", "/static", "--static-path-mount", str(settings.STATIC_ROOT), "deploy.asgi:application"],
        DATABASE_URL=database,
    )  # fmt: skip
    supervisor.wait_for(f"http://127.0.0.1:{port}/readyz", "server", 60)


def _show(port: int, login: dict[str, str], *, local: bool) -> None:
    address = f"http://127.0.0.1:{port}"
    body = json.dumps({"model": "support.reply", "variables": {"ticket": TICKET}})
    headers = f"-H 'Authorization: Bearer {login['key']}' -H 'Content-Type: application/json'"
    print(f"""
Tollhouse is up.

  admin     {address}/admin/   user: admin   password: {login["password"]}
  API       {address}/v1       key: {login["key"]}

Try it:

  curl {address}/v1/chat/completions {headers} -d '{body}'
{"" if local else "  (without the local model this call answers 502 and leaves a row that says why)"}
Ctrl-C stops it.
""", flush=True)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
