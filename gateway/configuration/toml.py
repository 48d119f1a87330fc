"""Values of TOML as JSON has them."""

from decimal import Decimal
from typing import Any


def plain(value: Any) -> Any:
    """The value with decimals as the nearest floats, as they would be in any JSON client."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value
