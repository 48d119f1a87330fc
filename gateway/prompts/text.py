"""The content of a prompt version as a TOML text that people edit, and that makes the same address again."""

import json
import re
from collections.abc import Mapping

import tomli_w

from gateway.configuration.document import Document
from gateway.configuration.schema import SECTIONS, Section, check_table
from gateway.configuration.toml import AS_JSON, has_null, read_fields
from gateway.errors import PromptError
from gateway.prompts.versions import PARTS, content_of
from gateway.types import Json

SECTION = Section({name: kind for name, kind in SECTIONS["prompts"].fields.items() if name != "deploy"})
#: Keys that need no quotes.
BARE = re.compile(r"[A-Za-z0-9_-]+")
#: What a multi-line text of TOML cannot hold as it is: backslashes, controls but tab and line feed, three quotes.
ESCAPED = re.compile(r'[\\\x00-\x08\x0b-\x1f\x7f]|"(?="")|"\Z')


def dumps(content: Mapping[str, Json], *, comment: str = "") -> str:
    """The content as TOML; `variables` are left out, as they are found in the messages."""
    head = [f"# {comment}\n"] if comment else []
    tables: list[str] = []
    for name in PARTS:
        if name not in content:
            continue
        written = _part(name, content[name])
        # A plain value must stand before the first table.
        (tables if written.startswith("[") else head).append(written)
    return "\n".join([*head, *tables])


def loads(document: Document) -> dict[str, Json] | None:
    """The content of a version from such a text; None, with the document's problems noted, where it is not right."""
    if document.problems:
        return None
    check_table(document, SECTION)
    values = {} if document.problems else read_fields(document, (), document.values)
    if document.problems:
        return None
    try:
        return content_of(values)
    except PromptError as error:
        place = (error.param or "messages").split(".")
        document.problem(tuple(int(part) if part.isdecimal() else part for part in place), error.message)
        return None


def _part(name: str, value: Json) -> str:
    if has_null(value):
        return f"{name}{AS_JSON} = {_text(json.dumps(value, indent=2, ensure_ascii=False))}\n"
    if name == "messages" and all(isinstance(field, str) for message in value for field in message.values()):
        return "\n".join("[[messages]]\n" + "".join(map(_field, message.items())) for message in value)
    return tomli_w.dumps({name: value})


def _field(item: tuple[str, str]) -> str:
    name, value = item
    return f"{name} = {_text(value)}\n" if "\n" in value and BARE.fullmatch(name) else tomli_w.dumps({name: value})


def _text(value: str) -> str:
    escaped = ESCAPED.sub(lambda found: '\\"' if found[0] == '"' else f"\\u{ord(found[0]):04X}", value)
    return f'"""\n{escaped}"""'
