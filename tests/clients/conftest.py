"""A gate to which clients connect, each from an environment of its own."""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from budgets.models import Budget
from gateway.models import Call
from tests.clients import environments

SCRIPTS = Path(__file__).resolve().parent / "scripts"
DOCUMENTED = (environments.ROOT / "docs" / "http.md").read_text()
#: Features, and the models of the mock provider behind them.
FEATURES = {"assistant": "echo", "tools": "tool", "facts": "json", "search": "vectors", "spent": "echo"}


class Gate:
    """The product's server: `url`, and a `key` for its features `assistant`, `tools`, `facts`, `search` and `spent`."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key

    def run(self, client: str, script: str) -> dict[str, Any]:
        """What the script saw: the JSON that it printed. `client` names its environment (python/pyproject.toml).

        Nothing of this process's environment reaches it but the gate's address and key. Raises CannotInstall.
        """
        if client == "node":
            node, folder = environments.node()
            # From its input it finds the packages of the folder that it runs in; from a file, those of the file's.
            command, source = [str(node), "--input-type=module"], (SCRIPTS / script).read_bytes()
        else:
            command, folder, source = [str(environments.python(client)), "-I", str(SCRIPTS / script)], SCRIPTS, b""
        with tempfile.TemporaryDirectory() as home:
            clean = {"PATH": os.defpath, "HOME": home, "GATE_URL": self.url, "GATE_KEY": self.key}
            done = subprocess.run(command, cwd=folder, env=clean, input=source, capture_output=True, timeout=300)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)


def documented(version: str) -> bool:
    """Whether the table of clients in docs/http.md has this version."""
    return any(version in line.split("|")[2] for line in DOCUMENTED.splitlines() if line.count("|") > 3)


def rows() -> list[str]:
    """The calls in the order of their beginning: feature, outcome, and how it was asked."""
    calls = Call.objects.order_by("id")
    assert not any(call.usage_estimated for call in calls)
    return [f"{c.feature} {c.outcome}{' streamed' * c.streamed}{' tool' * (c.tool_calls or 0)}" for c in calls]


@pytest.fixture
def gate(world, server):
    """The server with a feature for each thing that clients do; nothing is left in the budget of `spent`."""
    for feature, model in FEATURES.items():
        world.feature(feature, model)
    Budget.objects.create(feature="spent", limit=0)
    key = world.key()
    server.catch_up()
    return Gate(server.url, key)
