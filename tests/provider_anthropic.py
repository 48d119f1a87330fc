"""The Messages API of the mock provider, in the shapes of Anthropic's API reference.

`echo` answers with the last text; `tool` calls a tool with it; `think` thinks first; `cached` reports cache tokens;
`overloaded` answers 529; `cut` breaks off; `error-event` fails in mid-stream; `refused` stops with a refusal.
"""

import json
from typing import Any

from aiohttp import web


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or json.dumps(part.get("content") or "") for part in content)


def _blocks(kind: str, said: str) -> list[dict[str, Any]]:
    if kind == "tool":
        return [
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"query": said}},
        ]
    if kind == "think":
        return [
            {"type": "thinking", "thinking": "Hm, let me see.", "signature": "c2lnbmVk"},
            {"type": "text", "text": said},
        ]
    return [{"type": "text", "text": said}]


def _usage(kind: str) -> dict[str, Any]:
    if kind == "cached":
        return {
            "input_tokens": 100, "cache_read_input_tokens": 800, "cache_creation_input_tokens": 100, "output_tokens": 30,
            "output_tokens_details": {"thinking_tokens": 10}, "service_tier": "standard",
        }  # fmt: skip
    return {"input_tokens": 20, "output_tokens": 10, "service_tier": "standard"}


STOP = {"tool": "tool_use", "truncated": "max_tokens", "refused": "refusal"}


async def messages(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Answers `POST /v1/messages`."""
    kind = body["model"].partition(":")[0]
    if kind == "overloaded":
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        return web.json_response(error, status=529)
    said = _text(body["messages"][-1]["content"])
    if body.get("output_config", {}).get("format"):
        said = json.dumps({"name": "Ada", "age": 36})
    blocks, usage, stop = _blocks(kind, said), _usage(kind), STOP.get(kind, "end_turn")
    base = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"]}
    if not body.get("stream"):
        return web.json_response(
            {**base, "content": blocks, "stop_reason": stop, "stop_sequence": None, "usage": usage}
        )
    return await _stream(request, kind, base, blocks, usage, stop)


async def _stream(
    request: web.Request,
    kind: str,
    base: dict[str, Any],
    blocks: list[dict[str, Any]],
    usage: dict[str, Any],
    stop: str,
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)

    async def event(name: str, **fields: Any) -> None:
        data = json.dumps({"type": name, **fields}).encode()
        await response.write(b"event: " + name.encode() + b"\ndata: " + data + b"\n\n")

    first = {**usage, "output_tokens": 1}
    await event(
        "message_start", message={**base, "content": [], "stop_reason": None, "stop_sequence": None, "usage": first}
    )
    await event("ping")
    for index, block in enumerate(blocks):
        empty: dict[str, Any] = {"text": {"type": "text", "text": ""}, "thinking": {"type": "thinking", "thinking": "", "signature": ""},
                                 "tool_use": {**block, "input": {}}}[block["type"]]  # fmt: skip
        await event("content_block_start", index=index, content_block=empty)
        if block["type"] == "tool_use":
            text, delta = json.dumps(block["input"]), ("input_json_delta", "partial_json")
        elif block["type"] == "thinking":
            text, delta = block["thinking"], ("thinking_delta", "thinking")
        else:
            text, delta = block["text"], ("text_delta", "text")
        for i in range(0, len(text), 3):
            if kind == "cut" and i > len(text) // 2:
                assert request.transport is not None
                request.transport.close()
                return response
            if kind == "error-event" and i > len(text) // 2:
                await event("error", error={"type": "overloaded_error", "message": "Overloaded"})
                return response
            await event("content_block_delta", index=index, delta={"type": delta[0], delta[1]: text[i : i + 3]})
        if block["type"] == "thinking":
            signature = {"type": "signature_delta", "signature": block["signature"]}
            await event("content_block_delta", index=index, delta=signature)
        await event("content_block_stop", index=index)
    await event(
        "message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage={"output_tokens": usage["output_tokens"],
        **({"output_tokens_details": usage["output_tokens_details"]} if "output_tokens_details" in usage else {})},
    )  # fmt: skip
    await event("message_stop")
    return response
