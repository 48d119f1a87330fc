"""`POST /v1/calls/ID/scores` and `…/steps`: what somebody tells of a call afterwards."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import orjson
from django.db import connection

from gateway import engine, scores
from gateway.catalog import KeyInfo
from gateway.errors import InvalidRequest
from gateway.http.auth import authenticate, caller
from gateway.http.request import Request
from gateway.scores import May
from gateway.steps import tell
from gateway.telemetry import steps as spans
from gateway.types import Caller, Json

PATH = re.compile(r"/v1/calls/([^/]{1,100})/(scores|steps)")
#: A few short fields.
MOST_BYTES = 10_000
#: The status of the answer, and what it says.
Answer = tuple[int, dict[str, Json]]


def is_path(path: str) -> bool:
    """Whether it is a path of some call."""
    return PATH.fullmatch(path) is not None


def handler(request: Request) -> Callable[[Request], Awaitable[None]] | None:
    """What answers the request; None where it is none of these. A path with an id in it is in no table of routes."""
    return told if request.method == "POST" and is_path(request.path) else None


async def told(request: Request) -> None:
    """Notes what is told. The key may do so for calls of its features and, where it is bound to a tenant, of this alone; other
    calls are not there for it.
    """
    match = PATH.fullmatch(request.path)
    assert match is not None, "the handler is for these paths"
    key = authenticate(request, engine.current())
    whose = caller(request, key)
    body = await request.json(MOST_BYTES)
    again = request.header("idempotency-key")
    what, note, fields = ("score", _score, SCORE) if match[2] == "scores" else ("step", _step, STEP)
    if unknown := [name for name in body if name not in fields]:
        raise InvalidRequest(
            f"A {what} has {', '.join(fields)}; it takes no {unknown[0][:40]!r}, and no text.", param=unknown[0]
        )

    def noted() -> Answer:
        try:
            return note(
                match[1], body, key, whose, again, lambda feature, of: key.allows(feature) and whose.tenant in ("", of)
            )
        finally:
            # Nobody else closes those of this thread.
            connection.close()

    # In a thread, as it waits for the database; the gate's own threads are busy with calls.
    status, answer = await asyncio.to_thread(noted)
    await request.answer(status, orjson.dumps(answer))


SCORE = ("kind", "value", "name")


def _score(call_id: str, body: Mapping[str, Json], key: KeyInfo, whose: Caller, _again: str, may: May) -> Answer:
    """201, or 200 where the source had said the same already. The source is the user of X-Tollhouse-User, else the key."""
    say = scores.checked(
        call_id, body.get("kind"), body.get("value"), body.get("name", ""),
        source="user" if whose.user_ref else f"key:{key.name}", author=whose.user_ref,
    )  # fmt: skip
    found = scores.add(say, may)
    name = {"name": found.name} if found.name else {}
    answer: dict[str, Json] = {
        "id": str(found.id), "object": "score", "call_id": str(found.call_id), "kind": found.kind, "value": found.value, **name,
    }  # fmt: skip
    return 201 if found.new else 200, answer


STEP = ("kind", "name", "latency_ms", "ended_ms_ago", "outcome", "error_class", "counts")


def _step(call_id: str, body: Mapping[str, Json], _key: KeyInfo, whose: Caller, again: str, may: May) -> Answer:
    """201, or 200 where it was told before, by the Idempotency-Key `again`."""
    step = tell.checked(call_id, body, again)
    row = tell.tell(step, may)
    if row.new:
        error = "" if step.outcome == "ok" else step.error_class or step.outcome
        whose = replace(whose, session_id=row.session_id)
        spans.tell(row.kind, row.name, row.id, whose, step.latency_ms, error, step.step.counts)
    return 201 if row.new else 200, {
        "id": str(row.id), "object": "step", "call_id": str(step.call_id), "kind": row.kind, "name": row.name,
    }  # fmt: skip
