"""From the chunks of a chat completion to the events of a response. One item is open at a time."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway.entry import Entry
from gateway.http.chat import Place, place_of
from gateway.http.responses.reply import call_item, ended, message_item, part, reasoning_item, response
from gateway.providers.shape import text_of
from gateway.types import Json

Event = dict[str, Any]


class Events:
    """Makes the events of a stream, each with its number."""

    def __init__(self, entry: Entry, given: Mapping[str, Json]) -> None:
        self._entry = entry
        self._given = given
        self._number = 0
        self._model: Json = None
        self._output: list[Event] = []
        #: What is open: an item's kind with the index of its call or the kind of its part; and its text so far.
        self._place: Place | None = None
        self._text: list[str] = []
        self._reason: Json = None
        self._usage: Json = None
        self._tier: Json = None

    def add(self, chunk: Mapping[str, Json]) -> bytes:
        """What goes out for a chunk; possibly nothing."""
        return self._encoded(self._events(chunk))

    def finish(self) -> bytes:
        """What goes out when the reply is complete and its row committed."""
        return self._encoded(self._ending())

    def error(self, error: Mapping[str, Json]) -> bytes:
        """The last event of a stream that failed."""
        event = {
            "type": "error",
            "code": error.get("code") or error.get("type"),
            "message": error.get("message"),
            "param": None,
        }
        return self._encoded(iter([event]))

    def _encoded(self, events: Iterator[Event]) -> bytes:
        made = []
        for event in events:
            event["sequence_number"] = self._number
            self._number += 1
            made.append(b"event: " + event["type"].encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n")
        return b"".join(made)

    def _response(self, **fields: Json) -> dict[str, Json]:
        return response(self._entry.call_id, self._given, self._model or self._entry.row["model_served"], **fields)

    def _events(self, chunk: Mapping[str, Json]) -> Iterator[Event]:
        yield from self._begin(chunk.get("model"))
        self._usage = chunk.get("usage") or self._usage
        self._tier = chunk.get("service_tier") or self._tier
        for choice in chunk.get("choices") or ():
            if not choice.get("index"):
                yield from self._delta(choice.get("delta") or {})
                self._reason = choice.get("finish_reason") or self._reason

    def _begin(self, model: Json) -> Iterator[Event]:
        if self._number == 0:
            self._model = model
            yield {"type": "response.created", "response": self._response()}
            yield {"type": "response.in_progress", "response": self._response()}

    def _ending(self) -> Iterator[Event]:
        yield from self._begin(None)
        yield from self._close()
        ending = ended(self._reason, self._usage)
        whole = self._response(output=self._output, service_tier=self._tier, **ending)
        yield {"type": f"response.{ending['status']}", "response": whole}

    def _delta(self, delta: Mapping[str, Json]) -> Iterator[Event]:
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            yield from self._into(("reasoning", None))
            yield self._grow("response.reasoning_summary_text.delta", thought, summary_index=0)
        if text := text_of(delta.get("content")):
            yield from self._into(("message", "output_text"))
            yield self._grow("response.output_text.delta", text, content_index=0, logprobs=[])
        if refusal := delta.get("refusal"):
            yield from self._into(("message", "refusal"))
            yield self._grow("response.refusal.delta", refusal, content_index=0)
        for call in delta.get("tool_calls") or ():
            yield from self._into(place_of(call, "call", self._place), call)
            if arguments := (call.get("function") or {}).get("arguments"):
                yield self._grow("response.function_call_arguments.delta", arguments)

    def _grow(self, kind: str, text: str, **fields: Json) -> Event:
        self._text.append(text)
        return {"type": kind, "item_id": self._item["id"], "output_index": len(self._output), "delta": text, **fields}

    def _into(self, place: Place, call: Mapping[str, Json] | None = None) -> Iterator[Event]:
        """Opens an item, unless it is the one that is open."""
        if self._place == place:
            return
        yield from self._close()
        self._place, self._text, id, number = place, [], self._entry.call_id, len(self._output)
        if place[0] == "reasoning":
            self._item = {**reasoning_item(id, number, ""), "summary": []}
        elif place[0] == "message":
            self._item = message_item(id, number, [], "in_progress")
        else:
            empty = {**(call or {}), "function": {**((call or {}).get("function") or {}), "arguments": ""}}
            self._item = call_item(id, number, empty, "in_progress")
        at = {"output_index": len(self._output)}
        yield {"type": "response.output_item.added", **at, "item": self._item}
        at["item_id"] = self._item["id"]
        if place[0] == "reasoning":
            empty_part = {"type": "summary_text", "text": ""}
            yield {"type": "response.reasoning_summary_part.added", **at, "summary_index": 0, "part": empty_part}
        elif place[0] == "message":
            yield {"type": "response.content_part.added", **at, "content_index": 0, "part": part(place[1], "")}

    def _close(self) -> Iterator[Event]:
        """Closes the item that is open: its text, its part, itself."""
        if self._place is None:
            return
        (kind, detail), text, self._place = self._place, "".join(self._text), None
        at = {"item_id": self._item["id"], "output_index": len(self._output)}
        if kind == "reasoning":
            done = reasoning_item(self._entry.call_id, len(self._output), text)
            yield {"type": "response.reasoning_summary_text.done", **at, "summary_index": 0, "text": text}
            yield {"type": "response.reasoning_summary_part.done", **at, "summary_index": 0, "part": done["summary"][0]}
        elif kind == "message":
            inside = part(detail, text)
            done = message_item(self._entry.call_id, len(self._output), [inside], "completed")
            if detail == "refusal":
                yield {"type": "response.refusal.done", **at, "content_index": 0, "refusal": text}
            else:
                yield {"type": "response.output_text.done", **at, "content_index": 0, "text": text, "logprobs": []}
            yield {"type": "response.content_part.done", **at, "content_index": 0, "part": inside}
        else:
            done = {**self._item, "arguments": text, "status": "completed"}
            yield {"type": "response.function_call_arguments.done", **at, "name": done["name"], "arguments": text}
        yield {"type": "response.output_item.done", "output_index": len(self._output), "item": done}
        self._output.append(done)
