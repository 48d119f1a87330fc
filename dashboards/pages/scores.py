"""What was said of the calls of a prompt's versions: how many replies were edited, liked, and passed an eval."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import OperationalError, connection, transaction

from dashboards.filters import Filters
from dashboards.pages.compare import LEAST_CALLS, Interval, Z, difference, proportion
from dashboards.pages.sums import percent
from gateway.sql import queries

SQL = queries("scores.sql")
TIMEOUT_MS = 2000
#: Evals that have a column, those with most results.
MOST_EVALS = 4
#: What sums tell apart; where more is filtered by, the scores themselves are read.
SUMMED = {"feature", "prompt_version"}
ANY_LABEL = (
    "(EXISTS (SELECT FROM jsonb_each_text(k.labels) l WHERE l.key || '=' || l.value = ANY(%(where_label)s))"
    " OR k.labels = '{}' AND '' = ANY(%(where_label)s))"
)


@dataclass(frozen=True, slots=True)
class Said:
    """How many sources said something, how many of them something above 0 and below it, and the sum of it all."""

    count: int = 0
    above: int = 0
    below: int = 0
    total: float = 0.0


NONE = Said()


@dataclass(slots=True)
class Scores:
    """What was said of the calls of one version. `evals` are by name."""

    edit: Said = NONE
    feedback: Said = NONE
    evals: dict[str, Said] = field(default_factory=dict)

    def edited(self, z: float = Z) -> Interval | None:
        """The share of replies that were changed at all before they were sent."""
        return proportion(self.edit.above, self.edit.count, z)

    def liked(self, z: float = Z) -> Interval | None:
        """The share of feedback that was good, of all that was good or bad."""
        return proportion(self.feedback.above, self.feedback.above + self.feedback.below, z)

    def passed(self, name: str, z: float = Z) -> Interval | None:
        """The share of calls that passed the eval."""
        said = self.evals.get(name, NONE)
        return proportion(said.above, said.count, z)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A share in the table, with its interval and how many it is of, in words."""

    label: str
    value: str = "–"
    range: str = ""


NOTHING = Scores()


def read(filters: Filters) -> dict[str, Scores] | None:
    """The scores of the calls that the filters let through, by version; None where reading them takes too long."""
    conditions = [
        ANY_LABEL if name == "label" else f"k.{name} = ANY(%(where_{name})s)" for name in filters.where
    ]  # fmt: skip
    given: dict[str, Any] = {
        "since": filters.since, "until": filters.until,
        **{f"where_{name}": list(values) for name, values in filters.where.items()},
    }  # fmt: skip
    found: dict[str, Scores] = {}
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {TIMEOUT_MS}; SET LOCAL jit = off")
            query = SQL["sums" if filters.where.keys() <= SUMMED else "figures"]
            cursor.execute(query.replace("{conditions}", " AND ".join(conditions) or "true"), given)
            rows = cursor.fetchall()
    except OperationalError as error:
        if "statement timeout" in str(error):
            return None
        raise
    for address, kind, name, *sums in rows:
        scores, said = found.setdefault(address, Scores()), Said(*sums)
        if kind == "eval":
            scores.evals[name] = said
        elif kind == "edit":
            scores.edit = said
        else:
            scores.feedback = said
    return found


def evals(scores: Iterable[Scores]) -> list[str]:
    """The names of the evals that have a column, those with most results, in order."""
    counts: dict[str, int] = {}
    for one in scores:
        for name, said in one.evals.items():
            counts[name] = counts.get(name, 0) + said.count
    return sorted(sorted(counts, key=lambda name: (-counts[name], name))[:MOST_EVALS])


def table(found: Mapping[str, Scores], addresses: Sequence[str]) -> dict[str, list[Cell]]:
    """The cells of each of these versions, the same columns for all: of what was said of any of them."""
    shown = {address: found.get(address, NOTHING) for address in addresses}
    names = evals(shown.values())
    edits = any(scores.edit.count for scores in shown.values())
    feedback = any(scores.liked() for scores in shown.values())
    return {
        address: [
            *(_edited(scores) if edits else ()),
            *([_cell("Liked", scores.liked(), scores.feedback.above + scores.feedback.below)] if feedback else []),
            *(_cell(f"Passes {name}", scores.passed(name), scores.evals.get(name, NONE).count) for name in names),
        ]
        for address, scores in shown.items()
    }


def _edited(scores: Scores) -> Iterator[Cell]:
    said = scores.edit
    yield _cell("Edited", scores.edited(), said.count)
    yield (
        Cell(label="Text changed", value=percent(said.total / said.count)) if said.count else Cell(label="Text changed")
    )


def _cell(label: str, found: Interval | None, count: int) -> Cell:
    if found is None:
        return Cell(label=label)
    around = f"{percent(found.low)} to {percent(found.high)}, of {count:,}"
    return Cell(label=label, value=percent(found.value), range=around)


def measures(one: Scores, other: Scores, z: float = Z) -> list[tuple[str, Interval]]:
    """How the other version differs, as far as there are enough scores of both: words with a gap for more or less, and the
    difference of the shares.
    """
    asked = [
        ("its replies are edited {} often", (one.edited(z), other.edited(z)), (one.edit.count, other.edit.count)),
        ("it is liked {} often", (one.liked(z), other.liked(z)), (_votes(one), _votes(other))),
    ]
    for name in evals((one, other)):
        counts = (one.evals.get(name, NONE).count, other.evals.get(name, NONE).count)
        asked.append((f"it passes {name} {{}} often", (one.passed(name, z), other.passed(name, z)), counts))
    return [
        (words, difference(before, after))
        for words, (before, after), counts in asked
        if before and after and min(counts) >= LEAST_CALLS
    ]


def _votes(scores: Scores) -> int:
    return scores.feedback.above + scores.feedback.below
