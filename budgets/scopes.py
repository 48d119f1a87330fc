"""Which value of a divided budget a window is for: written as one text, and read again."""

import json
from collections.abc import Sequence


def join_value(parts: Sequence[str]) -> str:
    """The text by which a window knows the values that it is for: the value itself, a JSON list of several.

    PostgreSQL has no NUL in texts, so that one is U+FFFD, as in rows.
    """
    text = parts[0] if len(parts) == 1 else json.dumps(list(parts), ensure_ascii=False, separators=(",", ":"))
    return text.replace("\0", "\ufffd")


def split_value(each: Sequence[str], value: str) -> list[str]:
    """The values of the fields of `each`, in their order; empty for what a call has not. None at all where it is empty."""
    if len(each) < 2:
        return [value] if each else []
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    return found if isinstance(found, list) and len(found) == len(each) else [value] * len(each)


def in_words(each: Sequence[str], value: str) -> str:
    """The values in words, e.g. `feature support.reply, no tenant`; empty for a budget that is not divided."""
    named = zip(each, split_value(each, value), strict=True)
    return ", ".join(f"{name} {part}" if part else f"no {name}" for name, part in named)
