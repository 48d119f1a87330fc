"""Every other vendor, through the litellm library, which is imported when the first call needs it: that takes seconds."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import aiohttp
import orjson

from gateway.clock import clock
from gateway.errors import ProviderError, ProviderTimeout
from gateway.providers.anthropic.request import ASIDE
from gateway.providers.base import CHAT_FIELDS, Provider, Request
from gateway.providers.sse import DONE, encode
from gateway.providers.wire import TRANSIENT, patience_asked_s
from gateway.types import Json, Operation, Piece


class LiteLLM(Provider):
    """A vendor that litellm knows. Options: `vendor` is litellm's prefix of the model, e.g. `bedrock`; `parameters` are
    litellm's own arguments for it, e.g. `{"aws_region_name": "eu-west-1"}`.

    Only fields of a chat completion pass: others could name another address for the key to be sent to. Requests go over
    the gate's own connections, which the SSRF guard watches, wherever litellm makes them with its own HTTP client.
    """

    NEEDS_URL = False
    OPTIONS = {"vendor": str, "parameters": dict}

    def refusal(self, operation: Operation, body: Mapping[str, Json]) -> str:
        unknown = sorted(name for name in body.keys() - CHAT_FIELDS - ASIDE if body[name] is not None)
        if operation != "chat":
            return "embeddings do not go through litellm"
        return f"{', '.join(unknown)} cannot be passed through litellm; leave it out" if unknown else ""

    async def send(self, request: Request, http: aiohttp.ClientSession) -> AsyncGenerator[Piece]:
        litellm = await asyncio.to_thread(_library)
        vendor = request.options.get("vendor", "")
        arguments = {
            **{name: value for name, value in request.body.items() if value is not None and name in CHAT_FIELDS},
            **request.options.get("parameters", {}),
            "model": f"{vendor}/{request.model}" if vendor else request.model,
            "timeout": request.timeout_s, "max_retries": 0, "num_retries": 0, "shared_session": http,
            "stream": request.stream,
        }  # fmt: skip
        if request.base_url:
            # Never without a key of its own: litellm would send one that it finds in the environment.
            arguments |= {"api_base": request.base_url, "api_key": request.api_key or "none"}
        elif request.api_key:
            arguments["api_key"] = request.api_key
        if request.trace:
            arguments["extra_headers"] = {**(arguments.get("extra_headers") or {}), **request.trace}
        if not request.stream:
            with _translated():
                body = _plain(await litellm.acompletion(**arguments))
            yield Piece(orjson.dumps(body), [body], final=True)
            return
        arguments["stream_options"] = {"include_usage": True}
        with _translated():
            async with asyncio.timeout(request.patience_s()):
                chunks = await litellm.acompletion(**arguments)
        try:
            while True:
                with _translated():
                    event = _plain(await anext(chunks))
                yield Piece(encode(event), [event])
        except StopAsyncIteration:
            yield Piece(DONE, [], final=True)
        finally:
            await _close(chunks)


#: What logs texts of calls, and from which level on it no longer does: litellm quotes errors, the clients that it uses write down
#: whole requests.
LOGS = {"LiteLLM": logging.CRITICAL, "openai": logging.INFO, "anthropic": logging.INFO, "botocore": logging.INFO}


def _library() -> Any:
    # It would fetch a list of prices from the network, and send usage to its makers.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    try:
        library: Any = import_module("litellm")
    except ImportError:
        raise ProviderError(
            "This provider needs the package litellm; install Tollhouse with its extra `litellm`.",
            transient=False, billable=False,
        ) from None  # fmt: skip
    library.telemetry = False
    for name, least in LOGS.items():
        log = logging.getLogger(name)
        log.setLevel(max(least, log.getEffectiveLevel()))
    library.suppress_debug_info = True
    return library


def _plain(model: Any) -> dict[str, Json]:
    body: dict[str, Json] = model.model_dump(mode="json", exclude_none=True)
    for choice in body.get("choices", ()):
        choice.setdefault("finish_reason", None)
    return body


async def _close(chunks: Any) -> None:
    # Its wrapper leaves the connection open when it is dropped in the middle.
    for stream in (chunks, getattr(chunks, "completion_stream", None)):
        close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
        if close is not None and asyncio.iscoroutine(closing := close()):
            await closing


def _headers(error: Exception) -> Mapping[str, str]:
    """The headers of the answer that litellm made an error of, from wherever it has left them."""
    answer = getattr(error, "response", None)
    return getattr(error, "litellm_response_headers", None) or getattr(answer, "headers", None) or {}


@contextmanager
def _translated() -> Iterator[None]:
    """Turns litellm's errors, which are many, into ours by their status."""
    try:
        yield
    except (ProviderError, StopAsyncIteration):
        raise
    except TimeoutError as error:
        raise ProviderTimeout("The provider did not answer in time.", transient=True, billable=True) from error
    except Exception as error:
        status = getattr(error, "status_code", None)
        if type(error).__name__ == "Timeout":
            raise ProviderTimeout("The provider did not answer in time.", transient=True, billable=True) from error
        text = str(getattr(error, "message", "") or type(error).__name__)
        answered = isinstance(status, int) and type(error).__name__ not in (
            "APIConnectionError",
            "MidStreamFallbackError",
        )
        raise ProviderError(
            f"The provider answered: {text}", transient=not answered or status in TRANSIENT,
            status=status if answered else None, billable=not answered,
            retry_after_s=patience_asked_s(_headers(error), clock.now()),
            body={"error": {"message": text, "type": "provider_error", "param": None, "code": None}},
        ) from error  # fmt: skip
