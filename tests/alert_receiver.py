"""Where alerts arrive in tests: an HTTP server on a real port that answers as it is told and keeps what it got."""

import asyncio
import json
import threading
from typing import Any

from aiohttp import web


class AlertReceiver:
    """Serves from a thread of its own. Use as a context manager.

    `got` are the bodies that came. `answers` are given in turn, each a status, or a status and headers; without any left
    `usual` is. While `held` is set, nothing is answered.
    """

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[int | tuple[int, dict[str, str]]] = []
        self.usual = 200
        self.text = "noted"
        self.arrived = threading.Event()
        self.held = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def told(self) -> list[tuple[str, int]]:
        """Event and alert of each message, in order."""
        return [(body["type"].removeprefix("alert."), body["data"]["alert"]) for body in self.got]

    def __enter__(self) -> "AlertReceiver":
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._hook)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def _hook(self, request: web.Request) -> web.Response:
        self.got.append(json.loads(await request.read()))
        self.headers.append(dict(request.headers))
        self.arrived.set()
        while self.held:
            await asyncio.sleep(0.01)
        answer = self.answers.pop(0) if self.answers else self.usual
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        return web.Response(status=status, headers=headers, text=self.text)
