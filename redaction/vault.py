"""The pseudonyms of one call, and the way back. Lives in memory only, as long as the call."""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

#: As the gate writes them.
PLACEHOLDER = re.compile(r"\[[A-Z][A-Z_]*_\d+\]")
#: No placeholder is longer in any form, so no more of a stream than this is ever held back.
MOST_CHARACTERS = 64
JSON_OBJECT = re.compile(r"\s*\{\s*\"")
#: The most of a text behind what was passed on that a form looks back at.
BEFORE = 2
#: Values that a session remembers, and their characters in all; the oldest are forgotten first.
MOST_REMEMBERED, MOST_REMEMBERED_CHARACTERS = 2_000, 200_000


class Forms:
    """What a placeholder may look like when it comes back: as it was written, or as models change it.

    In brackets: any case, with blanks or hyphens for underscores, also escaped as Markdown does it (`[person_1]`,
    `[Person 1]`, `\\[PERSON\\_1\\]`). Without brackets only as it was written, and as a word of its own (`PERSON_1`).
    Inside JSON text a backslash is two.
    """

    def __init__(self, *, json_string: bool) -> None:
        escape = r"\\\\" if json_string else r"\\"
        between, digits = rf"(?:(?:{escape})?_|[ -])", "[0-9]{1,7}"
        name = rf"[A-Za-z]{{1,32}}(?:{between}[A-Za-z]{{1,32}}){{0,9}}{between}?{digits}"
        word = rf"[A-Z]{{1,32}}(?:(?:{escape})?_[A-Z]{{1,32}}){{0,9}}(?:{escape})?_{digits}"
        # A letter behind a backslash is a line's end or a tab there.
        begins = r"(?:(?<![\w\\])|(?<=\\[nrtbf]))" if json_string else r"(?<!\w)"
        self.whole = re.compile(
            rf"(?P<escape>{escape})\[(?P<escaped>{name})(?P=escape)\]|\[(?P<plain>{name})\]|"
            rf"{begins}(?P<word>{word})(?!\w|(?:{escape})_)"
        )
        #: Where a form may begin.
        self.start = re.compile(rf"\\|\[|{begins}[A-Z]")
        #: What is a beginning of a form, or whole and not known to be over.
        self.part = re.compile(r"\\{0,2}(?:\[[A-Za-z0-9_ \\-]*)?|[A-Z][A-Z0-9_\\]*")


FORMS = {json_string: Forms(json_string=json_string) for json_string in (False, True)}


class Vault:
    """Placeholders such as `[PERSON_1]`: the same value has the same one throughout the call, or the session.

    `reserve` keeps numbers free that the input itself uses, so that only our own placeholders are ever restored.
    """

    def __init__(self) -> None:
        self._placeholders: dict[tuple[str, str], str] = {}
        #: By the placeholder's name (`PERSON_1`, without signs between letters): its value.
        self._originals: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._reserved: set[str] = set()
        self.grown = False

    @classmethod
    def remembering(cls, state: dict[str, Any]) -> "Vault":
        """A vault with what another's `state` holds."""
        vault = cls()
        vault._counts = dict(state["counts"])
        for entity, placeholder, original in state["values"]:
            vault._keep(entity, placeholder, original, _key(placeholder))
        vault.grown = False
        return vault

    def state(self) -> dict[str, Any]:
        """Everything that a session remembers, as JSON; for encryption, and nothing else."""
        values: list[list[str]] = []
        characters = 0
        for (entity, original), placeholder in reversed(self._placeholders.items()):
            characters += len(original)
            if len(values) == MOST_REMEMBERED or characters > MOST_REMEMBERED_CHARACTERS:
                break
            values.append([entity, placeholder, original])
        return {"counts": self._counts, "values": values[::-1]}

    def __len__(self) -> int:
        return len(self._originals)

    def reserve(self, text: str) -> None:
        """Leaves every placeholder that the text already holds, in whatever form, unused and as it is."""
        if "_" in text or "[" in text:
            self._reserved.update(_key(match[0]) for forms in FORMS.values() for match in _found(text, forms))

    def replace(self, entity: str, original: str) -> str:
        """The placeholder for a value."""
        found = self._placeholders.get((entity, original))
        if found is not None and (not self._reserved or _key(found) not in self._reserved):
            return found
        label = _label(entity)
        while True:
            self._counts[label] = number = self._counts.get(label, 0) + 1
            key = f"{label.replace('_', '')}_{number}"
            if key not in self._reserved and key not in self._originals:
                return self._keep(entity, f"[{label}_{number}]", original, key)

    def _keep(self, entity: str, placeholder: str, original: str, key: str) -> str:
        # Behind all others, should the value have had another placeholder.
        self._placeholders.pop((entity, original), None)
        self._placeholders[entity, original] = placeholder
        self._originals[key] = original
        self.grown = True
        return placeholder

    def knows(self, placeholder: str) -> bool:
        """Whether the placeholder is one of ours."""
        return self._original(_key(placeholder)) is not None

    def restore(self, text: str, *, json_string: bool = False) -> str:
        """The text with originals in place of our placeholders; inside JSON text they are escaped as JSON needs it."""
        return self.restored(text, 0, len(text), json_string=json_string)

    def restored(self, text: str, start: int, end: int, *, json_string: bool) -> str:
        """A range of the text, restored; the text around it is looked at, no placeholder crosses its ends."""
        if not self._originals:
            return text[start:end]
        pieces = []
        for match in self.matches(text, start, json_string=json_string):
            if match.start() >= end:
                break
            original = self._originals[_key(match[0])]
            pieces += [text[start : match.start()], _in_json(original) if json_string else original]
            start = match.end()
        return "".join([*pieces, text[start:end]])

    def matches(self, text: str, start: int, *, json_string: bool) -> Iterator[re.Match[str]]:
        """Our placeholders in the text from `start` on, in any of their forms."""
        return (m for m in _found(text, FORMS[json_string], start, self) if self._original(_key(m[0])) is not None)

    def _original(self, key: str) -> str | None:
        return None if key in self._reserved else self._originals.get(key)

    def restore_json(self, value: Any, *, json_string: bool = False, json_content: bool = False) -> Any:
        """A copy of a JSON value with every text in it restored.

        `arguments` of tool calls are JSON inside a text; with `json_content`, or where it looks so, `content` is too.
        """
        if isinstance(value, str):
            return self.restore(value, json_string=json_string)
        if isinstance(value, dict):
            return {
                key: self.restore_json(
                    item,
                    json_string=key == "arguments" or (key == "content" and (json_content or looks_like_json(item))),
                    json_content=json_content,
                )
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.restore_json(item, json_content=json_content) for item in value]
        return value

    def restorer(self, *, json_string: bool | None = False) -> "StreamRestorer":
        """Restores a text that comes in chunks. None: it may be JSON, which its first two characters tell."""
        return StreamRestorer(self, json_string=json_string)

    def could_begin(self, tail: str) -> bool:
        """Whether the tail of a chunk, of a form's shape, could be the beginning of one of our placeholders."""
        beginning = _key(tail)
        return any(key.startswith(beginning) for key in self._originals)


class StreamRestorer:
    """Restores chunk by chunk. Holds back only what could still become one of our placeholders."""

    def __init__(self, vault: Vault, *, json_string: bool | None) -> None:
        self._vault = vault
        self._json_string = json_string
        #: The first characters that are no blanks, until there are two of them.
        self._head = ""
        self._text = ""
        #: Where that begins which has not been passed on.
        self._at = 0

    def feed(self, text: str) -> str:
        """What can be passed on after this chunk."""
        if self._json_string is None and len(self._head) < 2:
            self._head = (self._head + "".join(text.split()))[:2]
        self._text += text
        return self._pass_on(self._cut())

    def flush(self) -> str:
        """What was held back, at the end of the stream."""
        return self._pass_on(len(self._text))

    @property
    def _as_json(self) -> bool:
        return looks_like_json(self._head) if self._json_string is None else self._json_string

    def _pass_on(self, cut: int) -> str:
        out = self._vault.restored(self._text, self._at, cut, json_string=self._as_json)
        context = max(0, cut - BEFORE)
        self._text, self._at = self._text[context:], cut - context
        return out

    def _cut(self) -> int:
        text, forms = self._text, FORMS[self._as_json]
        cut = len(text)
        for start in forms.start.finditer(text, max(self._at, len(text) - MOST_CHARACTERS)):
            if forms.part.fullmatch(text, start.start()) and self._vault.could_begin(text[start.start() :]):
                cut = start.start()
                break
        for match in self._vault.matches(text, self._at, json_string=self._as_json):
            if match.start() < cut < match.end():
                return match.start()
        return cut


def looks_like_json(text: Any) -> bool:
    """Whether a text begins as a JSON object does."""
    return isinstance(text, str) and bool(JSON_OBJECT.match(text))


def _found(text: str, forms: Forms, start: int = 0, vault: Vault | None = None) -> Iterator[re.Match[str]]:
    """What has the form of a placeholder. What is none of the vault's is looked into: one of its own may begin inside."""
    while match := forms.whole.search(text, start):
        yield match
        start = match.end() if vault is None or vault.knows(match[0]) else match.start() + 1


def _key(form: str) -> str:
    """What all forms of a placeholder share: `PERSON1` … with a sign before the digits, so that no name runs into them."""
    name = re.sub(r"[^A-Za-z0-9]", "", form).upper()
    letters = name.rstrip("0123456789")
    return f"{letters}_{name[len(letters) :]}" if len(letters) < len(name) else letters


@lru_cache(maxsize=1000)
def _label(entity: str) -> str:
    """An entity's name as placeholders write it: Latin capitals with underscores between."""
    return re.sub(r"[^A-Z]+", "_", entity.upper())[:32].strip("_") or "VALUE"


def _in_json(original: str) -> str:
    return json.dumps(original, ensure_ascii=False)[1:-1]
