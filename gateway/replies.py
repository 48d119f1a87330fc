"""What calls give back: a reply, a stream of deltas, vectors; and how the pipeline is run for each, from any thread or loop."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self
from uuid import UUID

from gateway import engine
from gateway.drain import passage
from gateway.entry import Entry
from gateway.gate import Gate
from gateway.heard import Heard
from gateway.pipeline import run
from gateway.types import TOKEN_PARTS, Ask, Json, Piece, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A model's reply, with what its row says. `raw` is the provider's own JSON (for a stream: its last event)."""

    call_id: UUID
    text: str
    tool_calls: Sequence[Mapping[str, Json]]
    finish_reason: str
    outcome: str
    model: str
    prompt_version: str
    usage: Usage
    cost_usd: Decimal | None
    raw: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What one moment of a stream added: its text, and the provider's events in full."""

    text: str
    events: Sequence[Mapping[str, Json]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """Vectors in the order of the texts, with what the call's row says."""

    call_id: UUID
    vectors: Sequence[Sequence[float]]
    model: str
    usage: Usage
    cost_usd: Decimal | None


class _Pieces:
    """A stream's state, in the engine's loop: each step answers the next delta, or None at the end."""

    def __init__(self, ask: Ask) -> None:
        self._entry = Entry(ask)
        self._heard = Heard()
        self._run: AsyncGenerator[Piece] | None = None
        self._over = False
        self.reply: Reply | None = None

    async def step(self) -> Delta | None:
        if self._over:
            return None
        # Whatever ends the stream ends it for good: a call that failed has no reply, and one that was closed none to come.
        self._over = True
        if self._run is None:
            self._run = passage(self._entry, await _gate())
        async for piece in self._run:
            self._heard.add(piece)
            if not piece.final:
                self._over = False
                return Delta(text=_said(piece), events=piece.events)
        self.reply = _reply(self._entry, self._heard, {})
        return None

    async def close(self) -> None:
        self._over = True
        if self._run is not None:
            await self._run.aclose()


class ReplyStream:
    """An iterator of `Delta`; a context manager that cancels the call when left early. `reply` is None until the end."""

    def __init__(self, ask: Ask) -> None:
        self._pieces = _Pieces(ask)

    @property
    def reply(self) -> Reply | None:
        return self._pieces.reply

    def __iter__(self) -> Iterator[Delta]:
        return self

    def __next__(self) -> Delta:
        delta = blocking(self._pieces.step())
        if delta is None:
            raise StopIteration
        return delta

    def close(self) -> None:
        """Cancels the call, unless it has ended; its row says `cancelled` and what was used until then."""
        blocking(self._pieces.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class AsyncReplyStream:
    """As `ReplyStream`, for `async for` and `async with`."""

    def __init__(self, asking: Callable[[], Awaitable[Ask]]) -> None:
        self._asking = asking
        self._pieces: _Pieces | None = None

    @property
    def reply(self) -> Reply | None:
        return self._pieces.reply if self._pieces else None

    def __aiter__(self) -> AsyncIterator[Delta]:
        return self

    async def __anext__(self) -> Delta:
        if self._pieces is None:
            self._pieces = _Pieces(await self._asking())
        delta = await awaiting(self._pieces.step())
        if delta is None:
            raise StopAsyncIteration
        return delta

    async def aclose(self) -> None:
        """Cancels the call, unless it has ended; its row says `cancelled` and what was used until then."""
        if self._pieces:
            await awaiting(self._pieces.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()


async def complete(ask: Ask) -> Reply:
    """The reply to a call, in the engine's loop."""
    entry, heard, raw = Entry(ask), Heard(), {}
    async with aclosing(passage(entry, await _gate())) as pieces:
        async for piece in pieces:
            heard.add(piece)
            raw = piece.events[0]
    return _reply(entry, heard, raw)


async def embed(ask: Ask) -> Embeddings:
    """The vectors of a call, in the engine's loop."""
    entry, raw = Entry(ask), {}
    async with aclosing(run(entry, await _gate())) as pieces:
        async for piece in pieces:
            raw = piece.events[0]
    return Embeddings(
        call_id=entry.call_id, vectors=[item["embedding"] for item in raw.get("data") or ()],
        model=entry.row["model_served"], usage=_usage(entry), cost_usd=entry.row["cost_usd"],
    )  # fmt: skip


async def _gate() -> Gate:
    return engine.current()


def blocking[T](coroutine: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns in the engine's loop, from a thread without a loop or with another one."""
    try:
        engine.refuse_own_loop()
        running = engine.start()
    except BaseException:
        coroutine.close()
        raise
    future = running.submit(coroutine)
    try:
        return future.result()
    except BaseException:
        # Whoever waits may be interrupted, by a time limit of a task queue for one; nobody wants the reply then.
        future.cancel()
        raise


async def awaiting[T](coroutine: Coroutine[Any, Any, T]) -> T:
    """As `blocking`, awaited; cancelling it cancels the coroutine."""
    try:
        running = await asyncio.to_thread(engine.start) if not engine.running() else engine.start()
    except BaseException:
        coroutine.close()
        raise
    if asyncio.get_running_loop() is running.loop:
        return await coroutine
    return await asyncio.wrap_future(running.submit(coroutine))


def _said(piece: Piece) -> str:
    """What a piece adds to the first choice's text."""
    texts = []
    for event in piece.events:
        for choice in event.get("choices") or ():
            delta = choice.get("delta") if isinstance(choice, dict) and choice.get("index", 0) == 0 else None
            if isinstance(delta, dict) and isinstance(text := delta.get("content"), str):
                texts.append(text)
    return "".join(texts)


def _reply(entry: Entry, heard: Heard, raw: Mapping[str, Json]) -> Reply:
    first = heard.messages[0] if heard.messages else {}
    return Reply(
        call_id=entry.call_id,
        text=str(first.get("content") or ""),
        tool_calls=first.get("tool_calls") or (),
        finish_reason=heard.finish_reason,
        outcome=entry.row["outcome"],
        model=entry.row["model_served"],
        prompt_version=entry.row["prompt_version"],
        usage=_usage(entry),
        cost_usd=entry.row["cost_usd"],
        raw=raw,
    )


def _usage(entry: Entry) -> Usage:
    row = entry.row
    return Usage(**{part: row[part] for part in TOKEN_PARTS}, estimated=row["usage_estimated"])
