"""The pseudonyms of one call, and the way back. Lives in memory only, as long as the call."""

import json
import re
from typing import Any

PLACEHOLDER = re.compile(r"\[[A-Z][A-Z_]*_\d+\]")
#: No placeholder is longer, so no more of a stream than this is ever held back.
MOST_CHARACTERS = 48


class Vault:
    """Placeholders such as `[PERSON_1]`: the same value has the same one throughout the call.

    `reserve` keeps numbers free that the input itself uses, so that only our own placeholders are ever restored.
    """

    def __init__(self) -> None:
        self._placeholders: dict[tuple[str, str], str] = {}
        self._originals: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._reserved: set[str] = set()

    def __len__(self) -> int:
        return len(self._originals)

    def reserve(self, text: str) -> None:
        """Leaves every placeholder that the text already holds unused."""
        if "[" in text:
            self._reserved.update(PLACEHOLDER.findall(text))

    def replace(self, entity: str, original: str) -> str:
        """The placeholder for a value."""
        found = self._placeholders.get((entity, original))
        while found is None:
            self._counts[entity] = self._counts.get(entity, 0) + 1
            candidate = f"[{entity}_{self._counts[entity]}]"
            if candidate not in self._reserved:
                found = self._placeholders[entity, original] = candidate
                self._originals[candidate] = original
        return found

    def knows(self, placeholder: str) -> bool:
        """Whether the placeholder is one of ours."""
        return placeholder in self._originals

    def restore(self, text: str, *, json_string: bool = False) -> str:
        """The text with originals in place of our placeholders; inside JSON text they are escaped as JSON needs it."""
        if not self._originals or "[" not in text:
            return text
        return PLACEHOLDER.sub(lambda match: self._original(match[0], json_string=json_string), text)

    def _original(self, placeholder: str, *, json_string: bool) -> str:
        original = self._originals.get(placeholder)
        if original is None:
            return placeholder
        return json.dumps(original, ensure_ascii=False)[1:-1] if json_string else original

    def restore_json(self, value: Any, *, json_string: bool = False) -> Any:
        """A copy of a JSON value with every text in it restored; `arguments` of tool calls are JSON inside a text."""
        if isinstance(value, str):
            return self.restore(value, json_string=json_string)
        if isinstance(value, dict):
            return {key: self.restore_json(item, json_string=key == "arguments") for key, item in value.items()}
        if isinstance(value, list):
            return [self.restore_json(item) for item in value]
        return value

    def restorer(self, *, json_string: bool = False) -> "StreamRestorer":
        """Restores a text that comes in chunks."""
        return StreamRestorer(self, json_string=json_string)

    def could_begin(self, tail: str) -> bool:
        """Whether the tail of a chunk could be the beginning of one of our placeholders."""
        return any(placeholder.startswith(tail) for placeholder in self._originals)


class StreamRestorer:
    """Restores chunk by chunk. Holds back only what could still become one of our placeholders."""

    def __init__(self, vault: Vault, *, json_string: bool) -> None:
        self._vault = vault
        self._json_string = json_string
        self._held = ""

    def feed(self, text: str) -> str:
        """What can be passed on after this chunk."""
        text = self._held + text
        bracket = text.rfind("[", max(0, len(text) - MOST_CHARACTERS))
        cut = bracket if bracket >= 0 and self._vault.could_begin(text[bracket:]) else len(text)
        if cut < len(text) and PLACEHOLDER.fullmatch(text[cut:]):
            cut = len(text)
        self._held = text[cut:]
        return self._vault.restore(text[:cut], json_string=self._json_string)

    def flush(self) -> str:
        """What was held back, at the end of the stream."""
        held, self._held = self._held, ""
        return self._vault.restore(held, json_string=self._json_string)
