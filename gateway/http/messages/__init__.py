"""`POST /v1/messages`: Anthropic's Messages over the same pipeline, to whatever provider the feature's route has.

Source: Anthropic's API reference, "Messages" and "Errors", version 2023-06-01.
"""

import orjson

from gateway import engine
from gateway.entry import Entry
from gateway.http.chat import asked, streamed, whole
from gateway.http.messages.reply import Events, message
from gateway.http.messages.request import chat_body
from gateway.http.request import Request
from gateway.types import Json

#: HTTP status → error type, from the reference's table.
TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 529: "overloaded_error",
}  # fmt: skip


async def messages(request: Request) -> None:
    """Answers a message, plain or as a stream of Anthropic's events; `variables` in the body renders the live prompt."""
    request.errors = Errors()
    gate = engine.current()
    ask = await asked(request, gate, "chat", translate=chat_body)
    entry = Entry(ask)
    async with request.watched(at_once=ask.stream):
        if ask.stream:
            await streamed(request, entry, gate, Events(entry))
        else:
            await whole(request, entry, gate, lambda piece: orjson.dumps(message(piece.events[0], entry.call_id)))


class Errors:
    """Errors as Anthropic's clients expect them."""

    def body(self, status: int, error: dict[str, Json], call_id: str) -> dict[str, Json]:
        """The body for an OpenAI error body."""
        inside = error.get("error")
        text = inside.get("message") if isinstance(inside, dict) else None
        kind = TYPES.get(status, "api_error")
        return {
            "type": "error",
            "error": {"type": kind, "message": text or "The call failed."},
            "request_id": call_id or None,
        }

    def event(self, body: dict[str, Json]) -> bytes:
        """The body as the last event of a stream."""
        return b"event: error\ndata: " + orjson.dumps(body) + b"\n\n"
