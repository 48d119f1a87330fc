"""What the exports of all vendors are read into, and how their values are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

#: No export of ours has a line above this; a larger number is a unit mistaken for another.
MOST_USD = Decimal(10**8)
MOST_TOKENS = 10**15


class BillError(Exception):
    """An export that cannot be read, where and why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of an export. `usd` is None in exports of usage, the tokens in exports of cost.

    `input_tokens` are all of them, cached ones included. An empty model is that of an export that is not grouped by model;
    one in brackets is something that is no model, e.g. `(web_search)`. `batch` says that it was billed at batch prices.
    """

    day: date
    model: str
    key: str
    usd: Decimal | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    batch: bool = False


def money(value: Any, name: str) -> Decimal:
    """An amount, exact; credits are negative. Raises ValueError."""
    try:
        found = Decimal(value if isinstance(value, Decimal) else str(value).strip().removeprefix("$"))
    except InvalidOperation:
        raise ValueError(f"{name} is {value!r}, which is no amount; write a decimal number such as 1.25") from None
    if not found.is_finite() or abs(found) > MOST_USD:
        raise ValueError(f"{name} is {value!r}, which cannot be an amount of US dollars")
    return found


def tokens(value: Any, name: str) -> int:
    """A number of tokens; nothing is none. Raises ValueError."""
    if value is None or value == "":
        return 0
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        found = Decimal(-1)
    if isinstance(value, bool) or not found.is_finite() or found != found.to_integral_value() or found < 0:
        raise ValueError(f"{name} is {value!r}, which is no number of tokens")
    if found > MOST_TOKENS:
        raise ValueError(f"{name} is {value!r}, more tokens than a day can have")
    return int(found)


def text(row: Mapping[str, Any], name: str) -> str:
    """A text; nothing is the empty one. Raises ValueError."""
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, which is no text")
    return value.strip()[:200]


def day_of_unix(value: Any, name: str) -> date:
    """The UTC day of a Unix time in seconds. Raises ValueError."""
    try:
        return datetime.fromtimestamp(int(value), UTC).date()
    except (TypeError, ValueError, OverflowError, OSError):
        raise ValueError(f"{name} is {value!r}, which is no Unix time in seconds") from None


def day_of_iso(value: Any, name: str) -> date:
    """The UTC day of an ISO 8601 date or time; one without an offset is UTC. Raises ValueError."""
    try:
        at = datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise ValueError(f"{name} is {value!r}, which is no date; write it as 2026-09-30") from None
    return (at.astimezone(UTC) if at.tzinfo else at).date()


def flag(value: Any) -> bool:
    """Whether a value says yes: a JSON boolean, or a word of a CSV file."""
    return value is True or str(value).strip().lower() in ("true", "1", "yes", "batch")
