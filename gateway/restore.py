"""Seventh stage: pseudonyms back to originals for the caller, also where a stream splits them."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.providers.shape import text_of
from gateway.providers.sse import encode
from gateway.types import Json, Piece
from redaction.vault import StreamRestorer, Vault

#: Fields of a message that grow as text.
TEXTS = ("content", "refusal", "reasoning_content", "reasoning")


class Restorer:
    """Makes of each piece what the caller may see. One for each call.

    Without pseudonyms every piece passes as it came, bytes and all. `usage_asked` says whether the caller asked for a
    stream's usage event, which the gate always asks for, `json_asked` whether the reply's text is to be JSON.
    """

    def __init__(self, vault: Vault, *, streamed: bool, usage_asked: bool, json_asked: bool) -> None:
        self._vault = vault
        self._streamed = streamed
        self._usage_asked = usage_asked
        self._json_asked = json_asked
        self._open: dict[tuple[Any, ...], StreamRestorer] = {}

    def restore(self, piece: Piece) -> Piece:
        """The piece for the caller."""
        if not self._streamed:
            return self._whole(piece) if len(self._vault) else piece
        events = piece.events
        if not self._usage_asked:
            events = [event for event in events if not _only_usage(event)]
        if len(self._vault):
            for event in events:
                self._restore_event(event)
        elif len(events) == len(piece.events):
            return piece
        if piece.final:
            return Piece(b"".join(map(encode, events)) + piece.raw, events, final=True)
        return Piece(b"".join(map(encode, events)), events)

    def _whole(self, piece: Piece) -> Piece:
        events: list[dict[str, Json]] = [
            self._vault.restore_json(event, json_content=self._json_asked) for event in piece.events
        ]
        return Piece(orjson.dumps(events[0]), events, final=True)

    def _restore_event(self, event: dict[str, Json]) -> None:
        """Restores the text of an event in place; what is held back comes with the choice's finish reason at the latest."""
        for choice in event.get("choices") or ():
            delta = choice.get("delta")
            if delta is None:
                continue
            index = choice.get("index")
            for field in TEXTS:
                if isinstance(delta.get(field), str):
                    delta[field] = self._feed((index, field), delta[field])
                elif isinstance(delta.get(field), list):
                    delta[field] = self._vault.restore_json(delta[field])
            if delta.get("tool_calls"):
                # What was held back of the text comes before the call, as it was said before.
                self._flush(index, delta, TEXTS)
            for call in delta.get("tool_calls") or ():
                function = call.get("function") or {}
                if isinstance(function.get("arguments"), str):
                    function["arguments"] = self._feed((index, "tool", call.get("index")), function["arguments"])
            if choice.get("finish_reason"):
                self._flush(index, delta, (*TEXTS, "tool"))

    def _feed(self, place: tuple[Any, ...], text: str) -> str:
        restorer = self._open.get(place)
        if restorer is None:
            json_string = True if place[1] == "tool" else self._json_asked or None if place[1] == "content" else False
            restorer = self._open[place] = self._vault.restorer(json_string=json_string)
        return restorer.feed(text)

    def _flush(self, index: Json, delta: dict[str, Json], fields: Sequence[str]) -> None:
        for place in [place for place in self._open if place[0] == index and place[1] in fields]:
            rest = self._open.pop(place).flush()
            if not rest:
                continue
            if place[1] == "tool":
                call = {"index": place[2], "function": {"arguments": rest}}
                delta["tool_calls"] = [*(delta.get("tool_calls") or ()), call]
            else:
                delta[place[1]] = text_of(delta.get(place[1])) + rest


def wants_usage(body: Mapping[str, Json]) -> bool:
    """Whether the caller asked for a stream's usage event."""
    options = body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def wants_json(body: Mapping[str, Json]) -> bool:
    """Whether the caller asked for a reply in JSON, in which originals have to be escaped."""
    form = body.get("response_format")
    return isinstance(form, dict) and form.get("type") in ("json_object", "json_schema")


def _only_usage(event: dict[str, Json]) -> bool:
    return event.get("choices") == [] and event.get("usage") is not None
