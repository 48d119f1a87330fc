"""`make up` without make: what it starts, shows, and stops."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.server import ROOT, free_port


class Up:
    """A run of `python -m deploy.up` on a state directory and a port of its own."""

    COMMAND = ("-m", "deploy.up")

    def __init__(self, state: Path, port: int, **variables: str) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO_", "TOLLHOUSE_", "DATABASE_URL"))}
        self.log = state.parent / f"up-{time.monotonic_ns()}.log"
        environment = {**clean, "TOLLHOUSE_STATE_DIR": str(state), "PORT": str(port), **variables}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.COMMAND], cwd=ROOT, env=environment, stdout=log, stderr=log
            )

    @property
    def output(self) -> str:
        return self.log.read_text()

    def wait(self) -> str:
        """What it printed, as soon as it is up."""
        deadline = time.monotonic() + 90
        while "Ctrl-C stops it." not in self.output:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(self.output)
            time.sleep(0.1)
        return self.output

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(40)


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def test_up_shows_a_call_that_works_keeps_its_data_and_stops_what_it_started(state):
    port = free_port()
    first = Up(state, port)
    try:
        shown = first.wait()
        [curl] = re.findall(r"^  (curl .*)$", shown, re.MULTILINE)
        answer = subprocess.run(
            [*shlex.split(curl), "-sS"], capture_output=True, text=True, check=True, timeout=90
        ).stdout
        # A real model answered; what it said is its own affair.
        assert '"completion_tokens"' in answer
        command = subprocess.run(
            [sys.executable, "manage.py", "keys", "list"], cwd=ROOT, capture_output=True, text=True, timeout=60,
            env={**os.environ, "TOLLHOUSE_STATE_DIR": str(state), "DJANGO_SETTINGS_MODULE": "deploy.settings"},
        )  # fmt: skip
        assert "demo" in command.stdout
        assert first.process.poll() is None
        children = psutil.Process(first.process.pid).children(recursive=True)
        assert len(children) >= 4
    finally:
        first.stop()
    assert first.process.returncode == 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert not (state / "postgres" / "postmaster.pid").exists()

    second = Up(state, port)
    try:
        login = re.findall(r"password: (\S+)|key: (\S+)", shown)
        assert re.findall(r"password: (\S+)|key: (\S+)", second.wait()) == login
    finally:
        second.stop()


def test_children_end_even_when_up_is_killed(state):
    up = Up(state, free_port())
    up.wait()
    children = [c for c in psutil.Process(up.process.pid).children(recursive=True) if c.name() != "postgres"]
    up.process.kill()
    up.process.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
    # The database stays for whoever uses it next, and stops with them.
    subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=ROOT, check=True, capture_output=True, timeout=60,
        env={**os.environ, "TOLLHOUSE_STATE_DIR": str(state), "DJANGO_SETTINGS_MODULE": "deploy.settings"},
    )  # fmt: skip
    assert not (state / "postgres" / "postmaster.pid").exists()


@pytest.mark.parametrize(
    "variables, words",
    [
        ({"PORT": "none"}, "PORT='none' is no port; write a number from 1 to 65535."),
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "The database does not answer; check DATABASE_URL"),
        (
            {"TOLLHOUSE_CATALOG_POLL_S": "often"},
            "TOLLHOUSE_CATALOG_POLL_S='often' is not a number; write one like 5.0.",
        ),
        ({"DJANGO_DEBUG": "maybe"}, "DJANGO_DEBUG='maybe' is not a boolean; write true or false."),
    ],
)
def test_a_wrong_configuration_says_in_one_line_what_to_do(state, variables, words):
    up = Up(state, free_port(), **variables)
    assert up.process.wait(60) == 1
    lines = [line for line in up.output.splitlines() if line.strip()]
    assert len(lines) == 1 and words in lines[0], up.output


def test_a_taken_port_is_told(state):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        up = Up(state, port)
        assert up.process.wait(60) == 1
        assert f"Port {port} cannot be used (Address already in use); choose another: PORT=8001 make up." in up.output


def test_a_command_without_a_database_says_so_in_one_line():
    environment = {
        **os.environ,
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "DJANGO_SETTINGS_MODULE": "deploy.settings",
    }
    command = [sys.executable, "manage.py", "keys", "list"]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert found.returncode == 1
    assert (
        found.stderr.startswith("The database does not answer; check DATABASE_URL: ") and found.stderr.count("\n") == 1
    )
