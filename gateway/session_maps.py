"""A session's pseudonyms: read before the analysis, written after it, encrypted, and of one session only.

Whose session it is: tenant, feature, key, user and session id together, so that nobody gets at another's values by saying
another's session id. Calls of one session that come at the same time cannot give one placeholder to two values: whoever
writes second starts again from what the first one wrote.
"""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
from psycopg import AsyncConnection

from gateway import keys
from gateway.identify import Identified
from gateway.ledger.database import connect
from gateway.secrets import CannotDecrypt, decrypt, encrypt
from gateway.sql import queries
from redaction.messages import RedactedBody
from redaction.vault import Vault

logger = logging.getLogger("tollhouse.redaction")

#: How long a call waits for the table in all; after that its pseudonyms are those of the call alone. Seconds.
PATIENCE_S = 2.0
#: A session that is only read is written when less than this share of its lifetime is left, so that it lives on.
RENEWED_BELOW = 0.9
SQL = queries("sessions.sql")

Redact = Callable[[Vault], RedactedBody]


class MapUnavailable(Exception):
    """The table did not answer, or not in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Whose pseudonyms they are. `key` is a keyed hash: the session's id is written nowhere here."""

    key: bytes
    tenant: str
    user_ref: str
    lifetime_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What the table holds: nothing (version 0), or the encrypted map and the share of its lifetime that is left."""

    content: str = ""
    version: int = 0
    left: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a body, with the pseudonyms used, and the encrypted map where there are new ones."""

    found: RedactedBody
    vault: Vault
    content: str | None


def session_of(call: Identified) -> Session | None:
    """The session whose pseudonyms a call uses; None where policy or caller name none."""
    caller, policy = call.ask.caller, call.policy
    if policy.pseudonyms != "session" or not caller.session_id:
        return None
    whose = [caller.tenant, call.feature.slug, caller.key, caller.user_ref, caller.session_id]
    key = hmac.digest(keys.pepper("session"), orjson.dumps(whose), "sha256")
    return Session(key=key, tenant=caller.tenant, user_ref=caller.user_ref, lifetime_s=policy.session_hours * 3600)


class SessionMaps:
    """The table `tollhouse_session_map`, over one connection, opened at first use."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._connect_to = dict(parameters)
        self._connection: AsyncConnection[Any] | None = None
        self._turn = asyncio.Lock()

    async def redact(
        self,
        session: Session,
        redact: Redact,
        offload: Callable[..., Awaitable[Outcome]],
        *,
        patience_s: float = PATIENCE_S,
    ) -> Outcome:
        """Redacts with the session's pseudonyms, which hold what is new in them when this returns.

        `offload` runs a function with its arguments off the loop. Where the table does not answer in `patience_s` in all,
        or calls of the same session are always first, the pseudonyms are the call's own. Raises what `redact` raises.
        """
        left_s = patience_s
        loop = asyncio.get_running_loop()
        try:
            while left_s > 0:
                began = loop.time()
                async with asyncio.timeout(left_s):
                    stored = await self._load(session)
                left_s -= loop.time() - began
                # The analysis has a limit of its own.
                outcome = await offload(_redacted, session, stored, redact)
                began = loop.time()
                async with asyncio.timeout(max(left_s, 0.1)):
                    if await self._keep(session, stored, outcome.content):
                        return outcome
                left_s -= loop.time() - began
        except (MapUnavailable, TimeoutError):
            pass
        logger.warning("a session's pseudonyms could not be read or kept in %s s; the call has its own", patience_s)
        return await offload(_redacted, session, Stored(), redact)

    async def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            await self._connection.close()

    async def _load(self, session: Session) -> Stored:
        row = await self._ask("load", key=session.key, lifetime_s=session.lifetime_s)
        return Stored(content=row[0], version=row[1], left=row[2]) if row else Stored()

    async def _keep(self, session: Session, stored: Stored, content: str | None) -> bool:
        """Writes what replaces `stored` (None: it stays, and lives on). Whether no other call did so first."""
        if content is None:
            if stored.version and stored.left < RENEWED_BELOW:
                await self._ask("renew", key=session.key, lifetime_s=session.lifetime_s)
            return True
        row = await self._ask(
            "replace" if stored.version else "insert",
            key=session.key, tenant=session.tenant, user_ref=session.user_ref, content=content,
            version=stored.version, lifetime_s=session.lifetime_s,
        )  # fmt: skip
        return row is not None

    async def _ask(self, query: str, **values: Any) -> tuple[Any, ...] | None:
        async with self._turn:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = await connect(self._connect_to)
                cursor = await self._connection.execute(SQL[query], values)
                return await cursor.fetchone()
            except BaseException as error:
                # Also when the patience ended: a statement under way leaves its connection in no known state.
                connection, self._connection = self._connection, None
                if connection is not None:
                    await connection.close()
                if isinstance(error, psycopg.Error | OSError):
                    raise MapUnavailable(type(error).__name__) from None
                raise


def _redacted(session: Session, stored: Stored, redact: Redact) -> Outcome:
    """Takes the CPU."""
    use = f"session {session.key.hex()}"
    vault = Vault()
    if stored.content:
        try:
            vault = Vault.remembering(orjson.loads(decrypt(stored.content, bound_to=use)))
        except CannotDecrypt:
            logger.warning("a session's pseudonyms cannot be read, as their encryption key is gone; they begin anew")
    found = redact(vault)
    content = encrypt(orjson.dumps(vault.state()).decode(), bound_to=use) if vault.grown else None
    return Outcome(found=found, vault=vault, content=content)
