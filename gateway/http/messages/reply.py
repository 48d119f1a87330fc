"""From a chat completion to Anthropic's Messages: what a client gets, whole or streamed."""

from collections.abc import Iterator, Mapping
from uuid import UUID

import orjson

from gateway import json
from gateway.entry import Entry
from gateway.http.chat import Place, place_of
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
    reason, sequence = _stopped(choice, called=bool(said.get("tool_calls")))
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
        "stop_reason": reason,
        "stop_sequence": sequence,
        "usage": usage(completion.get("usage") or {}),
    }


def _stopped(choice: Mapping[str, Json], *, called: bool) -> tuple[str, str | None]:
    """Why a choice ended, and at which of the stop sequences: what we say of Anthropic's, or vLLM of its own.

    With `called` it has calls of tools, of which many say `stop`, OpenAI too where the tool was chosen by name.
    """
    reason = choice.get("finish_reason") or ""
    if reason == "stop":
        at = choice.get("stop_sequence") or choice.get("stop_reason")
        if isinstance(at, str):
            return "stop_sequence", at
        if called:
            return "tool_use", None
    return STOP.get(reason, "end_turn"), None


def _arguments(function: Mapping[str, Json]) -> Json:
    try:
        found = json.read((function.get("arguments") or "{}").encode())
    except ValueError:
        found = None
    # What a model wrote may be no JSON at all; the caller then sees it as it is.
    return found if isinstance(found, dict) else {"arguments": function.get("arguments")}


def usage(report: Mapping[str, Json]) -> dict[str, Json]:
    """OpenAI's usage in Anthropic's words, whose input tokens leave cached ones out."""
    details = (report.get(f"{side}_tokens_details") for side in ("prompt", "completion"))
    inside, outside = (found if isinstance(found, dict) else {} for found in details)
    read, written = count(inside, "cached_tokens"), count(inside, "cache_write_tokens")
    thought = count(outside, "reasoning_tokens")
    return {
        "input_tokens": max(0, count(report, "prompt_tokens") - read - written),
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "output_tokens": count(report, "completion_tokens"),
        **({"output_tokens_details": {"thinking_tokens": thought}} if thought else {}),
    }


class Events:
    """Makes the events of a stream from chunks of a chat completion. One block is open at a time."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._began = False
        self._blocks = 0
        self._open: Place | None = None
        self._called = False
        self._choice: Mapping[str, Json] = {}
        self._usage: Mapping[str, Json] = {}

    def add(self, chunk: Mapping[str, Json]) -> bytes:
        """What goes out for a chunk; possibly nothing."""
        return b"".join(_encoded(event) for event in self._events(chunk))

    def finish(self) -> bytes:
        """What goes out when the reply is complete and its row committed."""
        ending = [*self._begin(self._entry.row["model_served"]), *self._close()]
        reason, sequence = _stopped(self._choice, called=self._called)
        delta = {"stop_reason": reason, "stop_sequence": sequence}
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
            if choice.get("finish_reason"):
                self._choice = choice

    def _begin(self, model: Json) -> Iterator[dict[str, Json]]:
        if not self._began:
            self._began = True
            empty = message({"model": model}, self._entry.call_id)
            yield {"type": "message_start", "message": {**empty, "content": [], "stop_reason": None}}

    def _delta(self, delta: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
        thought = delta.get("reasoning_content") or delta.get("reasoning") or ""
        blocks = delta.get("thinking_blocks") or ()
        if thought and thought != "".join(block["thinking"] for block in blocks if _signed(block)):
            yield from self._into(("thinking", None), {"type": "thinking", "thinking": "", "signature": ""})
            yield self._change({"type": "thinking_delta", "thinking": thought})
        for block in blocks:
            yield from self._thinking(block)
        if text := text_of(delta.get("content")) or delta.get("refusal"):
            yield from self._into(("text", None), {"type": "text", "text": ""})
            yield self._change({"type": "text_delta", "text": text})
        for call in delta.get("tool_calls") or ():
            self._called = True
            function = call.get("function") or {}
            empty = {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": {}}
            yield from self._into(place_of(call, "tool", self._open), empty)
            if arguments := function.get("arguments"):
                yield self._change({"type": "input_json_delta", "partial_json": arguments})

    def _thinking(self, block: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
        """A block of thinking that is complete: what is left to say of the one that is open, or all of it."""
        if block.get("type") == "redacted_thinking":
            yield from self._into(("redacted", self._blocks), block)
        elif _signed(block):
            if self._open != ("thinking", None):
                yield from self._into(("thinking", None), {"type": "thinking", "thinking": "", "signature": ""})
                yield self._change({"type": "thinking_delta", "thinking": block["thinking"]})
            yield self._change({"type": "signature_delta", "signature": block["signature"]})
            yield from self._close()

    def _into(self, place: Place, empty: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
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


def _signed(block: Mapping[str, Json]) -> bool:
    """Whether it is a whole block of thinking: others tell of theirs in pieces, of which the last has the signature."""
    return isinstance(block.get("thinking"), str) and bool(block.get("signature"))


def _encoded(event: dict[str, Json]) -> bytes:
    # Anthropic's SDK drops events without an `event:` line.
    kind: str = event["type"]
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n"
