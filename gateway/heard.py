"""What a provider said in a call: collected from its pieces, for usage, outcome and payload."""

from collections.abc import Mapping
from typing import Any

from gateway.types import Json, Piece

Message = dict[str, Any]


class Heard:
    """The reply so far, in the words the provider used (pseudonyms not yet undone)."""

    def __init__(self) -> None:
        self.began = False
        self.complete = False
        self.model = ""
        self.finish_reason = ""
        self.usage: Mapping[str, Json] | None = None
        self.service_tier = ""
        self._messages: dict[int, Message] = {}

    def add(self, piece: Piece) -> None:
        """Takes a piece in, whole or chunk."""
        self.began = True
        self.complete = piece.final
        for event in piece.events:
            if (model := event.get("model")) and model != self.model:
                self.model = str(model)[:200]
            if isinstance(usage := event.get("usage"), Mapping):
                self.usage = usage
            if tier := event.get("service_tier"):
                self.service_tier = str(tier)
            choices = event.get("choices")
            for choice in choices if isinstance(choices, list) else ():
                if isinstance(choice, dict):
                    self._add_choice(choice)

    def _add_choice(self, choice: dict[str, Json]) -> None:
        if reason := choice.get("finish_reason"):
            self.finish_reason = str(reason)[:40]
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        if isinstance(message := choice.get("message"), dict):
            self._messages[index] = message
        elif isinstance(delta := choice.get("delta"), dict):
            _merge(self._messages.setdefault(index, {"role": "assistant"}), delta)

    @property
    def messages(self) -> list[Message]:
        """The assistant's messages, one for each choice."""
        return [message for _, message in sorted(self._messages.items())]

    @property
    def tool_calls(self) -> int:
        return sum(len(message.get("tool_calls") or ()) for message in self._messages.values())

    @property
    def text(self) -> str:
        """Everything the model wrote, reasoning and tool arguments included; for counting."""
        parts: list[str] = []
        for message in self._messages.values():
            parts += [str(message[key]) for key in _TEXTS if message.get(key)]
            for call in message.get("tool_calls") or ():
                if isinstance(call, dict) and isinstance(function := call.get("function"), dict):
                    parts += [str(function.get("name") or ""), str(function.get("arguments") or "")]
        return "".join(parts)


_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")


def _merge(message: Message, delta: Mapping[str, Json]) -> None:
    """Adds a stream's delta to the message; text is appended, tool calls by their index."""
    for key, value in delta.items():
        if key == "tool_calls" and isinstance(value, list):
            for part in value:
                if isinstance(part, dict):
                    _merge_tool_call(message.setdefault("tool_calls", []), part)
        elif key in _TEXTS and isinstance(value, str):
            message[key] = (message.get(key) or "") + value
        elif value is not None and key != "role":
            message[key] = value


def _merge_tool_call(calls: list[Message], part: Mapping[str, Json]) -> None:
    index = part.get("index")
    index = index if isinstance(index, int) and 0 <= index <= len(calls) else len(calls)
    if index == len(calls):
        calls.append({"id": None, "type": "function", "function": {"name": "", "arguments": ""}})
    call, function = calls[index], part.get("function")
    call["id"] = part.get("id") or call["id"]
    if isinstance(function, Mapping):
        for key in ("name", "arguments"):
            call["function"][key] += str(function.get(key) or "")
