"""The data plane: a small ASGI application in front of Django, in the same process and event loop."""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway import engine, tables
from gateway.http import afterwards, chat, embeddings, health, messages, metrics, models, responses
from gateway.http.errors import answer_error
from gateway.http.request import Request

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger("tollhouse.http")

ROUTES: dict[tuple[str, str], Callable[[Request], Awaitable[None]]] = {
    ("POST", "/v1/chat/completions"): chat.completions,
    ("POST", "/v1/embeddings"): embeddings.embeddings,
    ("POST", "/v1/messages"): messages.messages,
    ("POST", "/v1/responses"): responses.responses,
    ("GET", "/v1/models"): models.models,
    ("GET", "/healthz"): health.healthz,
    ("GET", "/readyz"): health.readyz,
    ("GET", "/metrics"): metrics.metrics,
}


def _nothing() -> None:
    pass


PATHS = {path for _, path in ROUTES}


def data_plane(django: App, *, start: Callable[[], None] = _nothing, stop: Callable[[], None] = _nothing) -> App:
    """The application that answers the data plane's paths itself and hands everything else to `django`.

    The gate opens when the server starts and closes, with its last rows written, when it stops; `start` is called before
    that, in the process that serves, and `stop` after it.
    """

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send, start, stop)
        elif scope["type"] == "http" and (scope["path"] in PATHS or scope["path"].startswith("/v1/")):
            await answer(Request(scope, receive, send))
        else:
            await django(scope, receive, send)

    return application


async def answer(request: Request) -> None:
    """Answers a request to the data plane, whatever happens."""
    handler = ROUTES.get((request.method, request.path)) or afterwards.handler(request)
    try:
        if handler is None:
            known = request.path in PATHS or afterwards.is_path(request.path)
            await request.refuse_route(known=known)
        else:
            await handler(request)
    except Exception as error:  # noqa: BLE001  (the edge: whatever happens, the client gets a proper answer)
        await answer_error(request, error)


async def _lifespan(receive: Receive, send: Send, start: Callable[[], None], stop: Callable[[], None]) -> None:
    while True:
        event = await receive()
        if event["type"] == "lifespan.startup":
            try:
                start()
                await asyncio.to_thread(tables.require)
                await engine.adopt()
            except Exception as error:  # noqa: BLE001  (told to the server, which then does not start)
                logger.error("the gate did not open: %s", str(error).strip().splitlines()[0])
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            calm_gc()
            await send({"type": "lifespan.startup.complete"})
        else:
            await engine.release()
            await asyncio.to_thread(stop)
            await send({"type": "lifespan.shutdown.complete"})
            return


def calm_gc() -> None:
    """Collects garbage less often: a call leaves next to no cycles behind, and looking for them took a tenth of its time.

    What was loaded so far stays for good and is not looked at again. Only here, as the process is the server's.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
