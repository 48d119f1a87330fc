"""Connections to providers: pooled, without redirects, and never to a private address unless that is allowed."""

import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.providers.guard import is_public


class GuardedResolver(AbstractResolver):
    """Resolves names and drops addresses that are not public, at the moment of connecting.

    Checking the name when it is configured is not enough: it may resolve to another address later (DNS rebinding).
    """

    def __init__(self) -> None:
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        public = [result for result in found if is_public(result["host"])]
        if not public:
            raise OSError(None, f"{host} is not a public address (see TOLLHOUSE_ALLOW_PRIVATE_UPSTREAMS)")
        return public

    async def close(self) -> None:
        await self._resolver.close()


def connector(*, allow_private: bool) -> aiohttp.TCPConnector:
    """A pool without a limit of its own; what may be in flight is decided by budgets and servers."""
    if allow_private:
        return aiohttp.TCPConnector(limit=0)
    return aiohttp.TCPConnector(limit=0, resolver=GuardedResolver())
