"""A provider over a bare socket: it answers with whatever bytes a test gives it, also such as no HTTP server would send."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

import orjson

#: What to answer to a request's path and body: bytes go out as they are, numbers are waits in seconds.
Script = Callable[[str, Any], Iterable[bytes | float]]

USAGE = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}


class ScriptedProvider:
    """Serves from a thread of its own; `base_url` is where, `answer` what. Use as a context manager."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.answer: Script = sound
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> "ScriptedProvider":
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        self._serving: set[asyncio.Task[Any]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next(line for line in head.lower().splitlines() if line.startswith("content-length:"))
            body = orjson.loads(await reader.readexactly(int(length.partition(":")[2])))
            self.requests.append(body)
            for part in self.answer(head.split(" ")[1], body):
                if isinstance(part, bytes):
                    writer.write(part)
                    await writer.drain()
                else:
                    await asyncio.sleep(part)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the gate went away, as it may
        finally:
            writer.close()


def reply(content: bytes | dict[str, Any], *headers: bytes, status: bytes = b"200 OK") -> list[bytes | float]:
    """A plain answer."""
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    return [b"\r\n".join([b"HTTP/1.1 " + status, b"connection: close", *headers, b"", content])]


def stream(*events: bytes | dict[str, Any], end: bytes = b"data: [DONE]\n\n") -> list[bytes | float]:
    """A stream of events, each in a write of its own."""
    made = [
        b"data: " + (event if isinstance(event, bytes) else json.dumps(event).encode()) + b"\n\n" for event in events
    ]
    return [b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n", *made, end]


def completion(message: Any = None, **fields: Any) -> dict[str, Any]:
    """A chat completion in good order, but for the fields given."""
    message = message or {"role": "assistant", "content": "hello [EMAIL_ADDRESS_1] there"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": USAGE, **fields}


def chunk(delta: Any, **fields: Any) -> dict[str, Any]:
    """A chunk of a chat completion in good order, but for the fields given."""
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return {"id": "1", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **fields}


def sound(path: str, body: Any) -> Iterable[bytes | float]:
    """Answers as a provider should, by path."""
    streamed = isinstance(body, dict) and body.get("stream") is True
    if path.endswith("/messages"):
        usage = {"input_tokens": 20, "output_tokens": 10}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "usage": usage}
        if not streamed:
            return reply({**message, "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn"})
        return stream(
            {"type": "message_start", "message": {**message, "content": []}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
            {"type": "message_stop"},
            end=b"",
        )
    if path.endswith("/embeddings"):
        vector = {"object": "embedding", "index": 0, "embedding": [0.5]}
        return reply({"object": "list", "data": [vector], "model": "m", "usage": USAGE})
    if not streamed:
        return reply(completion())
    last = {**chunk({}), "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return stream(chunk({"content": "hello [EMAIL_"}), chunk({"content": "ADDRESS_1] there"}), last,
                  {"id": "1", "choices": [], "usage": USAGE})  # fmt: skip
