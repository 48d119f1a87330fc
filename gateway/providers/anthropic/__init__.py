"""Anthropic, natively: the Messages API, with a call's OpenAI shape translated on its way out and back.

Source: Anthropic's API reference, "Messages", version 2023-06-01, and the types of its SDK, anthropic 2.11.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import closing

import aiohttp
import orjson

from gateway.providers.anthropic.reply import Chunks, completion
from gateway.providers.anthropic.request import Untranslatable, messages_request
from gateway.providers.base import Provider, Request
from gateway.providers.sse import DONE, encode
from gateway.providers.wire import events, posted, whole
from gateway.types import Json, Operation, Piece

VERSION = "2023-06-01"


class Anthropic(Provider):
    """The Messages API. `base_url` ends with /v1, as for OpenAI."""

    def refusal(self, operation: Operation, body: Mapping[str, Json]) -> str:
        if operation != "chat":
            return "Anthropic has no embeddings"
        try:
            # The limit stands in for the one that the call gets later; it has no say in what can be translated.
            messages_request({"max_tokens": 1, **body}, "")
        except Untranslatable as error:
            return str(error)
        return ""

    async def send(self, request: Request, http: aiohttp.ClientSession) -> AsyncGenerator[Piece]:
        body = messages_request(request.body, request.model)
        headers = {"anthropic-version": VERSION, "x-api-key": request.api_key}
        url = request.base_url.rstrip("/") + "/messages"
        if not request.stream:
            with closing(await posted(request, http, url, headers=headers, body=body)) as response:
                reply = completion((await whole(request, response))[1])
            yield Piece(orjson.dumps(reply), [reply], final=True)
            return
        chunks = Chunks()
        body["stream"] = True
        with closing(await posted(request, http, url, headers=headers, body=body)) as response:
            async for _, parsed, _ in events(request, response):
                made = [chunk for event in parsed for chunk in chunks.add(event)]
                if made:
                    yield Piece(b"".join(map(encode, made)), made, input_usage=chunks.input_usage)
                if chunks.finished:
                    break
        yield Piece(DONE, [], final=True)
