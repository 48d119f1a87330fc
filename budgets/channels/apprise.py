"""Apprise: the services that have no channel of their own, by one of its URLs, which is the secret.

Apprise connects by itself and cannot take the session that decides where connections may go. So it runs in a process of
its own (`apprise_send.py`) that watches every connection at the moment that it is made, and that can be ended when its
time is over. The process is started for each message: alerts are few.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import aiohttp

from budgets.channels import config as settings
from budgets.channels import render
from budgets.channels.base import Json, Notice, Receipt
from budgets.channels.wire import without

SCRIPT = Path(__file__).with_name("apprise_send.py")
#: Services of the machine itself (its desktop, its log, its USB ports); alerts of a server go to people.
LOCAL = {"syslog", "rsyslog", "dbus", "qt", "kde", "glib", "gnome", "macosx", "windows", "blink1", "growl", "file"}
#: Seconds for the process to start, besides those for the message.
START_S = 10.0
#: What the process sees of this one's environment: nothing that holds a secret, and no proxy.
ENVIRONMENT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR", "SYSTEMROOT")
KINDS = {"critical": "failure", "warning": "warning", "info": "info"}


class Apprise:
    """One message to one service. The secret is one Apprise URL; there are no settings but `timeout_s`.

    `allow_private` lets it connect to addresses that are not on the public internet.
    """

    def __init__(self, *, allow_private: bool = False) -> None:
        self._allow_private = allow_private

    def check(self, config: Mapping[str, Json], secret: str) -> None:
        self._check(config, secret)
        try:
            done = subprocess.run(  # noqa: S603 - our own script; what others wrote is its input
                _command(),
                input=self._order(secret),
                capture_output=True,
                timeout=START_S,
                env=_environment(),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ValueError("Apprise did not start in time; try again.") from error
        answer = _read(done.stdout, secret)
        if not answer.ok:
            raise ValueError(answer.answer)

    def _check(self, config: Mapping[str, Json], secret: str) -> None:
        settings.known(config)
        if find_spec("apprise") is None:
            raise ValueError("Apprise is not installed: pip install 'tollhouse[apprise]'.")
        match = re.fullmatch(r"([A-Za-z0-9]+)://[!-~]+", secret)
        if not match:
            raise ValueError("The secret is one Apprise URL, like gotify://host/token; a channel has one.")
        if match[1].lower() in LOCAL:
            raise ValueError(
                f"{match[1]}:// is a service of the machine that this runs on; write that of a service that people read."
            )

    async def send(
        self, notice: Notice, *, config: Mapping[str, Json], secret: str, http: aiohttp.ClientSession
    ) -> Receipt:
        try:
            self._check(config, secret)
        except ValueError as error:
            return Receipt(ok=False, answer=str(error), permanent=True)
        limit = settings.timeout_s(config)
        process = await asyncio.create_subprocess_exec(
            *_command(), stdin=-1, stdout=-1, stderr=asyncio.subprocess.DEVNULL, env=_environment()
        )
        order = self._order(secret, notice, limit)
        try:
            output, _ = await asyncio.wait_for(process.communicate(order), START_S + limit)
        except TimeoutError:
            return Receipt(ok=False, answer=f"The service did not take it within {limit:g} seconds.")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return _read(output, secret)

    def _order(self, url: str, notice: Notice | None = None, timeout_s: float = 0) -> bytes:
        """What the process is to do; without a notice it only reads the URL."""
        order: dict[str, Json] = {"url": url, "allow_private": self._allow_private, "timeout_s": timeout_s}
        if notice:
            kind = "success" if notice.event == "resolve" else KINDS.get(notice.severity, "info")
            order |= {"title": render.title(notice), "body": render.body(notice), "kind": kind}
        return json.dumps(order).encode()


def _command() -> list[str]:
    # -P: the folder of the script is not searched for modules; -B: nothing is written.
    return [sys.executable, "-P", "-B", str(SCRIPT)]


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}


def _read(output: bytes, secret: str) -> Receipt:
    try:
        said = json.loads(output)
        ok, answer, permanent = said["ok"] is True, str(said["answer"]), said["permanent"] is True
    except (ValueError, KeyError, TypeError):
        return Receipt(ok=False, answer="Apprise ended without an answer.")
    # What is for good is said by the process itself; the rest comes from the service, and may repeat the URL.
    return Receipt(ok=ok, answer=without(answer, [] if permanent else [secret]), permanent=permanent)
