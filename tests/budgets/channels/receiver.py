"""The other side of a channel in tests: an HTTP server and a mail server, on real ports."""

import asyncio
import ssl
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web


@dataclass(frozen=True)
class Reply:
    """What the receiver answers. `how` is `whole`, `hang` (never), `cut` (before an answer), `half` (in its middle) or `endless`."""

    status: int = 200
    body: str = "ok"
    headers: Mapping[str, str] = field(default_factory=dict)
    how: str = "whole"

    @classmethod
    def json(cls, value: Any, status: int = 200, **headers: str) -> "Reply":
        given = {"Content-Type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
        return cls(status, orjson.dumps(value).decode(), given)


@dataclass(frozen=True)
class Heard:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.content)


class Receiver:
    """Keeps what it hears in `heard` and answers with `replies` in turn, then with the last of them for good."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.heard: list[Heard] = []
        self.replies = [Reply()]
        self.url = ""

    async def __aenter__(self) -> "Receiver":
        app = web.Application(client_max_size=10_000_000)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.tls).start()
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()

    def answers(self, *replies: Reply) -> None:
        self.replies = list(replies)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.heard.append(Heard(request.path, dict(request.headers), await request.read()))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        assert request.transport is not None
        if reply.how == "hang":
            await asyncio.sleep(3600)
        if reply.how == "cut":
            request.transport.close()
        if reply.how in ("half", "endless"):
            return await self._stream(request, reply)
        return web.Response(status=reply.status, text=reply.body, headers=reply.headers)

    async def _stream(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status, headers={**reply.headers, "Content-Length": str(10**12)})
        await response.prepare(request)
        await response.write(reply.body.encode())
        while reply.how == "endless":
            await response.write(b"x" * 65536)
        assert request.transport is not None
        request.transport.close()
        return response


class MailServer:
    """As much of SMTP as a sender needs. `replies` names another answer to a command, e.g. `{"RCPT": "550 no such user"}`,
    or for one recipient, e.g. `{"<bob@example.com>": "550 no such user"}`.

    What was delivered is in `letters`: sender, recipients, and the message as bytes. `silent` never answers anything.
    """

    def __init__(self) -> None:
        self.letters: list[tuple[str, list[str], bytes]] = []
        self.replies: dict[str, str] = {}
        self.silent = False
        self.port = 0

    async def __aenter__(self) -> "MailServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**24)
        self.port = self._server.sockets[0].getsockname()[1]
        self._open: set[asyncio.StreamWriter] = set()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for writer in self._open:
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if self.silent:
                await reader.read()
                return
            await self._converse(reader, writer)
        finally:
            self._open.discard(writer)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender, recipients = "", []
        writer.write(b"220 test\r\n")
        while line := (await reader.readline()).decode().strip():
            command = line.split()[0].upper()
            answer = self.replies.get(command, "250-test\r\n250 AUTH PLAIN" if command == "EHLO" else "250 ok")
            if command == "AUTH":
                answer = self.replies.get(command, "235 ok")
            if command == "MAIL":
                sender, recipients = line.partition(":")[2].split()[0], []
            if command == "RCPT":
                recipient = line.partition(":")[2].split()[0]
                answer = self.replies.get(recipient, answer)
                recipients += [recipient] if answer.startswith("250") else []
            if command == "DATA" and answer.startswith("250"):
                writer.write(b"354 go on\r\n")
                letter = await reader.readuntil(b"\r\n.\r\n")
                self.letters.append((sender, recipients, letter[: -len(b".\r\n")].replace(b"\r\n..", b"\r\n.")))
            writer.write(answer.encode() + b"\r\n")
            await writer.drain()
            if command == "QUIT":
                return


@contextmanager
def in_thread(server):
    """A server that is an asynchronous context manager, in a loop of its own: what is tested blocks the test's thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
