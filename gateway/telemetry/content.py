"""The text of a call in telemetry: left out, unless the feature's policy and the convention's own switch both allow it.

Only what the ledger keeps as redacted text ever leaves: a policy that keeps raw text of any part has none to tell.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.types import Json
from redaction.policies import STORED_PARTS, Policy

#: The convention's switch, and which of its words let text stand on spans.
SWITCH = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
ON_SPANS = frozenset({"SPAN_ONLY", "SPAN_AND_EVENT", "TRUE"})
#: Text beyond this is cut, message by message; characters. Collectors refuse what is much larger than 4 MB in one batch.
MOST_CHARACTERS = 20_000

Part = dict[str, Any]


def switched_on() -> bool:
    """Whether the process's environment asks for text on spans."""
    return os.environ.get(SWITCH, "").strip().upper() in ON_SPANS


def tellable(policy: Policy, content: Mapping[str, Json] | None) -> Mapping[str, Json] | None:
    """What is kept of a call, if nothing of it is raw; else None."""
    kinds = {policy.stored_of(part) for part in STORED_PARTS}
    return content if content and "messages" in content and "redacted" in kinds and "full" not in kinds else None


def attributes(content: Mapping[str, Json], finish_reason: str) -> dict[str, str]:
    """The messages as JSON texts in the convention's shape (v1.41), by the attributes' names."""
    system = [message for message in content["messages"] if message.get("role") in ("system", "developer")]
    others = [message for message in content["messages"] if message.get("role") not in ("system", "developer")]
    reply = [message | {"finish_reason": finish_reason} for message in _messages(content.get("reply") or ())]
    found = {
        "gen_ai.system_instructions": [part for message in system for part in _parts(message)],
        "gen_ai.input.messages": _messages(others),
        "gen_ai.output.messages": reply,
    }
    return {name: orjson.dumps(value).decode() for name, value in found.items() if value}


def _messages(messages: Sequence[Mapping[str, Json]]) -> list[dict[str, Any]]:
    return [{"role": str(message.get("role") or "user"), "parts": _parts(message)} for message in messages]


def _parts(message: Mapping[str, Json]) -> list[Part]:
    if message.get("role") == "tool":
        return [
            {"type": "tool_call_response", "id": message.get("tool_call_id"), "result": _text(message.get("content"))}
        ]
    parts: list[Part] = []
    if message.get("reasoning_content"):
        parts.append({"type": "reasoning", "content": _text(message["reasoning_content"])})
    if message.get("content"):
        parts.append({"type": "text", "content": _text(message["content"])})
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        parts.append({
            "type": "tool_call", "id": call.get("id"), "name": function.get("name"),
            "arguments": _text(function.get("arguments")),
        })  # fmt: skip
    return parts


def _text(value: Json) -> str:
    """The text of a content, be it one or a list of parts; what is no text says its type alone."""
    if isinstance(value, list):
        value = "\n".join(
            str(part.get("text") or f"[{part.get('type')}]") if isinstance(part, Mapping) else str(part)
            for part in value
        )
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"
