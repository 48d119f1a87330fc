"""From a chat completion to Anthropic's Messages: what a client gets, whole or streamed."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import orjson

from gateway import json
from gateway.entry import Entry
from gateway.prices.usage import count
from gateway.providers.shape import text_of
from gateway.types import Json

STOP = {
    "stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use",
    "content_filter": "refusal",
}  # fmt: skip


def message(completion: Mapping[str, Json], call_id: UUID) -> dict[str, Json]:
    """A message with the content of a chat completion's first choice."""
    choice = (completion.get("choices") or [{}])[0]
    said = choice.get("message") or {}
    content: list[dict[str, Json]] = list(said.get("thinking_blocks") or ())
    if not content and (thought := said.get("reasoning_content") or said.get("reasoning")):
        content.append({"type": "thinking", "thinking": thought, "signature": ""})
    if text := text_of(said.get("content")) or said.get("refusal"):
        content.append({"type": "text", "text": text})
    for call in said.get("tool_calls") or ():
        function = call.get("function") or {}
        content.append(
            {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": _arguments(function)}
        )
    return {
        "id": f"msg_{call_id.hex}",
        "type": "message",
        "role": "assistant",
        "model": completion.get("model"),
        "content": content,
        "stop_reason": STOP.get(choice.get("finish_reason"), "end_turn"),
        "stop_sequence": None,
        "usage": usage(completion.get("usage") or {}),
    }


def _arguments(function: Mapping[str, Json]) -> Json:
    try:
        found = json.read((function.get("arguments") or "{}").encode())
    except ValueError:
        found = None
    # What a model wrote may be no JSON at all; the caller then sees it as it is.
    return found if isinstance(found, dict) else {"arguments": function.get("arguments")}


def usage(report: Mapping[str, Json]) -> dict[str, Json]:
    """OpenAI's usage in Anthropic's words, whose input tokens leave cached ones out."""
    details = report.get("prompt_tokens_details")
    details = details if isinstance(details, dict) else {}
    read, written = count(details, "cached_tokens"), count(details, "cache_write_tokens")
    return {
        "input_tokens": max(0, count(report, "prompt_tokens") - read - written),
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "output_tokens": count(report, "completion_tokens"),
    }


class Events:
    """Makes the events of a stream from chunks of a chat completion. One block is open at a time."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._began = False
        self._blocks = 0
        self._open: tuple[str, Any] | None = None
        self._stop = "end_turn"
        self._usage: Mapping[str, Json] = {}

    def add(self, chunk: Mapping[str, Json]) -> bytes:
        """What goes out for a chunk; possibly nothing."""
        return b"".join(_encoded(event) for event in self._events(chunk))

    def finish(self) -> bytes:
        """What goes out when the reply is complete and its row committed."""
        ending = [*self._begin(self._entry.row["model_served"]), *self._close()]
        delta = {"stop_reason": self._stop, "stop_sequence": None}
        ending.append({"type": "message_delta", "delta": delta, "usage": usage(self._usage)})
        ending.append({"type": "message_stop"})
        return b"".join(map(_encoded, ending))

    def _events(self, chunk: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
        yield from self._begin(chunk.get("model"))
        if isinstance(report := chunk.get("usage"), dict):
            self._usage = report
        for choice in chunk.get("choices") or ():
            if choice.get("index") or 0:
                continue
            yield from self._delta(choice.get("delta") or {})
            if reason := choice.get("finish_reason"):
                self._stop = STOP.get(reason, "end_turn")

    def _begin(self, model: Json) -> Iterator[dict[str, Json]]:
        if not self._began:
            self._began = True
            empty = message({"model": model}, self._entry.call_id)
            yield {"type": "message_start", "message": {**empty, "content": [], "stop_reason": None}}

    def _delta(self, delta: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            yield from self._into(("thinking", None), {"type": "thinking", "thinking": "", "signature": ""})
            yield self._change({"type": "thinking_delta", "thinking": thought})
        for block in delta.get("thinking_blocks") or ():
            if self._open == ("thinking", None) and block.get("signature"):
                yield self._change({"type": "signature_delta", "signature": block["signature"]})
            elif block.get("type") == "redacted_thinking":
                yield from self._into(("redacted", self._blocks), block)
        if text := text_of(delta.get("content")) or delta.get("refusal"):
            yield from self._into(("text", None), {"type": "text", "text": ""})
            yield self._change({"type": "text_delta", "text": text})
        for call in delta.get("tool_calls") or ():
            function = call.get("function") or {}
            empty = {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": {}}
            yield from self._into(("tool", call.get("index")), empty)
            if arguments := function.get("arguments"):
                yield self._change({"type": "input_json_delta", "partial_json": arguments})

    def _into(self, place: tuple[str, Any], empty: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
        if self._open != place:
            yield from self._close()
            self._open = place
            yield {"type": "content_block_start", "index": self._blocks, "content_block": empty}

    def _change(self, delta: dict[str, Json]) -> dict[str, Json]:
        return {"type": "content_block_delta", "index": self._blocks, "delta": delta}

    def _close(self) -> Iterator[dict[str, Json]]:
        if self._open is not None:
            self._open = None
            yield {"type": "content_block_stop", "index": self._blocks}
            self._blocks += 1


def _encoded(event: dict[str, Json]) -> bytes:
    # Anthropic's SDK drops events without an `event:` line.
    kind: str = event["type"]
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n"
