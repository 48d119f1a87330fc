"""Where cached replies are: a table of the database, or Redis."""

import asyncio
from importlib import import_module
from typing import Any, Protocol

import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg import AsyncConnection

from gateway.ledger.database import connect

#: How long a call waits for the cache before it goes on without; seconds.
TIMEOUT_S = 0.5
GET = "SELECT value FROM tollhouse_cached_reply WHERE key = %s AND expires_at > now()"
PUT = """
INSERT INTO tollhouse_cached_reply (key, value, expires_at) VALUES (%s, %s, now() + %s * interval '1 second')
ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
"""


class StoreUnavailable(Exception):
    """The store did not answer, or not in time."""


class Store(Protocol):
    """Texts under keys, each for a time. Raises StoreUnavailable."""

    async def get(self, key: bytes) -> str | None:
        """The text under a key; None where there is none."""

    async def put(self, key: bytes, value: str, ttl_s: int) -> None:
        """Puts a text under a key for that many seconds."""

    async def close(self) -> None:
        """Closes the connection."""


class PostgresStore:
    """The table `tollhouse_cached_reply`, over one connection, opened at first use. The worker deletes what has expired."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self._connect_to = parameters
        self._connection: AsyncConnection[Any] | None = None
        self._turn = asyncio.Lock()

    async def get(self, key: bytes) -> str | None:
        row = await self._ask(GET, [key])
        return None if row is None else row[0]

    async def put(self, key: bytes, value: str, ttl_s: int) -> None:
        await self._ask(PUT, [key, value, ttl_s])

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def _ask(self, query: str, parameters: list[Any]) -> tuple[Any, ...] | None:
        try:
            async with asyncio.timeout(TIMEOUT_S), self._turn:
                if self._connection is None or self._connection.closed:
                    self._connection = await connect(self._connect_to)
                cursor = await self._connection.execute(query, parameters)
                return await cursor.fetchone() if cursor.description else None
        except (psycopg.Error, OSError, TimeoutError) as error:
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.close()
            raise StoreUnavailable(type(error).__name__) from None


class RedisStore:
    """Redis or Valkey, which forget by themselves. Raises ImproperlyConfigured without the package redis."""

    def __init__(self, url: str) -> None:
        try:
            redis = import_module("redis.asyncio")
        except ImportError:
            raise ImproperlyConfigured(
                "TOLLHOUSE['CACHE_URL'] needs the package redis; install Tollhouse with its extra `redis`."
            ) from None
        self._error: type[Exception] = import_module("redis").RedisError
        self._client = redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)

    async def get(self, key: bytes) -> str | None:
        try:
            value = await self._client.get(b"tollhouse:" + key)
        except (self._error, OSError) as error:
            raise StoreUnavailable(type(error).__name__) from None
        return None if value is None else value.decode()

    async def put(self, key: bytes, value: str, ttl_s: int) -> None:
        try:
            await self._client.set(b"tollhouse:" + key, value, ex=ttl_s)
        except (self._error, OSError) as error:
            raise StoreUnavailable(type(error).__name__) from None

    async def close(self) -> None:
        await self._client.aclose()


def store(url: str, parameters: dict[str, Any]) -> Store:
    """The store that the setting CACHE_URL names: empty for the database (`parameters`: psycopg's), or redis://…"""
    if not url:
        return PostgresStore(parameters)
    if url.startswith(("redis://", "rediss://", "unix://")):
        return RedisStore(url)
    raise ImproperlyConfigured(f"TOLLHOUSE['CACHE_URL'] must be empty or begin with redis://, not {url[:20]!r}.")
