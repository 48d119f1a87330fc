"""Processes that spend, and a database that goes away."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.proxy import DatabaseProxy
from tests.server import environment

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def spender(transactional_db):
    """Starts processes that spend; those of a test that failed do not go on into the next one."""
    started = []

    def start(seed: int, calls: int, concurrency: int = 16) -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.gateway.ledger.spender", str(seed), str(calls), str(concurrency)]
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment()))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def proxy(transactional_db):
    with DatabaseProxy() as found:
        yield found
