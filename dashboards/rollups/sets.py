"""Which combinations of dimensions are summed up. Measured on ten million calls; see docs/rollups.md."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class RollupSet:
    """Calls summed up by these dimensions. `sketched`: with their latencies. `hourly`: by hour for ever; otherwise only for the
    newest days, as nearly every call would have an hour's sum to itself."""

    kind: str
    dimensions: tuple[str, ...]
    sketched: bool = True
    hourly: bool = True


#: The cheapest to read first. A dimension with many values has a set of its own: together with the others it would be as
#: large as the calls themselves. A tenant's calls are mostly of one cohort, and a feature's of one model, so that these cost
#: nearly nothing beside it. Sets of one dimension alone say which of very many values are the dearest.
SETS = (
    RollupSet("core", ("feature", "cohort", "provider", "model", "prompt_version", "error_class", "outcome")),
    RollupSet("key", ("feature", "key", "provider", "model", "outcome")),
    RollupSet("customer", ("tenant",), sketched=False, hourly=False),
    RollupSet("person", ("user_ref",), sketched=False, hourly=False),
    RollupSet(
        "tenant",
        ("feature", "tenant", "cohort", "provider", "model", "prompt_version", "error_class", "outcome"),
        hourly=False,
    ),
    RollupSet("label", ("feature", "label", "outcome"), sketched=False, hourly=False),
    RollupSet("user", ("feature", "user_ref", "outcome"), sketched=False, hourly=False),
)
#: Of sets that are not `hourly`, hours are kept for so long: what pages draw by hours, with the time before.
HOURS_KEPT = timedelta(days=8)


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
