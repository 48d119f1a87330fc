"""Two versions beside each other, in plain words: what is proven, and what is not. Arithmetic alone, no database."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist

#: Of a normal distribution, for intervals that hold in 95 of 100 cases.
Z = 1.959964
#: With fewer calls, or fewer slices of time with some, nothing is said.
LEAST_CALLS, LEAST_SLICES = 30, 6


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and where the truth is in 95 of 100 cases."""

    value: float
    low: float
    high: float


def together(comparisons: int) -> float:
    """Of a normal distribution, for intervals of so many comparisons that all hold in 95 of 100 cases (Bonferroni)."""
    return NormalDist().inv_cdf(1 - 0.025 / comparisons) if comparisons > 1 else Z


def proportion(part: int, whole: int, z: float = Z) -> Interval | None:
    """A share with Wilson's interval, which holds near 0 and 1 and for few calls too; None of nothing.

    Source: Wilson (1927), “Probable inference, the law of succession, and statistical inference”.
    """
    if not whole:
        return None
    share, z2 = part / whole, z * z
    centre = (share + z2 / (2 * whole)) / (1 + z2 / whole)
    half = z * sqrt(share * (1 - share) / whole + z2 / (4 * whole * whole)) / (1 + z2 / whole)
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def difference(one: Interval, other: Interval) -> Interval:
    """How much greater the other share is, by Newcombe's interval (1998, method 10)."""
    low = sqrt((other.value - other.low) ** 2 + (one.high - one.value) ** 2)
    high = sqrt((other.high - other.value) ** 2 + (one.value - one.low) ** 2)
    value = other.value - one.value
    return Interval(value, value - low, value + high)


def mean(slices: Iterable[tuple[float, int]], z: float = Z) -> Interval | None:
    """The mean over all calls of slices of time, each a sum and its number of calls; None where they are too few.

    Calls of one hour are alike (the same users, the same texts), so that slices count as the independent things and not calls:
    the interval of a ratio of sums, with Student's distribution for few slices.
    """
    kept = [(total, calls) for total, calls in slices if calls]
    calls, number = sum(calls for _, calls in kept), len(kept)
    if calls < LEAST_CALLS or number < LEAST_SLICES:
        return None
    value = sum(total for total, _ in kept) / calls
    squares = sum((total - value * own) ** 2 for total, own in kept)
    half = _student(number - 1, z) * sqrt(squares * number / (number - 1)) / calls
    return Interval(value, value - half, value + half)


def ratio(one: Interval, other: Interval) -> Interval | None:
    """How many times the one mean the other is; None where one is not clearly more than nothing."""
    if one.low <= 0 or other.low <= 0:
        return None
    half = sqrt(sum(((found.high - found.value) / found.value) ** 2 for found in (one, other)))
    value = other.value / one.value
    return Interval(value, exp(log(value) - half), exp(log(value) + half))


def verdict(
    name: str, cost: Interval | None, quality: Interval | None, scores: Sequence[tuple[str, Interval]] = ()
) -> str:
    """A sentence on a version beside the first one: its cost as a ratio, its quality as a difference of shares of successes, and
    of what was said of its calls: words with a gap for `more` or `less`, and the difference.
    """
    measured = [*([("it succeeds {} often", quality)] if quality else []), *scores]
    if cost is None and not measured:
        return f"There are too few calls to say anything of {name}."
    return f"{name} {_cost(cost)}; {_quality(measured)}."


def _cost(found: Interval | None) -> str:
    if found is None:
        return "has too few calls with a cost to compare it"
    if found.low <= 1 <= found.high:
        return "costs about the same, or the difference is not proven"
    much = _range([abs(found.value - 1), abs(found.low - 1), abs(found.high - 1)])
    return f"is {much} {'dearer' if found.value > 1 else 'cheaper'}"


def _quality(measured: Sequence[tuple[str, Interval]]) -> str:
    if not measured:
        return "too few calls to compare quality"
    proven = [_points(words, found) for words, found in measured if not found.low <= 0 <= found.high]
    return ", ".join(proven) or "quality difference not proven"


def _points(words: str, found: Interval) -> str:
    points, *ends = (100 * abs(part) for part in (found.value, found.low, found.high))
    often = words.format("more" if found.value > 0 else "less")
    return f"{often}, by {points:.1f} points ({min(ends):.1f}–{max(ends):.1f})"


def _range(shares: Sequence[float]) -> str:
    value, *ends = (round(100 * share) for share in shares)
    return f"{value}% ({min(ends)}–{max(ends)}%)" if min(ends) != max(ends) else f"{value}%"


def _student(n: int, z: float) -> float:
    """The quantile of Student's distribution with n degrees of freedom that is `z` of a normal one; within 2% from 5 on.

    Source: Abramowitz and Stegun, 26.7.5.
    """
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * n**4)
    )
