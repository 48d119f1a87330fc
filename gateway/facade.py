"""The Python API: `complete`, `stream` and `embed` for synchronous code, and the same with an `a` for coroutines.

All six run the one pipeline in the process's engine, from a view, a task, a shell or a coroutine of any event loop.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self
from uuid import UUID

from gateway import engine, keys
from gateway.entry import Entry
from gateway.gate import Gate
from gateway.heard import Heard
from gateway.pipeline import run
from gateway.types import TOKEN_PARTS, Ask, Caller, Json, Operation, Piece, Usage


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


def complete(
    feature: str,
    variables: Mapping[str, Json] | None = None,
    /,
    *,
    messages: Sequence[Mapping[str, Json]] | None = None,
    user: Any = None,
    tenant: str = "",
    cohort: str = "",
    session: str = "",
    model: str = "",
    labels: Mapping[str, str] | None = None,
    **parameters: Json,
) -> Reply:
    """The model's reply for a feature: its live prompt rendered with `variables`, then `messages`.

    `user` is a Django user or any id; rows keep a keyed hash of it. `model` picks a route or a target of the feature's
    route. `parameters` go to the provider as they are (`temperature`, `tools`, `response_format`, …). The call's row is
    committed before this returns. Raises `gateway.errors.GatewayError`; RuntimeError when called in the engine's own
    event loop, where `acomplete` is the way.
    """
    ask = _ask("chat", feature, variables, messages, user, tenant, cohort, session, model, labels, parameters)
    return _blocking(_complete(ask))


async def acomplete(
    feature: str,
    variables: Mapping[str, Json] | None = None,
    /,
    *,
    messages: Sequence[Mapping[str, Json]] | None = None,
    user: Any = None,
    tenant: str = "",
    cohort: str = "",
    session: str = "",
    model: str = "",
    labels: Mapping[str, str] | None = None,
    **parameters: Json,
) -> Reply:
    """As `complete`, from a coroutine of any event loop; cancelling it cancels the call."""
    ask = _ask("chat", feature, variables, messages, user, tenant, cohort, session, model, labels, parameters)
    return await _awaiting(_complete(ask))


def stream(
    feature: str,
    variables: Mapping[str, Json] | None = None,
    /,
    *,
    messages: Sequence[Mapping[str, Json]] | None = None,
    user: Any = None,
    tenant: str = "",
    cohort: str = "",
    session: str = "",
    model: str = "",
    labels: Mapping[str, str] | None = None,
    **parameters: Json,
) -> "ReplyStream":
    """As `complete`, as an iterator of `Delta`; `.reply` is there when it has ended. Closing it early cancels the call."""
    ask = _ask(
        "chat", feature, variables, messages, user, tenant, cohort, session, model, labels, parameters, stream=True
    )
    return ReplyStream(ask)


def astream(
    feature: str,
    variables: Mapping[str, Json] | None = None,
    /,
    *,
    messages: Sequence[Mapping[str, Json]] | None = None,
    user: Any = None,
    tenant: str = "",
    cohort: str = "",
    session: str = "",
    model: str = "",
    labels: Mapping[str, str] | None = None,
    **parameters: Json,
) -> "AsyncReplyStream":
    """As `stream`, as an asynchronous iterator."""
    ask = _ask(
        "chat", feature, variables, messages, user, tenant, cohort, session, model, labels, parameters, stream=True
    )
    return AsyncReplyStream(ask)


def embed(
    feature: str,
    texts: str | Sequence[str],
    /,
    *,
    user: Any = None,
    tenant: str = "",
    cohort: str = "",
    session: str = "",
    model: str = "",
    labels: Mapping[str, str] | None = None,
    **parameters: Json,
) -> Embeddings:
    """A vector for each text. Raises as `complete` does."""
    return _blocking(_embed(_embedding_ask(feature, texts, user, tenant, cohort, session, model, labels, parameters)))


async def aembed(
    feature: str,
    texts: str | Sequence[str],
    /,
    *,
    user: Any = None,
    tenant: str = "",
    cohort: str = "",
    session: str = "",
    model: str = "",
    labels: Mapping[str, str] | None = None,
    **parameters: Json,
) -> Embeddings:
    """As `embed`, from a coroutine of any event loop."""
    ask = _embedding_ask(feature, texts, user, tenant, cohort, session, model, labels, parameters)
    return await _awaiting(_embed(ask))


class _Pieces:
    """A stream's state, in the engine's loop: each step answers the next delta, or None at the end."""

    def __init__(self, ask: Ask) -> None:
        self._entry = Entry(ask)
        self._heard = Heard()
        self._run: AsyncGenerator[Piece] | None = None
        self.reply: Reply | None = None

    async def step(self) -> Delta | None:
        if self._run is None:
            self._run = run(self._entry, await _gate())
        async for piece in self._run:
            before = len(self._heard.text)
            self._heard.add(piece)
            if not piece.final:
                return Delta(text=self._heard.text[before:], events=piece.events)
        self.reply = self.reply or _reply(self._entry, self._heard, {})
        return None

    async def close(self) -> None:
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
        delta = _blocking(self._pieces.step())
        if delta is None:
            raise StopIteration
        return delta

    def close(self) -> None:
        """Cancels the call, unless it has ended; its row says `cancelled` and what was used until then."""
        _blocking(self._pieces.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class AsyncReplyStream:
    """As `ReplyStream`, for `async for` and `async with`."""

    def __init__(self, ask: Ask) -> None:
        self._pieces = _Pieces(ask)

    @property
    def reply(self) -> Reply | None:
        return self._pieces.reply

    def __aiter__(self) -> AsyncIterator[Delta]:
        return self

    async def __anext__(self) -> Delta:
        delta = await _awaiting(self._pieces.step())
        if delta is None:
            raise StopAsyncIteration
        return delta

    async def aclose(self) -> None:
        """Cancels the call, unless it has ended; its row says `cancelled` and what was used until then."""
        await _awaiting(self._pieces.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()


async def _complete(ask: Ask) -> Reply:
    entry, heard, raw = Entry(ask), Heard(), {}
    async with aclosing(run(entry, await _gate())) as pieces:
        async for piece in pieces:
            heard.add(piece)
            raw = piece.events[0]
    return _reply(entry, heard, raw)


async def _embed(ask: Ask) -> Embeddings:
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


def _blocking[T](coroutine: Coroutine[Any, Any, T]) -> T:
    running = engine.start()
    try:
        same_loop = asyncio.get_running_loop() is running.loop
    except RuntimeError:
        same_loop = False
    if same_loop:
        coroutine.close()
        raise RuntimeError("This would block the gate's own event loop; await acomplete, astream or aembed instead.")
    return running.submit(coroutine).result()


async def _awaiting[T](coroutine: Coroutine[Any, Any, T]) -> T:
    running = await asyncio.to_thread(engine.start) if not engine.running() else engine.start()
    if asyncio.get_running_loop() is running.loop:
        return await coroutine
    return await asyncio.wrap_future(running.submit(coroutine))


def _ask(
    operation: Operation,
    feature: str,
    variables: Mapping[str, Json] | None,
    messages: Sequence[Mapping[str, Json]] | None,
    user: Any,
    tenant: str,
    cohort: str,
    session: str,
    model: str,
    labels: Mapping[str, str] | None,
    parameters: dict[str, Json],
    *,
    stream: bool = False,
) -> Ask:
    body = dict(parameters)
    if messages is not None:
        body["messages"] = [dict(message) for message in messages]
    caller = Caller(
        user_ref=keys.user_ref(str(getattr(user, "pk", user))) if user is not None else "",
        tenant=tenant, cohort=cohort, session_id=session, source="sdk", labels=labels,
    )  # fmt: skip
    return Ask(
        feature=feature, operation=operation, body=body, caller=caller, variables=variables, model=model, stream=stream
    )


def _embedding_ask(
    feature: str,
    texts: str | Sequence[str],
    user: Any,
    tenant: str,
    cohort: str,
    session: str,
    model: str,
    labels: Mapping[str, str] | None,
    parameters: dict[str, Json],
) -> Ask:
    body = {**parameters, "input": texts if isinstance(texts, str) else list(texts)}
    return _ask("embeddings", feature, None, None, user, tenant, cohort, session, model, labels, body)


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
