"""`POST /v1/calls/ID/steps`: what a client did around a call of its own, such as running the tool that the reply asked for."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import orjson
from django.db import connection

from gateway import engine
from gateway.errors import InvalidRequest
from gateway.http.auth import authenticate, caller
from gateway.http.request import Request
from gateway.steps.tell import Told, checked, tell

PATH = re.compile(r"/v1/calls/([^/]{1,100})/steps")
FIELDS = ("kind", "name", "latency_ms", "ended_ms_ago", "outcome", "error_class", "counts")
#: A step is a name and a few numbers.
MOST_BYTES = 10_000


def is_path(path: str) -> bool:
    """Whether it is the path of some call's steps."""
    return PATH.fullmatch(path) is not None


def handler(request: Request) -> Callable[[Request], Awaitable[None]] | None:
    """What answers the request; None where it is none of these. A path with an id in it is in no table of routes."""
    return steps if request.method == "POST" and is_path(request.path) else None


async def steps(request: Request) -> None:
    """Notes a step: 201. The key may do so for calls of its features and, where it is bound to a tenant, of this alone; other
    calls are not there for it.
    """
    match = PATH.fullmatch(request.path)
    assert match is not None, "the handler is for these paths"
    key = authenticate(request, engine.current())
    whose = caller(request, key)
    body = await request.json(MOST_BYTES)
    if unknown := [name for name in body if name not in FIELDS]:
        raise InvalidRequest(
            f"A step has {', '.join(FIELDS)}; it takes no {unknown[0][:40]!r}, and no content.", param=unknown[0]
        )
    told = checked(match[1], body)
    # In a thread, as it waits for the database; the gate's own threads are busy with calls.
    id = await asyncio.to_thread(_tell, told, lambda feature, of: key.allows(feature) and whose.tenant in ("", of))
    said = {
        "id": str(id),
        "object": "step",
        "call_id": str(told.call_id),
        "kind": told.step.kind,
        "name": told.step.name,
    }
    await request.answer(201, orjson.dumps(said))


def _tell(told: Told, may: Callable[[str, str], bool]) -> object:
    try:
        return tell(told, may)
    finally:
        # Nobody else closes those of this thread.
        connection.close()
