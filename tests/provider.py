"""A provider for tests: an OpenAI-compatible server on a real port, that does what the model's name says.

`echo` answers with the last message; `say:<text>` with that text; `tier:<name>` from that service tier; `cached` reports cached tokens; `nousage` reports none;
`tool` calls a tool with the last message as argument, or repeats the tool's result; `status:<n>` fails, and
`slow-status:<n>` after the pause; `quote:<n>` fails and quotes the request; `flaky` fails once for each key; `hang` never
answers; `second` answers when another request is under way too; `cut` breaks off; `garbage` is no JSON; `error-event` fails
in mid-stream; `truncated` stops for length. Every request is kept in `requests`; `serving` is the number of those under way.
"""

import asyncio
import json
import threading
import time
from typing import Any

from aiohttp import web

from tests.provider_anthropic import messages

PIECE = 3


class MockProvider:
    """Serves from a thread of its own; `base_url` is where. Use as a context manager."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.cancelled = 0
        self.serving = self.most_at_once = 0
        self.failed: set[str] = set()
        self.pause_s = 0.0
        #: What every reply says from now on; empty: what the last message does.
        self.says = ""
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def saw_leave(self, clients: int) -> bool:
        """Whether just so many requests were left by their clients, which it notices a moment after them."""
        ends_at = time.monotonic() + 20
        while self.cancelled < clients and time.monotonic() < ends_at:
            time.sleep(0.01)
        return self.cancelled == clients

    def __enter__(self) -> "MockProvider":
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
        app = web.Application(client_max_size=50_000_000)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/openai/deployments/{deployment}/chat/completions", self._deployment)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        return await messages(request, body)

    async def _deployment(self, request: web.Request) -> web.StreamResponse:
        if "api-version" not in request.query or "api-key" not in request.headers:
            return web.json_response({"error": {"code": "401", "message": "Access denied"}}, status=401)
        return await self._chat(request)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        kind, _, detail = body["model"].partition(":")
        self.serving += 1
        self.most_at_once = max(self.most_at_once, self.serving)
        try:
            if kind == "hang":
                await asyncio.sleep(3600)
            while kind == "second" and self.serving < 2:
                await asyncio.sleep(0.01)
            if kind != "status":
                await asyncio.sleep(self.pause_s)
            kind = kind.removeprefix("slow-")
            if kind == "status" or (kind == "flaky" and detail not in self.failed):
                self.failed.add(detail)
                status = int(detail) if kind == "status" else 503
                error = {"message": f"mock {status}", "type": "mock_error", "code": "mock", "param": None}
                return web.json_response({"error": error}, status=status, headers={"retry-after": "0"})
            if kind == "quote":
                error = {
                    "message": f"bad request: {json.dumps(body, ensure_ascii=False)}",
                    "type": "mock_error",
                    "code": "mock",
                }
                return web.json_response({"error": error}, status=int(detail))
            if kind == "garbage":
                return web.Response(body=b"<html>")
            if body.get("stream"):
                return await self._stream(request, body, kind)
            if kind == "cut":
                return await self._half(request, json.dumps(self._reply(body, kind, detail)).encode())
            return web.json_response(self._reply(body, kind, detail))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.serving -= 1

    async def _half(self, request: web.Request, whole: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": str(len(whole))})
        await response.prepare(request)
        await response.write(whole[: len(whole) // 2])
        assert request.transport is not None
        request.transport.close()
        return response

    def _message(self, body: dict[str, Any], kind: str, detail: str) -> dict[str, Any]:
        last = body["messages"][-1]["content"]
        last = last if isinstance(last, str) else json.dumps(last)
        if kind == "tool" and body["messages"][-1]["role"] != "tool":
            function = {"name": "look_up", "arguments": json.dumps({"query": last})}
            return {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
            }
        if kind == "json":
            return {"role": "assistant", "content": json.dumps({"name": "Ada", "age": 36})}
        return {"role": "assistant", "content": self.says or (detail if kind == "say" else last)}

    def _usage(self, kind: str) -> dict[str, Any] | None:
        if kind == "nousage":
            return None
        if kind == "cached":
            return {
                "prompt_tokens": 1000, "completion_tokens": 30, "total_tokens": 1030,
                "prompt_tokens_details": {"cached_tokens": 800}, "completion_tokens_details": {"reasoning_tokens": 10},
            }  # fmt: skip
        return {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}

    def _reply(self, body: dict[str, Any], kind: str, detail: str) -> dict[str, Any]:
        message = self._message(body, kind, detail)
        finish = "length" if kind == "truncated" else "tool_calls" if "tool_calls" in message else "stop"
        choices = [{"index": i, "message": message, "finish_reason": finish} for i in range(body.get("n") or 1)]
        reply = {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": choices,
            "x_vendor": {"kept": True},
        }  # fmt: skip
        usage = self._usage(kind)
        if kind == "tier":
            reply["service_tier"] = detail
        return reply if usage is None else {**reply, "usage": usage}

    async def _stream(self, request: web.Request, body: dict[str, Any], kind: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}

        async def event(**fields: Any) -> None:
            await response.write(b"data: " + json.dumps({**base, **fields}).encode() + b"\n\n")
            await asyncio.sleep(self.pause_s)

        async def delta(fields: dict[str, Any], finish: str | None = None) -> None:
            await event(choices=[{"index": 0, "delta": fields, "finish_reason": finish}])

        message = self._message(body, kind, body["model"].partition(":")[2])
        await delta({"role": "assistant", "content": ""})
        if "tool_calls" in message:
            call = message["tool_calls"][0]
            arguments = call["function"]["arguments"]
            await delta({"tool_calls": [{"index": 0, **call, "function": {"name": "look_up", "arguments": ""}}]})
            for i in range(0, len(arguments), PIECE):
                await delta({"tool_calls": [{"index": 0, "function": {"arguments": arguments[i : i + PIECE]}}]})
        else:
            text = message["content"]
            for i in range(0, len(text), PIECE):
                if kind == "cut" and i > len(text) // 2:
                    # What was written before arrives as a reply, and not together with the end.
                    await asyncio.sleep(0.05)
                    assert request.transport is not None
                    request.transport.close()
                    return response
                if kind == "error-event" and i > len(text) // 2:
                    await event(error={"message": "mock overload", "type": "overloaded", "code": None, "param": None})
                    return response
                await delta({"content": text[i : i + PIECE]})
        await delta({}, "length" if kind == "truncated" else "tool_calls" if "tool_calls" in message else "stop")
        usage = self._usage(kind)
        if usage and (body.get("stream_options") or {}).get("include_usage"):
            await event(choices=[], usage=usage)
        await response.write(b": a comment\n\ndata: [DONE]\n\n")
        return response

    async def _embeddings(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.requests.append(body)
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [
            {"object": "embedding", "index": i, "embedding": [0.5, -0.25, float(len(texts))]} for i in range(len(texts))
        ]
        usage = {"prompt_tokens": 8 * len(texts), "total_tokens": 8 * len(texts)}
        return web.json_response({"object": "list", "model": body["model"], "data": data, "usage": usage})
