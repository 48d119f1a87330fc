"""`POST /v1/embeddings`: texts in, vectors out, as floats or as base64."""

import base64
import struct

import orjson

from gateway import engine
from gateway.entry import Entry
from gateway.errors import InvalidRequest
from gateway.http.chat import asked, whole
from gateway.http.request import Request
from gateway.types import Piece


async def embeddings(request: Request) -> None:
    """Answers embeddings in the OpenAI shape. `encoding_format` is honoured also where the provider does not know it."""
    gate = engine.current()
    ask = await asked(request, gate, "embeddings")
    encoding = ask.body.get("encoding_format")
    if encoding not in (None, "float", "base64"):
        raise InvalidRequest("`encoding_format` must be float or base64.", param="encoding_format")
    async with request.watched():
        if encoding == "base64":
            await whole(request, Entry(ask), gate, finish=_as_base64)
        else:
            await whole(request, Entry(ask), gate)


def _as_base64(piece: Piece) -> bytes:
    """The body with every vector as base64 of little-endian 32-bit floats, which OpenAI's clients expect."""
    event = piece.events[0]
    items = event["data"]
    if not any(isinstance(item.get("embedding"), list) for item in items):
        return piece.raw
    try:
        encoded = [
            {**item, "embedding": _pack(item["embedding"])} if isinstance(item.get("embedding"), list) else item
            for item in items
        ]
    except (struct.error, OverflowError):
        # No vector of 32-bit floats: the caller sees it as it is.
        return piece.raw
    return orjson.dumps({**event, "data": encoded})


def _pack(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
