"""Values of TOML as JSON has them, and the other way round."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from gateway.configuration.document import Document, Place

#: A field that TOML cannot hold, as it has no null, is written as a JSON text under its name with this ending.
AS_JSON = "_json"


def plain(value: Any) -> Any:
    """The value with decimals as the nearest floats, as they would be in any JSON client."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def read_fields(document: Document, place: Place, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a table as JSON has them, those written as JSON texts among them; notes what is wrong with these."""
    found = {name: plain(value) for name, value in entry.items() if not name.endswith(AS_JSON)}
    for written in sorted(entry.keys() - found.keys()):
        name = written.removesuffix(AS_JSON)
        if name in found:
            document.problem((*place, name), f"Give {name} or {written}, not both.")
            continue
        try:
            found[name] = json.loads(entry[written])
        except (ValueError, RecursionError) as error:
            document.problem((*place, written), f"{written} is no JSON: {error}.")
    return found


def has_null(value: Any) -> bool:
    """Whether there is a null anywhere in the value."""
    if isinstance(value, dict):
        return any(map(has_null, value.values()))
    if isinstance(value, list):
        return any(map(has_null, value))
    return value is None
