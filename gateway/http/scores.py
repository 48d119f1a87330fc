"""`POST /v1/calls/ID/scores`: what somebody says of a call afterwards."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import orjson
from django.db import connection

from gateway import engine
from gateway.errors import InvalidRequest
from gateway.http.auth import authenticate, caller
from gateway.http.request import Request
from gateway.scores import May, Say, Score, add, checked

PATH = re.compile(r"/v1/calls/([^/]{1,100})/scores")
FIELDS = ("kind", "value", "name")
#: A score is three small fields.
MOST_BYTES = 10_000


def is_path(path: str) -> bool:
    """Whether it is the path of some call's scores."""
    return PATH.fullmatch(path) is not None


def handler(request: Request) -> Callable[[Request], Awaitable[None]] | None:
    """What answers the request; None where it is none of these. A path with an id in it is in no table of routes."""
    return scores if request.method == "POST" and is_path(request.path) else None


async def scores(request: Request) -> None:
    """Notes a score: 201, or 200 where the source had said the same already. The key may score calls of its features and,
    where it is bound to a tenant, of this alone; other calls are not there for it. The source is the user of
    X-Tollhouse-User, else the key.
    """
    match = PATH.fullmatch(request.path)
    assert match is not None, "the handler is for these paths"
    key = authenticate(request, engine.current())
    whose = caller(request, key)
    body = await request.json(MOST_BYTES)
    if unknown := [name for name in body if name not in FIELDS]:
        raise InvalidRequest(
            f"A score has `kind`, `value` and, of an eval, `name`; it takes no {unknown[0][:40]!r}, and no text.",
            param=unknown[0],
        )
    say = checked(
        match[1], body.get("kind"), body.get("value"), body.get("name", ""),
        source="user" if whose.user_ref else f"key:{key.name}", author=whose.user_ref,
    )  # fmt: skip
    # In a thread, as it waits for the database; the gate's own threads are busy with calls.
    found = await asyncio.to_thread(_add, say, lambda feature, of: key.allows(feature) and whose.tenant in ("", of))
    told = {"id": str(found.id), "object": "score", "call_id": str(found.call_id), "kind": found.kind, "value": found.value,
            **({"name": found.name} if found.name else {})}  # fmt: skip
    await request.answer(201 if found.new else 200, orjson.dumps(told))


def _add(say: Say, may: May) -> Score:
    try:
        return add(say, may)
    finally:
        # Nobody else closes those of this thread.
        connection.close()
