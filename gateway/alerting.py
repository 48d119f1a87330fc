"""Alerts of this gate on their way to people: secrets, guarded connections and notices for `budgets.delivery`."""

import json
import os
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import aiohttp

from budgets import channels
from budgets.delivery import Courier
from budgets.dispatch import plan
from budgets.models import Channel
from gateway import secrets
from gateway.conf import settings
from gateway.notices import notice
from gateway.providers.connect import connector


def deliver() -> None:
    """Plans deliveries of new alerts and those that are over, then delivers what is due."""
    plan()
    courier().deliver()


def courier() -> Courier:
    return Courier(
        notice=notice,
        decrypt=secret,
        open_http=open_http,
        kind=partial(channels.channel, allow_private=settings().ALLOW_PRIVATE_UPSTREAMS),
    )


def secret(channel: Channel) -> str:
    """A channel's secret; empty when it has none. Raises ValueError, saying what to do, when it cannot be had."""
    if channel.secret_env:
        check_variable(channel.secret_env)
        if not (value := os.environ.get(channel.secret_env, "")):
            raise ValueError(f"The variable {channel.secret_env} is unset where the worker runs; set it there.")
        return value
    if not channel.secret_encrypted:
        return ""
    try:
        return secrets.decrypt(channel.secret_encrypted, bound_to=_bound_to(channel))
    except secrets.CannotDecrypt:
        raise ValueError(
            "The stored secret is not for these settings, or its encryption key has changed; enter it again."
        ) from None


def encrypt(channel: Channel, text: str) -> str:
    """A secret for the channel as it is set up now; with other settings it does not open, so that it is sent nowhere else."""
    return secrets.encrypt(text, bound_to=_bound_to(channel)) if text else ""


def check_variable(name: str) -> None:
    """Refuses an environment variable that may not hold a channel's secret. Raises ValueError, saying which may."""
    globs = settings().CHANNEL_SECRET_ENV
    if secrets.is_own(name) or not any(fnmatchcase(name, glob) for glob in globs):
        raise ValueError(
            f"The variable {name} may not hold a channel's secret; CHANNEL_SECRET_ENV allows {', '.join(globs) or 'none'}."
        )


def _bound_to(channel: Channel) -> str:
    return f"channel {channel.kind} {json.dumps(channel.config, sort_keys=True)}"


def open_http(traces: list[aiohttp.TraceConfig]) -> aiohttp.ClientSession:
    """A session for what is sent to people: it connects to public addresses only, unless the settings allow others."""
    options: dict[str, Any] = {"cookie_jar": aiohttp.DummyCookieJar(), "trust_env": False, "trace_configs": traces}
    return aiohttp.ClientSession(connector=connector(allow_private=settings().ALLOW_PRIVATE_UPSTREAMS), **options)
