"""OpenAI and every server that speaks its chat completions and embeddings; Azure's deployments of its models."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import closing
from typing import ClassVar
from urllib.parse import quote

import aiohttp

from gateway.providers.base import Provider, Request
from gateway.providers.sse import DONE
from gateway.providers.wire import events, posted, whole
from gateway.types import Json, Piece

EXTENSIONS = frozenset({"cache_control", "thinking_blocks", "is_error", "thinking_off"})
PATHS = {"chat": "/chat/completions", "embeddings": "/embeddings"}


class OpenAI(Provider):
    """Any OpenAI-compatible server. Unknown request fields reach it; its reply passes unchanged.

    What only Anthropic's clients ask for (`cache_control`, `thinking_blocks`, `is_error`, `thinking_off`) is left out, as
    OpenAI refuses it; the option `extensions` passes it to servers that know it.
    """

    OPTIONS: ClassVar[Mapping[str, type]] = {"extensions": bool}

    def output_limit_field(self, base_url: str) -> str:
        # OpenAI's reasoning models refuse `max_tokens`; many compatible servers know nothing else.
        return "max_completion_tokens" if "//api.openai.com" in base_url else "max_tokens"

    def url(self, request: Request) -> str:
        """Where the request goes."""
        return request.base_url.rstrip("/") + PATHS[request.operation]

    def headers(self, request: Request) -> dict[str, str]:
        """How the request says who asks."""
        return {"authorization": f"Bearer {request.api_key}"} if request.api_key else {}

    async def send(self, request: Request, http: aiohttp.ClientSession) -> AsyncGenerator[Piece]:
        url, headers = self.url(request), self.headers(request)
        with closing(await posted(request, http, url, headers=headers, body=_body(request))) as response:
            if not request.stream:
                raw, body = await whole(request, response)
                yield Piece(raw, [body], final=True)
                return
            async for raw, parsed, _ in events(request, response):
                if raw:
                    yield Piece(raw, parsed)
            yield Piece(DONE, [], final=True)


class Azure(OpenAI):
    """Azure OpenAI, where a target's model is the name of a deployment.

    `base_url` is the resource's, e.g. https://example.openai.azure.com; the option `api_version` picks the API's
    version. Source: Azure OpenAI REST reference, data plane, "Chat completions - Create".
    """

    OPTIONS = {"extensions": bool, "api_version": str}
    #: The newest dated version that is generally available.
    API_VERSION = "2024-10-21"

    def output_limit_field(self, base_url: str) -> str:
        return "max_completion_tokens"

    def url(self, request: Request) -> str:
        version = request.options.get("api_version", self.API_VERSION)
        deployment = f"/openai/deployments/{quote(request.model, safe='')}"
        return (
            request.base_url.rstrip("/") + deployment + PATHS[request.operation] + f"?api-version={quote(str(version))}"
        )

    def headers(self, request: Request) -> dict[str, str]:
        return {"api-key": request.api_key} if request.api_key else {}


def _body(request: Request) -> Mapping[str, Json]:
    body = {**request.body, "model": request.model}
    if not request.options.get("extensions"):
        body = _without(body)
        for name in ("messages", "tools"):
            if isinstance(items := body.get(name), list):
                body[name] = [_without(item) for item in items]
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    return body


def _without(item: Json) -> Json:
    """A body, message, call or tool without what only Anthropic knows."""
    if not isinstance(item, dict):
        return item
    if not EXTENSIONS.isdisjoint(item):
        item = {name: value for name, value in item.items() if name not in EXTENSIONS}
    for name in ("content", "tool_calls"):
        inside = item.get(name)
        if isinstance(inside, list) and any(isinstance(part, dict) and "cache_control" in part for part in inside):
            item = {**item, name: [_without(part) for part in inside]}
    return item
