"""Sums that others make of calls: they are told before a call's row is erased or removed."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from uuid import UUID

#: Later than every transaction.
EVER = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """Sums of calls that are kept elsewhere.

    `erasing` is entered with a user reference and ids of calls before these lose what says whose they are, and left
    afterwards, in the same transaction. `counted` brings the sums up to date and returns the transaction before which every
    row is in them, by the rows' `written`; None where there are no sums that could miss one.
    """

    name: str
    erasing: Callable[[str, Sequence[UUID]], AbstractContextManager[None]]
    counted: Callable[[], int | None]


#: What was registered, by name.
DERIVED: dict[str, Derived] = {}


def derive(derived: Derived) -> None:
    """Registers sums of calls. Call it in the app's `ready`."""
    DERIVED[derived.name] = derived


def counted() -> int:
    """The transaction before which every call is in all the sums that are made of calls."""
    found = (derived.counted() for derived in DERIVED.values())
    return min((one for one in found if one is not None), default=EVER)
