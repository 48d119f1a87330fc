"""Server-sent events, as the OpenAI shape uses them: blocks of `data:` lines, closed by an empty line."""

from collections.abc import Iterator

import orjson

from gateway.types import Json

DONE = b"data: [DONE]\n\n"


class Events:
    """Cuts a byte stream into events. `feed` takes what the network gave and returns the complete events in it."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> tuple[list[dict[str, Json]], bool]:
        """Parsed events, and whether `[DONE]` was among them. Raises ValueError for an event that is not JSON."""
        buffer = self._rest + data
        if b"\r" in buffer:
            buffer = buffer.replace(b"\r\n", b"\n")
        complete, separator, self._rest = buffer.rpartition(b"\n\n")
        events, done = [], False
        if separator:
            for text in _data(complete):
                if text == b"[DONE]":
                    done = True
                elif text:
                    events.append(orjson.loads(text))
        return events, done


def _data(blocks: bytes) -> Iterator[bytes]:
    for block in blocks.split(b"\n\n"):
        lines = [line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:")]
        if lines:
            yield b"\n".join(lines)


def encode(event: dict[str, Json]) -> bytes:
    """One event as it goes over the wire."""
    return b"data: " + orjson.dumps(event) + b"\n\n"
