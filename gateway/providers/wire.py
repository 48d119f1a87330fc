"""What providers over HTTP share: one request with patience, its reply, and the client's errors turned into ours."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
import orjson

from gateway import json
from gateway.clock import clock
from gateway.errors import ProviderError, ProviderTimeout
from gateway.providers.base import Request
from gateway.providers.sse import Events, NotAnEvent, encode
from gateway.types import Json

#: 409 and 425 ask for another try by their definition; the rest are an overloaded or failing server.
TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})

#: What is read of the body of an error.
MOST_ERROR_BYTES = 1_000_000
#: Shorter ones are no secrets, and could be a word of any error.
SHORTEST_KEY = 8
#: The longest wait that a provider can ask for.
LONGEST_S = 86_400.0


async def posted(
    request: Request, http: aiohttp.ClientSession, url: str, *, headers: Mapping[str, str], body: Mapping[str, Json]
) -> aiohttp.ClientResponse:
    """The response to a request, once it has begun with status 200; whoever asked closes it (`contextlib.closing`).

    Raises ProviderError for every other status, ProviderTimeout when it did not begin in time.
    """
    with translated():
        post = http.post(
            url,
            data=orjson.dumps(body),
            headers={"content-type": "application/json", **headers, **request.trace},
            timeout=aiohttp.ClientTimeout(total=request.timeout_s, sock_connect=request.connect_timeout_s),
            allow_redirects=False,
        )
        if not request.stream:
            response = await post
        else:
            async with asyncio.timeout(request.patience_s()):
                response = await post
    if response.status != 200:
        with translated(), closing(response):
            raw = await _read(response, MOST_ERROR_BYTES, cut=True)
            if len(request.api_key) >= SHORTEST_KEY:
                # Some quote the key that they refuse; it is no business of the caller's.
                raw = raw.replace(request.api_key.encode(), b"***")
            raise _refused(response, raw)
    return response


async def whole(request: Request, response: aiohttp.ClientResponse) -> tuple[bytes, dict[str, Json]]:
    """A plain reply's bytes and the JSON object that they are. Raises ProviderError for anything else."""
    with translated():
        raw = await _read(response, request.most_bytes)
    try:
        body = json.read(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ProviderError("The provider's reply is not a JSON object.", transient=True, billable=True)
    return raw, body


async def _read(response: aiohttp.ClientResponse, most_bytes: int, *, cut: bool = False) -> bytes:
    """The body. Where it is larger than that: with `cut` what was read of it, else raises ProviderError."""
    chunks, size = [], 0
    # In pieces, as what is packed can be a thousand times larger than it came.
    while chunk := await response.content.readany():
        size += len(chunk)
        if size > most_bytes and cut:
            break
        if size > most_bytes:
            raise _too_large(most_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(most_bytes: int) -> ProviderError:
    return ProviderError(
        f"The provider's reply is larger than {most_bytes:,} bytes (TOLLHOUSE_MAX_REPLY_BYTES).",
        transient=False, billable=True,
    )  # fmt: skip


async def events(
    request: Request, response: aiohttp.ClientResponse
) -> AsyncGenerator[tuple[bytes, list[dict[str, Json]], bool]]:
    """A stream's events as they come: their bytes, the events parsed, and whether `[DONE]` was among them.

    Raises ProviderError when the stream breaks off, holds what is no JSON, or tells of an error.
    """
    parser, finished, begun, size = Events(), False, False, 0
    while not finished:
        with translated():
            if begun:
                data = await response.content.readany()
            else:
                async with asyncio.timeout(request.patience_s()):
                    data = await response.content.readany()
        begun = True
        if not data:
            raise ProviderError("The provider's stream ended before its end mark.", transient=True, billable=True)
        size += len(data)
        if size > request.most_bytes:
            raise _too_large(request.most_bytes)
        fault: ProviderError | None = None
        try:
            raw, parsed, finished = parser.feed(data)
        except NotAnEvent as error:
            parsed = error.before
            fault = ProviderError(
                "The provider's stream held an event that is not JSON.", transient=True, billable=True
            )
        for number, event in enumerate(parsed):
            if told := event.get("error"):
                body = _openai_error(event, "api_error")
                fault = ProviderError(_message(told), transient=True, body=body, billable=True)
                parsed = parsed[:number]
                break
        if fault:
            if parsed:
                # It came in the same read and is a part of the reply, whatever came after it.
                yield b"".join(map(encode, parsed)), parsed, False
            raise fault
        yield raw, parsed, finished


class translated:
    """A block that turns the HTTP client's errors into ours; the only place that knows them."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None and (ours := _translation(error)):
            raise ours from error


def _translation(error: BaseException) -> ProviderError | None:
    match error:
        case aiohttp.ConnectionTimeoutError():
            return ProviderTimeout("The provider did not accept a connection in time.", transient=True, billable=False)
        case aiohttp.ClientConnectorError():
            reason = error.os_error.strerror or type(error.os_error).__name__
            return ProviderError(f"The provider cannot be reached: {reason}.", transient=True, billable=False)
        case TimeoutError():
            return ProviderTimeout(
                "The provider did not answer in the time of its route.", transient=True, billable=True
            )
        case aiohttp.ClientError():
            return ProviderError(
                "The provider closed the connection before its reply was complete.", transient=True, billable=True
            )
    return None


def _refused(response: aiohttp.ClientResponse, raw: bytes) -> ProviderError:
    try:
        body = json.read(raw)
    except ValueError:
        body = None
    error = body.get("error") if isinstance(body, dict) else None
    quota = isinstance(error, dict) and error.get("code") == "insufficient_quota"
    redirected = 300 <= response.status < 400
    # Any other status would tell the caller of a success.
    failed = 400 <= response.status <= 599
    return ProviderError(
        "The provider answered with a redirect, which is not followed."
        if redirected
        else _message(error, response.status),
        transient=response.status in TRANSIENT and not quota,
        status=response.status if failed else 502,
        body=_openai_error(body, "provider_error"),
        retry_after_s=patience_asked_s(response.headers, clock.now()),
        billable=False,
    )


def _openai_error(body: Json, kind: str) -> dict[str, Json] | None:
    """A provider's error body with all that OpenAI's clients look for in one; None where it is no error body."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return None
    return {"error": {"type": kind, "param": None, "code": None, **error}}


def _message(error: Json, status: int | None = None) -> str:
    text = error.get("message") if isinstance(error, dict) else error
    return (
        f"The provider answered: {text}"
        if isinstance(text, str) and text
        else f"The provider answered with status {status}."
    )


def patience_asked_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """How long a provider asks to be left alone, in seconds; None where it says nothing that can be read.

    `retry-after-ms`, which OpenAI and Azure send and which says it more exactly, else `retry-after`: seconds, or a date
    (RFC 9110, section 10.2.3).
    """
    after = headers.get("retry-after")
    asked = (_seconds(headers.get("retry-after-ms"), 1000), _seconds(after), _seconds_until(after, now))
    return next((seconds for seconds in asked if seconds is not None), None)


def _seconds(header: str | None, per_second: int = 1) -> float | None:
    try:
        seconds = float(header) / per_second if header else -1.0
    except ValueError:
        return None
    return min(seconds, LONGEST_S) if seconds >= 0 else None


def _seconds_until(header: str | None, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(header or "")
    except (ValueError, OverflowError):
        return None
    # Of the three forms of HTTP's dates, the one of C's asctime names no zone.
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - now).total_seconds()), LONGEST_S)
