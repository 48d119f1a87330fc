"""One HTTP request of the data plane, and the ways to answer it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Protocol

from gateway import json
from gateway.catalog import KeyInfo
from gateway.errors import InvalidRequest, NotFound
from gateway.types import Caller, Json

Headers = list[tuple[bytes, bytes]]


class ClientGone(Exception):
    """The client closed the connection before its answer was complete; there is nobody to tell."""


class Errors(Protocol):
    """How errors are told in the shape that a client speaks."""

    def body(self, status: int, error: dict[str, Json], call_id: str) -> dict[str, Json]:
        """The body of an answer, for an OpenAI error body."""

    def event(self, body: dict[str, Json]) -> bytes:
        """The body as the last event of a stream."""


class Request:
    """A request with its headers by lower-case name. `started` says whether an answer has begun; `errors` how one is
    told (None: as OpenAI does). A request from inside of the process has no key to be read but an `identity`, and `whose`
    it is.
    """

    def __init__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        send: Callable[[Mapping[str, Any]], Awaitable[None]],
    ) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.started = False
        self.errors: Errors | None = None
        self.identity: KeyInfo | None = None
        self.whose: Caller | None = None
        self._receive = receive
        self._send = send

    def header(self, name: str) -> str:
        """The header's value, empty when it was not sent: UTF-8, or Latin-1 where it is not."""
        value = self.headers.get(name.encode())
        if not value:
            return ""
        try:
            return value.decode().strip()
        except UnicodeDecodeError:
            return value.decode("latin-1").strip()

    async def json(self, most_bytes: int) -> dict[str, Json]:
        """The body as a JSON object. Raises InvalidRequest when it is none, or larger than `most_bytes`."""
        chunks, size = [], 0
        while True:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                # Whoever closed only its own half still hears this.
                raise InvalidRequest("The body ended before it was complete.")
            chunk = event.get("body", b"")
            size += len(chunk)
            if size > most_bytes:
                raise InvalidRequest(f"The body is larger than {most_bytes:,} bytes (TOLLHOUSE_MAX_BODY_BYTES).")
            chunks.append(chunk)
            if not event.get("more_body"):
                break
        try:
            body = json.read(b"".join(chunks))
        except ValueError as error:
            raise InvalidRequest(f"The body is not valid JSON: {error}.") from None
        if not isinstance(body, dict):
            raise InvalidRequest("The body must be a JSON object.")
        return body

    def watched(self, *, at_once: bool = False) -> "Watched":
        """A block that is cancelled when the client goes away; ClientGone is raised in its place.

        Unless `at_once`, the client is listened to only when the answer takes longer than LISTEN_AFTER_S.
        """
        return Watched(self._receive, 0.0 if at_once else LISTEN_AFTER_S)

    async def answer(self, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """The whole answer, as JSON bytes."""
        await self.start(
            status, [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
        )
        await self._send({"type": "http.response.body", "body": body})

    async def start(self, status: int, headers: Headers) -> None:
        """Begins an answer whose body follows in chunks."""
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def chunk(self, body: bytes, *, more: bool = True) -> None:
        """A chunk of the body; the last one with `more` false."""
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def refuse_route(self, *, known: bool) -> None:
        """The error for a path that does not exist, or not with this method."""
        if known:
            raise InvalidRequest(f"{self.method} is not possible here; see the documentation of {self.path}.")
        raise NotFound(
            f"There is no {self.path}. The data plane has /v1/chat/completions, /v1/responses, /v1/messages, "
            "/v1/embeddings, /v1/models and /v1/calls/ID/scores."
        )


#: What is answered sooner is not listened beside: most refusals and replies from the cache are. Seconds.
LISTEN_AFTER_S = 0.05


class Watched:
    """The block of `Request.watched`. No generator, as every call passes through."""

    __slots__ = ("_after_s", "_gone", "_receive", "_task", "_timer", "_watcher")

    def __init__(self, receive: Callable[[], Awaitable[Mapping[str, Any]]], after_s: float) -> None:
        self._receive = receive
        self._after_s = after_s
        self._gone = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._watcher: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(self._after_s, self._listen)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._gone and kind is asyncio.CancelledError and self._task.uncancel() == 0:
            raise ClientGone from None

    def _listen(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._task.cancel()
