"""A caller who leaves before the reply is complete: the call is cancelled, or read on to its usage, as its feature says."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.entry import Entry
from gateway.errors import GatewayError
from gateway.gate import Gate
from gateway.pipeline import run
from gateway.types import Piece


def passage(entry: Entry, gate: Gate) -> AsyncGenerator[Piece]:
    """The pieces of a call, as `pipeline.run` yields them, for a caller who may leave at any of them."""
    feature = gate.catalog.features.get(entry.ask.feature)
    return _drained(entry, gate) if feature and feature.drains else run(entry, gate)


async def _drained(entry: Entry, gate: Gate) -> AsyncGenerator[Piece]:
    """As `run`, in a task of its own, which goes on when the caller leaves, if the gate has a drain free."""
    # One piece at a time, so that a slow caller slows the provider down as before.
    pieces: asyncio.Queue[Piece | None] = asyncio.Queue(maxsize=1)
    gone = asyncio.Event()
    reading = asyncio.create_task(_read(entry, gate, pieces, gone), name="tollhouse-reading")
    try:
        while (piece := await pieces.get()) is not None:
            yield piece
        await reading
    finally:
        gone.set()
        if reading.done():
            _ = reading.cancelled() or reading.exception()  # Its row has told it.
        elif gate.drains.take(reading):
            entry.left = "drained"
            if pieces.full():
                pieces.get_nowait()  # What the reader waits with.
        else:
            entry.left = "crowded"
            reading.cancel()
            await asyncio.wait({reading})


async def _read(entry: Entry, gate: Gate, pieces: "asyncio.Queue[Piece | None]", gone: asyncio.Event) -> None:
    try:
        async with aclosing(run(entry, gate)) as found:
            async for piece in found:
                if not gone.is_set():
                    await pieces.put(piece)
    except GatewayError:
        # Its row says so; nobody is left to be told.
        if not gone.is_set():
            raise
    finally:
        if not gone.is_set():
            await pieces.put(None)
