"""JSON from outside: read within bounds that everything behind it can rely on."""

import orjson

from gateway.types import Json

#: Levels of nesting. What writes and walks JSON here stops at 254 levels, and rows put some around what they hold.
MOST_DEPTH = 200
_WRITABLE_DEPTH = 254


def read(raw: bytes) -> Json:
    """The value that the bytes are. Raises ValueError for what is no JSON, or is nested too deep."""
    value = orjson.loads(raw)
    # Fewer brackets than levels cannot be too deep; nearly every body is let off by that.
    if raw.count(b"[") + raw.count(b"{") > MOST_DEPTH:
        check(value)
    return value


def check(value: Json) -> None:
    """Raises ValueError for a value that is no JSON, or is nested too deep."""
    for _ in range(_WRITABLE_DEPTH - MOST_DEPTH):
        value = [value]
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        deep = "ecursion" in str(error)
        raise ValueError(f"nested more than {MOST_DEPTH} deep" if deep else str(error)) from None
