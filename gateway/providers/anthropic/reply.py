"""From Anthropic's Messages to the OpenAI shape of a chat completion: what is answered, whole or streamed."""

from collections.abc import Iterator, Mapping
from time import time
from typing import Any

import orjson

from gateway.prices.usage import count, whole
from gateway.types import Json

FINISH = {
    "end_turn": "stop", "stop_sequence": "stop", "pause_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls",
    "refusal": "content_filter", "model_context_window_exceeded": "length",
}  # fmt: skip
NO_ENDING: Mapping[str, Json] = {"finish_reason": None}
TIERS = {"standard": "default", "priority": "priority", "batch": "batch"}


def completion(message: Mapping[str, Json]) -> dict[str, Json]:
    """A chat completion with the content of a message."""
    texts, thoughts, thinking, calls = [], [], [], []
    for block in _list(message.get("content")):
        match block.get("type"):
            case "text":
                texts.append(str(block.get("text") or ""))
            case "thinking":
                thoughts.append(str(block.get("thinking") or ""))
                thinking.append(block)
            case "redacted_thinking":
                thinking.append(block)
            case "tool_use":
                calls.append(_call(block, orjson.dumps(block.get("input") or {}).decode()))
    answer: dict[str, Json] = {"role": "assistant", "content": "".join(texts) if texts else None, "refusal": None}
    if thoughts:
        answer["reasoning_content"] = "".join(thoughts)
    if thinking:
        # With their signatures: Anthropic wants them back in the next turn of a conversation with tools.
        answer["thinking_blocks"] = thinking
    if calls:
        answer["tool_calls"] = calls
    choice = {"index": 0, "message": answer, **_ending(message), "logprobs": None}
    return {
        "id": message.get("id"),
        "object": "chat.completion",
        "created": int(time()),
        "model": message.get("model"),
        "choices": [choice],
        "usage": usage(_dict(message.get("usage"))),
        "service_tier": _tier(_dict(message.get("usage"))),
    }


def usage(report: Mapping[str, Json]) -> dict[str, Json] | None:
    """Anthropic's usage in OpenAI's words, whose prompt tokens include cached ones; None where it cannot be read.

    Source: Anthropic's API reference, "Usage": "Total input tokens in a request is the summation of input_tokens,
    cache_creation_input_tokens, and cache_read_input_tokens"; output tokens include thinking.
    """
    uncached, output = whole(report.get("input_tokens")), whole(report.get("output_tokens"))
    read, written = (whole(report.get(f"cache_{part}_input_tokens") or 0) for part in ("read", "creation"))
    if uncached is None or output is None or read is None or written is None:
        return None
    prompt = uncached + read + written
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "completion_tokens_details": {
            "reasoning_tokens": count(_dict(report.get("output_tokens_details")), "thinking_tokens")
        },
    }


class Chunks:
    """Makes chunks of a chat completion from a stream's events, one after the other. `finished` after the last;
    `input_usage` is a usage without output, once the stream has told of its input.
    """

    def __init__(self) -> None:
        self.finished = False
        self.input_usage: dict[str, Json] | None = None
        self._base: dict[str, Json] = {}
        self._usage: dict[str, Json] = {}
        self._tools: dict[int, int] = {}
        self._thinking: dict[int, dict[str, Any]] = {}

    def add(self, event: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
        """The chunks for one event; none for events that tell the caller nothing."""
        match event.get("type"):
            case "message_start":
                message = _dict(event.get("message"))
                self._usage |= _dict(message.get("usage"))
                self.input_usage = usage({**self._usage, "output_tokens": 0})
                self._base = {
                    "id": message.get("id"), "object": "chat.completion.chunk", "created": int(time()),
                    "model": message.get("model"),
                }  # fmt: skip
                yield self._delta({"role": "assistant", "content": ""})
            case "content_block_start":
                yield from self._start(_index(event), _dict(event.get("content_block")))
            case "content_block_delta":
                yield from self._add(_index(event), _dict(event.get("delta")))
            case "content_block_stop":
                if block := self._thinking.pop(_index(event), None):
                    yield self._delta({"thinking_blocks": [block]})
            case "message_delta":
                # Counts here are totals, and leave out what has not changed.
                self._usage |= {name: n for name, n in _dict(event.get("usage")).items() if n is not None}
                yield self._delta({}, _ending(_dict(event.get("delta"))))
            case "message_stop":
                self.finished = True
                if report := usage(self._usage):
                    yield {**self._base, "choices": [], "usage": report, "service_tier": _tier(self._usage)}

    def _start(self, index: int, block: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
        match block.get("type"):
            case "tool_use":
                place = self._tools[index] = len(self._tools)
                yield self._delta({"tool_calls": [{"index": place, **_call(block, "")}]})
            case "thinking" | "redacted_thinking":
                self._thinking[index] = dict(block)
            case "text" if block.get("text"):
                yield self._delta({"content": str(block["text"])})

    def _add(self, index: int, delta: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
        match delta.get("type"):
            case "text_delta":
                yield self._delta({"content": str(delta.get("text") or "")})
            case "input_json_delta" if index in self._tools and delta.get("partial_json"):
                arguments = {"arguments": str(delta["partial_json"])}
                yield self._delta({"tool_calls": [{"index": self._tools[index], "function": arguments}]})
            case "thinking_delta" if index in self._thinking:
                block, text = self._thinking[index], str(delta.get("thinking") or "")
                block["thinking"] = str(block.get("thinking") or "") + text
                yield self._delta({"reasoning_content": text})
            case "signature_delta" if index in self._thinking:
                self._thinking[index]["signature"] = delta.get("signature")

    def _delta(self, delta: dict[str, Json], ending: Mapping[str, Json] = NO_ENDING) -> dict[str, Json]:
        return {**self._base, "choices": [{"index": 0, "delta": delta, **ending}]}


def _tier(report: Mapping[str, Json]) -> str | None:
    return TIERS.get(str(report.get("service_tier")))


def _call(block: Mapping[str, Json], arguments: str) -> dict[str, Json]:
    function = {"name": str(block.get("name") or ""), "arguments": arguments}
    return {"id": block.get("id"), "type": "function", "function": function}


def _ending(said: Mapping[str, Json]) -> dict[str, Json]:
    """Why a choice ended, and at which stop sequence, which OpenAI's shape has no word for."""
    reason, sequence = said.get("stop_reason"), said.get("stop_sequence")
    finish = FINISH.get(reason, "stop") if isinstance(reason, str) else None
    return {"finish_reason": finish, **({"stop_sequence": sequence} if isinstance(sequence, str) else {})}


def _index(event: Mapping[str, Json]) -> int:
    index = event.get("index")
    return index if isinstance(index, int) else 0


def _dict(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Json) -> list[Mapping[str, Json]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
