"""What a provider said in a call: collected from its pieces, for usage, outcome and payload."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.shape import text_of
from gateway.telemetry.gaps import Gaps
from gateway.types import Json, Piece

Message = dict[str, Any]


class Heard:
    """The reply so far, in the words the provider used (pseudonyms not yet undone). Its shape has been checked.

    `gaps` notes how long a stream's chunks took; None where nobody reads that.
    """

    def __init__(self, gaps: Gaps | None = None) -> None:
        self.gaps = gaps
        self.began = False
        self.complete = False
        self.id = ""
        self.created = 0
        self.model = ""
        self.finish_reason = ""
        self.usage: Mapping[str, Json] | None = None
        self.input_usage: Mapping[str, Json] | None = None
        self.service_tier = ""
        self._messages: dict[int, Message] = {}
        self._reasons: dict[int, str] = {}
        self._stopped_at: dict[int, str] = {}

    def add(self, piece: Piece) -> None:
        """Takes a piece in, whole or chunk."""
        self.began = True
        self.complete = piece.final
        if piece.input_usage is not None:
            self.input_usage = piece.input_usage
        if self.gaps is not None:
            self.gaps.note(len(piece.events))
        for event in piece.events:
            if (model := event.get("model")) and model != self.model:
                self.model = str(model)[:200]
            if not self.id and isinstance(created := event.get("created"), int):
                self.id, self.created = str(event.get("id") or "")[:200], created
            for choice in event.get("choices") or ():
                self._add_choice(choice)
            if isinstance(usage := event.get("usage"), dict):
                self.usage = usage
            if tier := event.get("service_tier"):
                self.service_tier = str(tier)

    def _add_choice(self, choice: dict[str, Json]) -> None:
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        if reason := choice.get("finish_reason"):
            self.finish_reason = self._reasons[index] = str(reason)[:40]
            if isinstance(sequence := choice.get("stop_sequence"), str):
                self._stopped_at[index] = sequence
            if isinstance(usage := choice.get("usage"), dict):
                # Where Kimi's streams have it; what an event says of itself counts before that.
                self.usage = usage
        if isinstance(message := choice.get("message"), dict):
            self._messages[index] = message
        elif isinstance(delta := choice.get("delta"), dict):
            _merge(self._messages.setdefault(index, {"role": "assistant"}), delta)

    @property
    def messages(self) -> list[Message]:
        """The assistant's messages, one for each choice."""
        return [_written(message) for _, message in sorted(self._messages.items())]

    @property
    def finish_reasons(self) -> list[str]:
        """Why each choice ended, in the order of `messages`; empty for one that has not."""
        return [self._reasons.get(index, "") for index in sorted(self._messages)]

    @property
    def stopped_at(self) -> list[str | None]:
        """At which stop sequence each choice ended, where that was said, in the order of `messages`."""
        return [self._stopped_at.get(index) for index in sorted(self._messages)]

    @property
    def tool_calls(self) -> int:
        return sum([len(message.get("tool_calls") or ()) for message in self._messages.values()])

    @property
    def text(self) -> str:
        """Everything the model wrote, reasoning and tool arguments included; for counting."""
        parts: list[str] = []
        for message in self.messages:
            parts += [str(message[key]) for key in _TEXTS if message.get(key)]
            for call in message.get("tool_calls") or ():
                if function := call.get("function"):
                    parts += [function.get("name") or "", function.get("arguments") or ""]
        return "".join(parts)


_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")


class _Growing(list[str]):
    """A text of a stream, joined once at its end: every addition to a text copies all of it."""


def _written(value: Json) -> Json:
    """The value with every text that grew as a text."""
    if isinstance(value, _Growing):
        return "".join(value)
    if isinstance(value, dict):
        return {key: _written(item) for key, item in value.items()}
    return [_written(item) for item in value] if isinstance(value, list) else value


def _merge(message: Message, delta: Mapping[str, Json]) -> None:
    """Adds a stream's delta to the message; text is appended, tool calls by their index."""
    for key, value in delta.items():
        if key == "content" and type(value) is str:
            # What nearly every event of a stream is.
            message.setdefault(key, _Growing()).append(value)
        elif key == "tool_calls" and value:
            for part in value:
                _merge_tool_call(message.setdefault("tool_calls", []), part)
        elif key in _TEXTS and value is not None:
            message.setdefault(key, _Growing()).append(text_of(value))
        elif isinstance(value, list):
            message[key] = [*(message.get(key) or []), *value]
        elif value is not None and key != "role":
            message[key] = value


def _merge_tool_call(calls: list[Message], part: Mapping[str, Json]) -> None:
    index = part.get("index")
    index = index if isinstance(index, int) and 0 <= index <= len(calls) else len(calls)
    if index == len(calls):
        calls.append({"id": None, "type": "function", "function": {"name": _Growing(), "arguments": _Growing()}})
    call, function = calls[index], part.get("function")
    call["id"] = part.get("id") or call["id"]
    if isinstance(function, Mapping):
        for key in ("name", "arguments"):
            call["function"][key].append(function.get(key) or "")
