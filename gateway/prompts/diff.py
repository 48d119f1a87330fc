"""What changed between two versions of a prompt, line by line, for a person to read."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from gateway.types import Json

#: Unchanged lines that are shown around changed ones.
CONTEXT = 3
#: Texts of more lines than this together are not compared line by line, as that takes too long.
MOST_LINES = 4_000


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a difference; a `gap` stands for unchanged lines and says how many."""

    kind: Literal["same", "added", "removed", "gap"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One message, or the tools, response format or parameters, with what changed in it."""

    title: str
    lines: Sequence[Line]

    @property
    def changed(self) -> bool:
        return any(line.kind in ("added", "removed") for line in self.lines)


def diff(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[Part]:
    """The parts of two contents that differ, in the order in which a reader expects them; empty when none does."""
    parts = [
        Part(title=title, lines=compare(_message(before), _message(after)))
        for title, before, after in _pairs(old["messages"], new["messages"])
    ]
    for name in ("tools", "response_format", "parameters"):
        lines = compare(_lines(old.get(name)), _lines(new.get(name)))
        parts.append(Part(title=name.replace("_", " ").capitalize(), lines=lines))
    return [part for part in parts if part.changed]


def compare(old: Sequence[str], new: Sequence[str]) -> list[Line]:
    """Both texts in one: lines removed and added, with some unchanged ones around them."""
    if len(old) + len(new) > MOST_LINES:
        same = old == new
        return (
            []
            if same
            else [Line("removed", f"{len(old)} lines"), Line("added", f"{len(new)} lines, too many to compare")]
        )
    matcher = SequenceMatcher(None, old, new)
    found: list[Line] = []
    operations = matcher.get_opcodes()
    for number, (kind, a, b, c, d) in enumerate(operations):
        if kind == "equal":
            found += _context(old[a:b], first=number == 0, last=number == len(operations) - 1)
            continue
        found += (Line("removed", line) for line in old[a:b])
        found += (Line("added", line) for line in new[c:d])
    return found


def _context(lines: Sequence[str], *, first: bool, last: bool) -> Iterator[Line]:
    head, tail = (0 if first else CONTEXT), (0 if last else CONTEXT)
    hidden = len(lines) - head - tail
    if hidden <= 1:
        yield from (Line("same", line) for line in lines)
        return
    yield from (Line("same", line) for line in lines[:head])
    yield Line("gap", f"{hidden} unchanged lines")
    yield from (Line("same", line) for line in lines[len(lines) - tail :])


def _pairs(old: Json, new: Json) -> Iterator[tuple[str, Json, Json]]:
    """Messages that belong together, so that one put in front does not make all others look changed; None: no partner."""
    matcher = SequenceMatcher(None, [_json(m) for m in old], [_json(m) for m in new])
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            continue
        for offset in range(max(b - a, d - c)):
            before = old[a + offset] if a + offset < b else None
            after = new[c + offset] if c + offset < d else None
            title = f"Message {c + offset + 1}" if after is not None else f"Message {a + offset + 1}, which is gone"
            yield title, before, after


def _message(message: Json) -> list[str]:
    if message is None:
        return []
    fields = [f"{name}: {value if isinstance(value, str) else _json(value)}"
              for name, value in sorted(message.items()) if name != "content"]  # fmt: skip
    content = message.get("content")
    return [*fields, *(content.split("\n") if isinstance(content, str) else _lines(content))]


def _lines(value: Json) -> list[str]:
    return [] if value is None else json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True).split("\n")


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
