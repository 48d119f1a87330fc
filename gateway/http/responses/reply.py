"""From a chat completion to OpenAI's Responses: the response that a client gets as a whole."""

from collections.abc import Mapping
from time import time
from typing import Any
from uuid import UUID

from gateway.prices.usage import count
from gateway.providers.shape import text_of
from gateway.types import Json

#: Fields of the request that a response repeats, with what they are when they were not sent.
ECHOED: dict[str, Json] = {
    "instructions": None, "max_output_tokens": None, "metadata": {}, "parallel_tool_calls": True, "temperature": None,
    "tool_choice": "auto", "tools": [], "top_p": None, "user": None, "text": {"format": {"type": "text"}},
    "reasoning": {"effort": None, "summary": None},
}  # fmt: skip
REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


def response(call_id: UUID, given: Mapping[str, Json], model: Json, **fields: Json) -> dict[str, Json]:
    """A response object with what is the same from its beginning to its end."""
    echoed = {name: given.get(name) if given.get(name) is not None else unset for name, unset in ECHOED.items()}
    return {
        "id": f"resp_{call_id.hex}", "object": "response", "created_at": int(time()), "status": "in_progress",
        "error": None, "incomplete_details": None, "model": model, "output": [], "previous_response_id": None,
        "store": False, "truncation": "disabled", "background": False, "usage": None, "service_tier": None, **echoed, **fields,
    }  # fmt: skip


def finished(completion: Mapping[str, Json], call_id: UUID, given: Mapping[str, Json]) -> dict[str, Json]:
    """The response for a chat completion's first choice."""
    choice = (completion.get("choices") or [{}])[0]
    said = choice.get("message") or {}
    output: list[dict[str, Json]] = []
    if thought := said.get("reasoning_content") or said.get("reasoning"):
        output.append(reasoning_item(call_id, 0, thought))
    if texts := _texts(said):
        output.append(message_item(call_id, len(output), [part(kind, text) for kind, text in texts], "completed"))
    output += [
        call_item(call_id, number, call) for number, call in enumerate(said.get("tool_calls") or (), len(output))
    ]
    ending = ended(choice.get("finish_reason"), completion.get("usage"))
    tier = completion.get("service_tier")
    return response(call_id, given, completion.get("model"), output=output, service_tier=tier, **ending)


def _texts(said: Mapping[str, Json]) -> list[tuple[str, str]]:
    texts = (("output_text", text_of(said.get("content"))), ("refusal", said.get("refusal") or ""))
    return [(kind, text) for kind, text in texts if text]


def ended(reason: Json, usage: Json) -> dict[str, Json]:
    """How a response ended: status, details, usage."""
    why = REASONS.get(reason)
    return {
        "status": "incomplete" if why else "completed",
        "incomplete_details": {"reason": why} if why else None,
        "usage": _usage(usage) if isinstance(usage, dict) else None,
    }


def _usage(report: Mapping[str, Json]) -> dict[str, Json]:
    details = (report.get(f"{side}_tokens_details") for side in ("prompt", "completion"))
    inside, outside = (found if isinstance(found, dict) else {} for found in details)
    return {
        "input_tokens": count(report, "prompt_tokens"),
        "input_tokens_details": {
            "cached_tokens": count(inside, "cached_tokens"), "cache_write_tokens": count(inside, "cache_write_tokens"),
        },
        "output_tokens": count(report, "completion_tokens"),
        "output_tokens_details": {"reasoning_tokens": count(outside, "reasoning_tokens")},
        "total_tokens": count(report, "total_tokens"),
    }  # fmt: skip


def reasoning_item(call_id: UUID, number: int, text: str) -> dict[str, Json]:
    """What the model thought, where it says so. `number` is the item's place in the output, here and below."""
    return {
        "type": "reasoning",
        "id": f"rs_{call_id.hex}_{number}",
        "summary": [{"type": "summary_text", "text": text}],
    }


def message_item(call_id: UUID, number: int, parts: list[dict[str, Json]], status: str) -> dict[str, Json]:
    """What the model said."""
    return {
        "type": "message", "id": f"msg_{call_id.hex}_{number}", "status": status, "role": "assistant", "content": parts,
    }  # fmt: skip


def part(kind: str, text: str) -> dict[str, Json]:
    """A part of a message, `output_text` or `refusal`."""
    if kind == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def call_item(call_id: UUID, number: int, call: Mapping[str, Any], status: str = "completed") -> dict[str, Json]:
    """A tool that the model wants called."""
    function = call.get("function") or {}
    return {
        "type": "function_call", "id": f"fc_{call_id.hex}_{number}", "call_id": call.get("id"),
        "name": function.get("name"), "arguments": function.get("arguments") or "", "status": status,
    }  # fmt: skip
