"""Server-sent events, as the OpenAI shape uses them: blocks of `data:` lines, closed by an empty line."""

import orjson

from gateway import json
from gateway.types import Json

DONE = b"data: [DONE]\n\n"


class NotAnEvent(ValueError):
    """An event is not a JSON object. `before` are those that were complete before it."""

    def __init__(self, before: list[dict[str, Json]]) -> None:
        super().__init__("not a JSON object")
        self.before = before


class Events:
    """Cuts a byte stream into events. `feed` takes what the network gave and returns what is complete of it."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> tuple[bytes, list[dict[str, Json]], bool]:
        """The bytes of the complete events before `[DONE]`, those events parsed, and whether `[DONE]` was there.

        Raises NotAnEvent.
        """
        # Only what is new can hold the end of an event: an endless one must not be searched again and again.
        seen = max(0, len(self._rest) - 3)
        self._rest += data
        if b"\r" in self._rest[seen:]:
            self._rest[seen:] = self._rest[seen:].replace(b"\r\n", b"\n")
        end = self._rest.rfind(b"\n\n", seen)
        if end < 0:
            return b"", [], False
        complete = bytes(self._rest[:end])
        del self._rest[: end + 2]
        events: list[dict[str, Json]] = []
        blocks = complete.split(b"\n\n")
        for number, block in enumerate(blocks):
            text = _data(block)
            if text == b"[DONE]":
                return b"".join(before + b"\n\n" for before in blocks[:number]), events, True
            if text is not None:
                try:
                    event = json.read(text)
                except ValueError:
                    raise NotAnEvent(events) from None
                if not isinstance(event, dict):
                    raise NotAnEvent(events)
                events.append(event)
        return complete + b"\n\n", events, False


def _data(block: bytes) -> bytes | None:
    if block.startswith(b"data:") and b"\n" not in block:
        return block[5:].strip()
    lines = [line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def encode(event: dict[str, Json]) -> bytes:
    """One event as it goes over the wire."""
    return b"data: " + orjson.dumps(event) + b"\n\n"
