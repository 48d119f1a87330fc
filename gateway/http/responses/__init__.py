"""`POST /v1/responses`: OpenAI's Responses over the same pipeline, to whatever provider the feature's route has.

Source: OpenAI's API reference, "Responses", and the types of its SDK, openai 3. Nothing is stored under a response's id.
"""

import orjson

from gateway import engine
from gateway.entry import Entry
from gateway.http.chat import asked, streamed, whole
from gateway.http.errors import OpenAIErrors
from gateway.http.request import Request
from gateway.http.responses.reply import finished
from gateway.http.responses.request import chat_body
from gateway.http.responses.stream import Events
from gateway.types import Json


async def responses(request: Request) -> None:
    """Answers a response, plain or as a stream of events; `variables` in the body renders the feature's live prompt."""
    gate = engine.current()
    given: dict[str, Json] = {}

    def translate(body: dict[str, Json]) -> dict[str, Json]:
        given.update(body)
        return chat_body(body)

    ask = await asked(request, gate, "chat", translate=translate)
    entry = Entry(ask)
    async with request.watched(at_once=ask.stream):
        if ask.stream:
            events = Events(entry, given)
            request.errors = StreamErrors(events)
            await streamed(request, entry, gate, events)
        else:
            await whole(
                request, entry, gate, lambda piece: orjson.dumps(finished(piece.events[0], entry.call_id, given))
            )


class StreamErrors(OpenAIErrors):
    """Errors in the middle of a stream are events with a number, as all of its events."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def event(self, body: dict[str, Json]) -> bytes:
        return self._events.error(body["error"])
