"""The dearest values of a dimension that may have very many, with all others together: what is read is not more for more of them.

Which are the dearest is told by US dollars, whatever currency amounts are shown in.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from dashboards.currency import Currency
from dashboards.filters import Filters
from dashboards.pages.sums import Sums, read, total
from dashboards.rollups import Figures, dearest, figures

#: Dimensions of which there are so many values that those that are not shown one by one are only summed up.
MANY = ("tenant", "user_ref")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What the `dearest` values came to in a time and in the one before, and what all calls did.

    `others` are so many more: of values of which there are many, those with calls in this time.
    """

    dearest: Sequence[str]
    others: int
    now: Mapping[str, Sums]
    before: Mapping[str, Sums]
    whole: Sums
    whole_before: Sums


def beside(filters: Filters, before: Filters, by: str, currency: Currency, most: int) -> Beside:
    """At most so many values of a dimension, the dearest now or before."""
    if by not in MANY:
        return _of_few(_by(filters, by, currency), _by(before, by, currency), most)
    values, others = dearest(filters, by, most)
    room = most - len(values)
    if room:
        # There are no more now, so that the next are those that were there before.
        there, count = dearest(before, by, most)
        values += [value for value in there if value not in values][:room]
    then = _by(_narrowed(before, by, values), by, currency)
    return Beside(
        dearest=values, others=count - len(then) if room else others - len(values),
        now=_by(_narrowed(filters, by, values), by, currency), before=then,
        whole=total(read(filters, (), currency).values()), whole_before=total(read(before, (), currency).values()),
    )  # fmt: skip


def by_time(filters: Filters, by: str, most: int) -> tuple[list[Figures], list[Figures]]:
    """Figures by hour or day of a dimension's values; where there are many more than `most`, of the dearest alone, and those of
    all calls besides."""
    found = dearest(filters, by, most) if by in MANY else None
    if found is None or found.of <= most + 1:
        return figures(filters, by=(by,), step=filters.step), []
    narrowed = _narrowed(filters, by, found.values)
    return figures(narrowed, by=(by,), step=filters.step), figures(filters, step=filters.step)


def _of_few(now: Mapping[str, Sums], before: Mapping[str, Sums], most: int) -> Beside:
    nothing = Sums()

    def dear(value: str) -> tuple[object, ...]:
        here, there = now.get(value, nothing), before.get(value, nothing)
        return -here.cost, -there.cost, -here.calls, value

    values = sorted(now.keys() | before.keys(), key=dear)
    return Beside(
        dearest=values[:most], others=len(values[most:]), now=now, before=before,
        whole=total(now.values()), whole_before=total(before.values()),
    )  # fmt: skip


def _by(filters: Filters, by: str, currency: Currency) -> dict[str, Sums]:
    return {value: sums for (value,), sums in read(filters, (by,), currency).items()}


def _narrowed(filters: Filters, by: str, values: Collection[str]) -> Filters:
    return replace(filters, where={**filters.where, by: tuple(values)})
