"""OpenAI and every server that speaks its chat completions and embeddings."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

import aiohttp
import orjson

from gateway.errors import ProviderError, ProviderTimeout
from gateway.providers.base import Provider, Request
from gateway.providers.sse import DONE, Events
from gateway.types import Json, Piece

PATHS = {"chat": "/chat/completions", "embeddings": "/embeddings"}
#: 409 and 425 ask for another try by their definition; the rest are an overloaded or failing server.
TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class OpenAI(Provider):
    """Any OpenAI-compatible server. Unknown request fields reach it; its reply passes unchanged."""

    def output_limit_field(self, base_url: str) -> str:
        # OpenAI's reasoning models refuse `max_tokens`; many compatible servers know nothing else.
        return "max_completion_tokens" if "//api.openai.com" in base_url else "max_tokens"

    async def send(self, request: Request, http: aiohttp.ClientSession) -> AsyncGenerator[Piece]:
        headers = {"content-type": "application/json"}
        if request.api_key:
            headers["authorization"] = f"Bearer {request.api_key}"
        limits = aiohttp.ClientTimeout(total=request.timeout_s, sock_connect=request.connect_timeout_s)
        with _translated():
            async with asyncio.timeout(request.first_token_timeout_s if request.stream else None):
                response = await http.post(
                    request.base_url.rstrip("/") + PATHS[request.operation],
                    data=orjson.dumps(_body(request)),
                    headers=headers,
                    timeout=limits,
                    allow_redirects=False,
                )
        try:
            if response.status != 200:
                with _translated():
                    raise _refused(response, await response.read())
            if request.stream:
                async for piece in self._stream(request, response):
                    yield piece
            else:
                with _translated():
                    raw = await response.read()
                yield Piece(raw, [_parsed(raw)], final=True)
        finally:
            response.close()

    async def _stream(self, request: Request, response: aiohttp.ClientResponse) -> AsyncGenerator[Piece]:
        events, finished = Events(), False
        patience: float | None = request.first_token_timeout_s
        while not finished:
            with _translated():
                async with asyncio.timeout(patience):
                    data = await response.content.readany()
            patience = None
            if not data:
                raise ProviderError("The provider's stream ended before its end mark.", transient=True, billable=True)
            try:
                raw, parsed, finished = events.feed(data)
            except ValueError:
                raise ProviderError(
                    "The provider's stream held an event that is not JSON.", transient=True, billable=True
                ) from None
            for event in parsed:
                if error := event.get("error"):
                    raise ProviderError(_message(error), transient=True, body=event, billable=True)
            if raw:
                yield Piece(raw, parsed)
        yield Piece(DONE, [], final=True)


def _body(request: Request) -> dict[str, Json]:
    body = {**request.body, "model": request.model}
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    return body


@contextmanager
def _translated() -> Iterator[None]:
    """Turns the HTTP client's errors into ours; the only place that knows them."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise ProviderTimeout(
            "The provider did not accept a connection in time.", transient=True, billable=False
        ) from error
    except aiohttp.ClientConnectorError as error:
        reason = error.os_error.strerror or type(error.os_error).__name__
        raise ProviderError(f"The provider cannot be reached: {reason}.", transient=True, billable=False) from error
    except TimeoutError as error:
        raise ProviderTimeout(
            "The provider did not answer in the route's time.", transient=True, billable=True
        ) from error
    except aiohttp.ClientError as error:
        raise ProviderError(
            "The provider closed the connection before its reply was complete.", transient=True, billable=True
        ) from error


def _refused(response: aiohttp.ClientResponse, raw: bytes) -> ProviderError:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    error = body.get("error") if isinstance(body, dict) else None
    quota = isinstance(error, dict) and error.get("code") == "insufficient_quota"
    redirected = 300 <= response.status < 400
    return ProviderError(
        "The provider answered with a redirect, which is not followed."
        if redirected
        else _message(error, response.status),
        transient=response.status in TRANSIENT and not quota,
        status=502 if redirected else response.status,
        body=body if isinstance(error, dict) else None,
        retry_after_s=_seconds(response.headers.get("retry-after")),
        billable=False,
    )


def _message(error: Json, status: int | None = None) -> str:
    text = error.get("message") if isinstance(error, dict) else error
    return (
        f"The provider answered: {text}"
        if isinstance(text, str) and text
        else f"The provider answered with status {status}."
    )


def _seconds(header: str | None) -> float | None:
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None


def _parsed(raw: bytes) -> dict[str, Json]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise ProviderError("The provider's reply is not a JSON object.", transient=True, billable=True)
    return body
