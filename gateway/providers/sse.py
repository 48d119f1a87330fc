"""Server-sent events, as the OpenAI shape uses them: blocks of `data:` lines, closed by an empty line."""

from collections.abc import Iterator

import orjson

from gateway.types import Json

DONE = b"data: [DONE]\n\n"


class Events:
    """Cuts a byte stream into events. `feed` takes what the network gave and returns what is complete of it."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> tuple[bytes, list[dict[str, Json]], bool]:
        """The bytes of the complete events without `[DONE]`, those events parsed, and whether `[DONE]` was there.

        Raises ValueError for an event that is not a JSON object.
        """
        buffer = self._rest + data
        if b"\r" in buffer:
            buffer = buffer.replace(b"\r\n", b"\n")
        complete, separator, self._rest = buffer.rpartition(b"\n\n")
        if not separator:
            return b"", [], False
        raw = complete + separator
        events: list[dict[str, Json]] = []
        for text in _data(complete):
            if text == b"[DONE]":
                return raw[: raw.rindex(b"data:", 0, raw.rindex(b"[DONE]"))], events, True
            event = orjson.loads(text)
            if not isinstance(event, dict):
                raise ValueError("not a JSON object")
            events.append(event)
        return raw, events, False


def _data(blocks: bytes) -> Iterator[bytes]:
    for block in blocks.split(b"\n\n"):
        lines = [line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:")]
        if lines:
            yield b"\n".join(lines)


def encode(event: dict[str, Json]) -> bytes:
    """One event as it goes over the wire."""
    return b"data: " + orjson.dumps(event) + b"\n\n"
