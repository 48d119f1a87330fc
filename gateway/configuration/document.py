"""A catalog file: its values, and the line on which each of them stands."""

import re
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any

Place = tuple[str | int, ...]
HEADER = re.compile(r"^\s*(\[\[?)(.+?)(\]\]?)\s*(?:#.*)?$")
KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
#: A text or a comment; those of several lines may hold what looks like a header or a key.
TEXT = re.compile(r"""\"{3}(?:\\.|[^\\])*?\"{3,5}|'{3}.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a file, where it stands, and what to do."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class Document:
    """A parsed file. `problems` collects everything that is wrong with it, so that all is told at once."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self.values: dict[str, Any] = {}
        self._lines: dict[Place, int] = {}
        try:
            self.values = tomllib.loads(text, parse_float=Decimal)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"at line (\d+)", str(error))
            self.problems.append(Problem(name, int(found[1]) if found else 1, f"This is not valid TOML: {error}."))
            return
        except (ValueError, ArithmeticError, RecursionError):
            self.problems.append(Problem(name, 1, "A number is too long, or lists are nested too deeply, to be read."))
            return
        self._index(text)

    @classmethod
    def read(cls, path: str) -> "Document":
        """The file at that path; some editors begin it with a mark that it is UTF-8. Raises OSError when it cannot be read."""
        try:
            return cls(path, Path(path).read_text(encoding="utf-8-sig"))
        except UnicodeDecodeError:
            document = cls(path, "")
            document.problem((), "This is no text in UTF-8; save it as such.")
            return document

    def problem(self, place: Place, message: str) -> None:
        """Notes that something is wrong at this place, or at the nearest one above it that has a line."""
        while place and place not in self._lines:
            place = place[:-1]
        self.problems.append(Problem(self.name, self._lines.get(place, 1), message))

    def unknown(self, place: Place, name: str, known: list[str]) -> None:
        """Notes a name that is not known, with the one that was probably meant."""
        near = get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}."
        self.problem((*place, name), f"{name!r} is not known here; {hint}")

    def _index(self, text: str) -> None:
        """Finds the line of each table and key."""
        table: Place = ()
        counts: dict[Place, int] = {}
        bare = TEXT.sub(lambda found: "\n" * found[0].count("\n") or found[0], text)
        for number, line in enumerate(bare.split("\n"), 1):
            if header := HEADER.match(line):
                path = _path(header[2])
                if path is None:
                    continue
                if header[1] == "[[":
                    counts[path] = counts.get(path, -1) + 1
                    path = (*path, counts[path])
                table = path
                for length in range(1, len(table) + 1):
                    self._lines.setdefault(table[:length], number)
            elif (key := KEY.match(line)) and (path := _path(key[1])) is not None:
                self._lines.setdefault((*table, *path), number)


def _path(text: str) -> Place | None:
    """The parts of a dotted key, as TOML reads them."""
    try:
        value: Any = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError:
        return None
    parts: list[str | int] = []
    while isinstance(value, dict):
        [(part, value)] = value.items()
        parts.append(part)
    return tuple(parts)
