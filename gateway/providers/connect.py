"""Connections to providers: pooled, and never to a private address unless that is allowed."""

import socket
from typing import Any

import aiohttp

from budgets.addresses import is_public


def session(*, allow_private: bool) -> aiohttp.ClientSession:
    """The client of all providers: without cookies, and without the environment's proxies.

    Also without the hooks that OpenTelemetry's and Sentry's integrations put into every client of a process: they would send
    an application's trace and baggage to vendors, and have each attempt twice.
    """
    made = aiohttp.ClientSession(
        connector=connector(allow_private=allow_private), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
    )
    made.trace_configs.clear()
    return made


def connector(*, allow_private: bool) -> aiohttp.TCPConnector:
    """A pool without a limit of its own; what may be in flight is decided by budgets and servers."""
    return aiohttp.TCPConnector(limit=0, socket_factory=None if allow_private else _guarded_socket)


def _guarded_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for an address that is about to be connected to. Raises OSError for one that is not public.

    Here and not where the name is configured or resolved: a name may resolve to another address at any time (DNS
    rebinding), and an address written as such is not resolved at all.
    """
    family, kind, protocol, _, (host, *_) = address
    if not is_public(host):
        raise OSError(None, f"{host} is not a public address (see TOLLHOUSE_ALLOW_PRIVATE_UPSTREAMS)")
    return socket.socket(family=family, type=kind, proto=protocol)
