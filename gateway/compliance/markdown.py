"""A report as Markdown."""

import re
from collections.abc import Iterable

from gateway.compliance.sections import Section, Table

#: What Markdown or HTML would read as markup. An underscore within a word is none.
MARKUP = re.compile(r"[\\`*{}\[\]<>#|~!&]|(?<![^\W_])_|_(?![^\W_])")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


def markdown(sections: Iterable[Section]) -> str:
    """The report as one text; whatever people wrote stands in it as text."""
    parts = []
    for number, section in enumerate(sections):
        parts.append(f"{'##' if number else '#'} {escaped(section.title)}")
        parts += [escaped(text) for text in section.texts]
        for table in section.tables:
            if table.title:
                parts.append(f"### {escaped(table.title)}")
            parts.append(_table(table))
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    rows = [table.head, ["---"] * len(table.head)]
    lines = ["| " + " | ".join(escaped(cell) if row is table.head else cell for cell in row) + " |" for row in rows]
    lines += [
        "| " + " | ".join(escaped(cell) for cell in row) + " |"
        for row in table.rows or [["none", *[""] * (len(table.head) - 1)]]
    ]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """A text in which nothing is markup; the lines of a cell are kept apart."""
    return MARKUP.sub(r"\\\g<0>", CONTROL.sub(" ", text)).replace("\n", "<br>")
