"""`wrap`: a client of OpenAI's or Anthropic's SDK whose requests pass through the gate of this process."""

import asyncio
import queue
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any, cast

from gateway import engine
from gateway.calling import acaller, caller
from gateway.catalog import KeyInfo
from gateway.http.app import answer
from gateway.http.request import Request
from gateway.types import Caller

#: Where requests seem to go; nothing is ever resolved or connected to.
ADDRESS = "http://tollhouse.invalid"
#: What the client for Azure puts into paths; the body names the model, too.
DEPLOYMENT = re.compile(r"^/v1/deployments/[^/]+")
#: Why a client gives up.
SILENT = "The gate did not answer in the client's time."


def wrap[Client](client: Client, *, feature: str) -> Client:
    """A copy of an OpenAI or Anthropic client (also an asynchronous one) whose calls pass through the gate, as this feature's.

    Everything that the SDK can do works as before, as far as the data plane has it: chat completions, responses,
    messages, embeddings, streams, parsing into types. `model` must be one of the feature's route, or the feature itself.
    Calls are made for whom `gateway.context` says. There is no HTTP server in between, and no key: neither the client's
    key nor its base URL is used. The gate retries by itself, so the client does not; it waits as long as its `timeout` says.

    Raises TypeError for something that is no such client.
    """
    http = getattr(client, "_client", None)
    library = type(http).__mro__[-2].__module__.partition(".")[0] if http is not None else ""
    if library not in ("httpx", "httpx2") or not hasattr(client, "with_options"):
        raise TypeError(f"wrap() takes a client of the packages openai and anthropic, not {type(client).__name__}.")
    sync, asynchronous = _transports(library)
    module = import_module(library)
    made = (
        module.AsyncClient(transport=asynchronous(feature))
        if isinstance(http, module.AsyncClient)
        else module.Client(transport=sync(feature))
    )
    # The paths of Anthropic's client begin with the version, those of OpenAI's do not.
    anthropic = any(cls.__module__.partition(".")[0] == "anthropic" for cls in type(client).__mro__)
    options = {
        "http_client": made,
        "base_url": ADDRESS if anthropic else f"{ADDRESS}/v1",
        "api_key": "none",
        "max_retries": 0,
    }
    return cast(Client, client.with_options(**options))


class _Passage(Request):
    """One request on its way through the data plane's handlers, without a server; `put` gets what they answer."""

    def __init__(
        self, running: engine.Engine, request: Any, body: bytes, feature: str, whose: Caller, put: Callable[[Any], Any]
    ) -> None:
        headers = [(name.lower(), value) for name, value in request.headers.raw]
        scope = {"method": request.method, "path": DEPLOYMENT.sub("/v1", request.url.path), "headers": headers}
        super().__init__(scope, self._ask, self._answer)
        self.whose = whose
        self.identity = KeyInfo(
            name="", digest="", features=(feature,), default_feature=feature, tenant="", expires_at=None
        )
        self._body: bytes | None = body
        self._put = put
        self._gone = asyncio.Event()
        self._engine = running

    def begin(self) -> None:
        """Runs the handler in the engine's loop."""
        self._engine.submit(answer(self)).add_done_callback(lambda _: self._put(None))

    def leave(self) -> None:
        """The client is no longer interested; a call under way is cancelled."""
        self._engine.loop.call_soon_threadsafe(self._gone.set)

    async def _ask(self) -> Mapping[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _answer(self, message: Mapping[str, Any]) -> None:
        self._put(message)


def _begun(start: Mapping[str, Any] | None, http: Any) -> dict[str, Any]:
    """Status and headers of an answer. Raises the library's ReadError where the gate stopped before there was one."""
    if start is None:
        raise http.ReadError("The gate stopped before it answered.")
    return {"status_code": start["status"], "headers": start["headers"]}


def _patience_s(request: Any) -> float | None:
    """How long the client waits for the next part of an answer, by its `timeout`; None: for ever."""
    patience: float | None = (request.extensions.get("timeout") or {}).get("read")
    return patience


@cache
def _transports(library: str) -> tuple[type, type]:
    """The transports for a client of that library: httpx, or its successor httpx2, which is the same in all we use."""
    http = import_module(library)

    class Body(http.SyncByteStream):  # type: ignore[name-defined,misc]
        def __init__(self, passage: _Passage, answer: Callable[[], Any]) -> None:
            self._passage = passage
            self._answer = answer

        def __iter__(self) -> Iterator[bytes]:
            while (message := self._answer()) is not None:
                yield message["body"]

        def close(self) -> None:
            self._passage.leave()

    class AsyncBody(http.AsyncByteStream):  # type: ignore[name-defined,misc]
        def __init__(self, passage: _Passage, answer: Callable[[], Awaitable[Any]]) -> None:
            self._passage = passage
            self._answer = answer

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while (message := await self._answer()) is not None:
                yield message["body"]

        async def aclose(self) -> None:
            self._passage.leave()

    class Transport(http.BaseTransport):  # type: ignore[name-defined,misc]
        def __init__(self, feature: str) -> None:
            self._feature = feature

        def handle_request(self, request: Any) -> Any:
            engine.refuse_own_loop()
            answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
            patience_s = _patience_s(request)

            def answer() -> Any:
                try:
                    return answers.get(timeout=patience_s)
                except queue.Empty:
                    raise http.ReadTimeout(SILENT) from None

            passage = _Passage(engine.start(), request, request.read(), self._feature, caller(), answers.put)
            passage.begin()
            try:
                start = answer()
            except BaseException:
                # As in `replies.blocking`: a time limit of a task queue may interrupt whoever waits.
                passage.leave()
                raise
            return http.Response(**_begun(start, http), stream=Body(passage, answer))

    class AsyncTransport(http.AsyncBaseTransport):  # type: ignore[name-defined,misc]
        def __init__(self, feature: str) -> None:
            self._feature = feature

        async def handle_async_request(self, request: Any) -> Any:
            answers: asyncio.Queue[Any] = asyncio.Queue()
            patience_s = _patience_s(request)

            async def answer() -> Any:
                try:
                    async with asyncio.timeout(patience_s):
                        return await answers.get()
                except TimeoutError:
                    raise http.ReadTimeout(SILENT) from None

            loop = asyncio.get_running_loop()
            running = engine.start() if engine.running() else await asyncio.to_thread(engine.start)
            passage = _Passage(
                running, request, await request.aread(), self._feature, await acaller(),
                lambda message: loop.call_soon_threadsafe(answers.put_nowait, message),
            )  # fmt: skip
            passage.begin()
            try:
                start = await answer()
            except BaseException:
                passage.leave()
                raise
            return http.Response(**_begun(start, http), stream=AsyncBody(passage, answer))

    return Transport, AsyncTransport
