"""Which combinations of dimensions are summed up. Measured on ten million calls; see docs/rollups.md."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class RollupSet:
    """Calls summed up by these dimensions. `sketched`: with their latencies. `found`: with the personal data that was found.
    `hourly`: by hour for ever; otherwise only for the newest days, as nearly every call would have an hour's sum to itself."""

    kind: str
    dimensions: tuple[str, ...]
    sketched: bool = True
    found: bool = False
    hourly: bool = True


#: Of the id of a key; what is above is made from its feature.
BLOCK_BITS = 40
#: What has few values in one feature.
USUAL = ("cohort", "provider", "model", "prompt_version", "error_class", "outcome")
#: The cheapest to read first. A dimension with many values has a set of its own: together with the others it would be as
#: large as the calls themselves. Sets of one dimension alone say which of very many values are the dearest.
SETS = (
    RollupSet("core", ("feature", *USUAL), found=True),
    RollupSet("key", ("feature", "key", *USUAL)),
    RollupSet("customer", ("tenant",), sketched=False, hourly=False),
    RollupSet("person", ("user_ref",), sketched=False, hourly=False),
    RollupSet("tenant", ("feature", "tenant", *USUAL), found=True, hourly=False),
    RollupSet("label", ("feature", "label", *USUAL), found=True, hourly=False),
    RollupSet("user", ("feature", "user_ref", "outcome"), sketched=False, hourly=False),
)
#: Of sets that are not `hourly`, hours are kept for so long: what pages draw by hours, with the time before.
HOURS_KEPT = timedelta(days=8)


def covering(dimensions: Iterable[str], *, sketched: bool = False, found: bool = False) -> RollupSet | None:
    """The cheapest set that has all of these dimensions, and latencies or what was found where they are needed; None where none
    has."""
    wanted = set(dimensions)
    for one in SETS:
        if wanted <= {*one.dimensions} and (one.sketched or not sketched) and (one.found or not found):
            return one
    return None


def several_names(where: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether labels of several names are asked for: one call may have two of them and would count twice."""
    return len({value.partition("=")[0] for value in where.get("label", ())}) > 1


def block(feature: str) -> range:
    """The ids that keys of a feature have; those of a few others may be among them."""
    first = int.from_bytes(sha256(feature.encode()).digest()[:2]) << BLOCK_BITS
    return range(first, first + (1 << BLOCK_BITS))
