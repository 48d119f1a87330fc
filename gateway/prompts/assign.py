"""Which live version a call gets: by weight, and always the same one for the same unit."""

import hashlib
from collections.abc import Sequence
from typing import Protocol


class Weighted(Protocol):
    """Anything with a weight."""

    @property
    def weight(self) -> int: ...


def pick[V: Weighted](live: Sequence[V], *, feature: str, unit: str) -> V:
    """The version for this unit (a tenant, user or session), stable as long as the weights are.

    The unit's hash is a point on a line on which each version has a stretch as long as its weight, in the order given;
    moving weight between neighbours moves only the units between them.
    """
    if len(live) == 1:
        return live[0]
    total = sum(version.weight for version in live)
    hashed = hashlib.blake2b(f"{feature}\0{unit}".encode(), digest_size=8).digest()
    point = int.from_bytes(hashed) * total >> 64
    for version in live:
        if point < version.weight:
            return version
        point -= version.weight
    raise AssertionError("the point lies within the sum of the weights")
