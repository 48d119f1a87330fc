"""Which combinations of dimensions are summed up. Measured on ten million calls; see docs/rollups.md."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RollupSet:
    """Calls summed up by these dimensions. `sketched`: with their latencies."""

    kind: str
    dimensions: tuple[str, ...]
    sketched: bool = True


#: The cheapest to read first. A dimension with many values has a set of its own: together with the others it would be as
#: large as the calls themselves.
SETS = (
    RollupSet("core", ("feature", "cohort", "provider", "model", "prompt_version", "error_class", "outcome")),
    RollupSet("key", ("feature", "key", "provider", "model", "outcome")),
    RollupSet("tenant", ("feature", "tenant", "outcome")),
    RollupSet("label", ("feature", "label", "outcome"), sketched=False),
    RollupSet("user", ("feature", "user_ref", "outcome"), sketched=False),
)


def covering(dimensions: Iterable[str], *, sketched: bool = False, kinds: Sequence[str] = ()) -> RollupSet | None:
    """The cheapest set that has all of these dimensions, latencies where they are needed, and is of one of the kinds, where
    some are named; None where none is."""
    wanted = set(dimensions)
    for one in SETS:
        if wanted <= {*one.dimensions} and (one.sketched or not sketched) and (one.kind in kinds or not kinds):
            return one
    return None


def several_names(where: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether labels of several names are asked for: one call may have two of them and would count twice."""
    return len({value.partition("=")[0] for value in where.get("label", ())}) > 1
