"""The pages of the documentation, as a list of blocks each.

Above a block stand, as HTML comments that no reader sees, what its test has to know:

    <!-- test: prints TEXT -->       what it prints holds this
    <!-- test: raises NAME -->       it ends with this error, by the name of its class
    <!-- test: file PATH -->         it is the content of this file, in the folder in which the page's commands run
    <!-- test: append PATH -->       it is the end of this file
    <!-- test: serves URL -->        it is a server, which runs to the end of the page and answers at this address
    <!-- test: skip, REASON -->      it is not run
    <!-- test: project -->           on top of a page: its commands make a project of their own, on a database of its own

and a comment can be a block that only the test sees: `<!-- test: python`, its lines, `-->`; or the same with `sh`.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
FENCE, COMMENT, HIDDEN = (
    re.compile(r"^( *)```(\S*)"),
    re.compile(r"^ *<!-- test: (.*?) -->$"),
    re.compile(r"^ *<!-- test: (\w+)$"),
)


@dataclass
class Block:
    """Lines of one language, where they begin, and what its test has to know."""

    page: Path
    line: int
    language: str
    orders: list[tuple[str, str]]
    lines: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def all(self, order: str) -> list[str]:
        """The arguments of every such order."""
        return [argument for name, argument in self.orders if name == order]

    def one(self, order: str) -> str | None:
        """The argument of the order, or None without it."""
        return next(iter(self.all(order)), None)


def blocks(page: Path) -> tuple[list[Block], set[str]]:
    """The blocks of a page in their order, and the orders on top of it."""
    found: list[Block] = []
    orders: list[tuple[str, str]] = []
    top: set[str] = set()
    inside: Block | None = None
    end = ""
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if inside is not None:
            if line.strip() == end:
                found.append(inside)
                inside, orders = None, []
            else:
                inside.lines.append(line)
        elif match := FENCE.match(line):
            inside, end = Block(page, number, match[2], orders), "```"
        elif match := COMMENT.match(line):
            name, _, argument = match[1].partition(" ")
            if name == "project":
                top.add(name)
            else:
                orders.append((name.rstrip(","), argument))
        elif match := HIDDEN.match(line):
            inside, end = Block(page, number, match[1], orders), "-->"
        elif line.strip():
            orders = []
    assert inside is None, f"{inside} has no end"
    return found, top
