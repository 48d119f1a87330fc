"""What a window will have spent when it ends, from its own pace and from earlier windows of the same kind.

Method. With s spent so far, F the share of a window's spend that is usually spent by now, and M what earlier windows
came to in the end, there are two estimates of the total: s / F, which believes in today ("chain ladder"), and
s + (1 - F) * M, which believes in what is usual (Bornhuetter & Ferguson, The Actuary and IBNR, 1972). They are mixed by
credibility (Bühlmann), each with the weight of the other's variance:

    expected = s + (1 - F) * (Z * s / F + (1 - Z) * M),    Z = v_M / (v_M + v_F)

where v_M is the squared spread of earlier totals and v_F that of the shares by now, plus 2 / steps for the few calls that
s is made of; both relative. F is the mean of the earlier windows' shares, each with the weight of its total, and of the
elapsed time, which counts as one more window of average size. Without earlier windows F is the elapsed time and Z is 1:
that is the pace.

The interval is lognormal around the part to come, whose variance is that of the two estimates so weighted and of the
calls still to be made; it is wide without earlier windows. It is checked by simulation in the tests: about four in five
windows end within it.

Everything is in floats: an estimate has no nano-dollars. Time is real time (elapsed seconds), so that neither a change of
clocks nor one of the zone moves anything; months are read on a clock that runs as fast as their weekdays spend.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from math import exp, log1p, sqrt
from zoneinfo import ZoneInfo

#: How many standard deviations to each side hold four windows in five: by Student's t, as a spread that is seen in few
#: earlier windows is not known well; of the pace alone, and of many windows, by the normal distribution.
DEVIATIONS = {1: 3.08, 2: 1.89, 3: 1.64, 4: 1.53, 5: 1.48, 6: 1.44}
LEAST_DEVIATIONS = 1.2816
#: Squared spread of what single steps cost, relative to their mean: that of costs of which small ones are the most.
OF_CALLS = 2.0
#: Below these it is too early to say, unless two earlier windows tell more: steps in which the spend moved, share of time.
FEWEST_STEPS = 3
LEAST_ELAPSED = 0.02
#: Less than this share of a window is next to nothing (a second of a fortnight), and nothing is told from it.
LEAST_SHARE = 1e-6
#: What is never quite sure: the relative variance of a usual total, and of a usual share.
LEAST_VARIANCE = 0.0025
#: How finely the rest of a window is searched for the moment at which the limit is reached.
SEARCH_STEPS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """How a window's spend grew: `shares` of its total (rising, to 1) at `times` (shares of its length, rising, to 1).

    `total` is positive, in the metric of the budget.
    """

    times: tuple[float, ...]
    shares: tuple[float, ...]
    total: float

    def at(self, elapsed: float) -> float:
        """The share that was spent by then, between the known points in a straight line."""
        right = bisect_right(self.times, elapsed)
        if right == len(self.times):
            return 1.0
        before, low = (self.times[right - 1], self.shares[right - 1]) if right else (0.0, 0.0)
        width = self.times[right] - before
        return low + (self.shares[right] - low) * (elapsed - before) / width if width else low


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The end of a window, in the metric of its budget: what is expected, and within which bounds four times in five.

    `runs_out` is the share of the window's length at which the limit is reached; None where it is not.
    """

    expected: float
    low: float
    high: float
    runs_out: float | None


def curve(points: Sequence[tuple[float, float]], total: float) -> Curve | None:
    """An earlier window as a curve, from (elapsed share, spent) in order of time; None for one that spent nothing.

    What lies outside of the window is left out; a spend that sank (a correction) is read as if it had stood still.
    """
    if total <= 0:
        return None
    times, shares, most = [0.0], [0.0], 0.0
    for elapsed, spent in points:
        if times[-1] < elapsed < 1:
            most = min(1.0, max(most, spent / total))
            times.append(elapsed)
            shares.append(most)
    return Curve(times=(*times, 1.0), shares=(*shares, 1.0), total=total)


def forecast(
    *, spent: float, elapsed: float, steps: int, limit: float, earlier: Sequence[Curve] = ()
) -> Estimate | None:
    """What a window is expected to come to; None while it is too early to say.

    `elapsed` is the share of its length that is over, from 0 to 1; `steps` in how many of its samples the spend had
    moved. `limit` and `spent` are in the same metric.
    """
    elapsed = min(1.0, max(0.0, elapsed))
    if len(earlier) < 2 and (elapsed < LEAST_ELAPSED or steps < FEWEST_STEPS) and spent < limit:
        return None
    usual = _Usual(earlier)
    share = usual.share(elapsed)
    if elapsed >= 1 or share >= 1 or (share <= LEAST_SHARE and spent >= limit):
        return Estimate(expected=spent, low=spent, high=spent, runs_out=elapsed if spent >= limit else None)
    if share <= LEAST_SHARE:
        return None
    v_share = usual.share_variance(elapsed, share) + OF_CALLS / (steps + 1)
    v_total = usual.total_variance()
    trust = v_total / (v_total + v_share) if usual.mean else 1.0
    of_today, of_usual = trust * spent / share, (1 - trust) * (usual.mean or 0.0)
    total = of_today + of_usual
    to_come = (1 - share) * total
    sigma = 0.0
    if total:
        relative = (of_today / total) ** 2 * v_share + (of_usual / total) ** 2 * v_total
        sigma = sqrt(log1p(relative + share / (1 - share) * OF_CALLS / (steps + 1)))
    deviations = DEVIATIONS.get(len(earlier), LEAST_DEVIATIONS)
    return Estimate(
        expected=spent + to_come,
        low=spent + to_come * exp(-deviations * sigma),
        high=spent + to_come * exp(deviations * sigma),
        runs_out=_run_out(usual, spent, to_come, limit, elapsed, share),
    )


class _Usual:
    """What earlier windows tell: how much of them was spent by when, and what they came to."""

    def __init__(self, earlier: Sequence[Curve]) -> None:
        self.earlier = earlier
        self.mean = sum(c.total for c in earlier) / len(earlier) if earlier else None

    def share(self, elapsed: float) -> float:
        if self.mean is None:
            return elapsed
        known = sum(c.total * c.at(elapsed) for c in self.earlier)
        return (known + self.mean * elapsed) / (self.mean * (len(self.earlier) + 1))

    def share_variance(self, elapsed: float, share: float) -> float:
        """Relative, of one window's share by then. The pace alone knows no nights: half-way it may be off by its double."""
        if self.mean is None:
            return LEAST_VARIANCE + (1 - elapsed) / elapsed
        found = [*(c.at(elapsed) for c in self.earlier), elapsed]
        return LEAST_VARIANCE + sum((f - share) ** 2 for f in found) / (len(found) - 1) / share**2

    def total_variance(self) -> float:
        if self.mean is None or len(self.earlier) < 2:
            return 1.0
        spread = sum((c.total - self.mean) ** 2 for c in self.earlier) / (len(self.earlier) - 1)
        return LEAST_VARIANCE + spread / self.mean**2


def _run_out(usual: _Usual, spent: float, to_come: float, limit: float, elapsed: float, share: float) -> float | None:
    """When the expected course reaches the limit, as a share of the window's length."""
    if spent >= limit:
        return elapsed
    if spent + to_come <= limit:
        return None
    wanted = share + (1 - share) * (limit - spent) / to_come
    before, below = elapsed, share
    for step in range(1, SEARCH_STEPS + 1):
        at = elapsed + (1 - elapsed) * step / SEARCH_STEPS
        reached = usual.share(at)
        if reached >= wanted:
            return before + (at - before) * (wanted - below) / (reached - below) if reached > below else at
        before, below = at, reached
    return 1.0


@dataclass(frozen=True, slots=True)
class Clock:
    """Tells how much of a window is over, and when a share of it will be.

    Plain: the share of its seconds. With `weights` (Monday first), each second counts what its weekday weighs, in the
    calendar of `zone`: a month that begins on a Saturday is compared with one that begins on a Monday.
    """

    starts_at: datetime
    ends_at: datetime
    zone: ZoneInfo
    weights: tuple[float, ...] | None = None

    def elapsed(self, at: datetime) -> float:
        """From 0 to 1, also for moments outside of the window."""
        at = min(max(at, self.starts_at), self.ends_at)
        return self._run(at) / self._run(self.ends_at)

    def moment(self, share: float) -> datetime:
        """When that share of the window is over."""
        low, high = self.starts_at, self.ends_at
        while high - low > timedelta(seconds=1):
            middle = low + (high - low) / 2
            low, high = (middle, high) if self.elapsed(middle) < share else (low, middle)
        return high

    def _run(self, until: datetime) -> float:
        if self.weights is None:
            return (until - self.starts_at).total_seconds()
        total, at = 0.0, self.starts_at
        while at < until:
            local = at.astimezone(self.zone)
            midnight = datetime.combine(local.date() + timedelta(days=1), time(), tzinfo=self.zone)
            # Between instants of different offsets only UTC counts seconds.
            ends = min(until, midnight.astimezone(self.starts_at.tzinfo))
            total += (ends - at).total_seconds() * self.weights[local.weekday()]
            at = ends
        return total


def weekday_weights(spends: Sequence[tuple[datetime, datetime, float]], zone: ZoneInfo) -> tuple[float, ...] | None:
    """How much a second of each weekday weighs, Monday first, the mean being 1; None where nothing was spent.

    `spends` are stretches (from, to, amount); one counts for the weekday that its middle lies in. A weekday that nobody
    has seen weighs 1, and none less than a twentieth, so that no day stands still.
    """
    seconds, amounts = [0.0] * 7, [0.0] * 7
    for begins, ends, amount in spends:
        weekday = (begins + (ends - begins) / 2).astimezone(zone).weekday()
        seconds[weekday] += (ends - begins).total_seconds()
        amounts[weekday] += max(0.0, amount)
    mean = sum(amounts) / sum(seconds) if sum(seconds) else 0.0
    if not mean:
        return None
    return tuple(max(0.05, a / s / mean) if s else 1.0 for a, s in zip(amounts, seconds, strict=True))
