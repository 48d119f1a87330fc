"""Which channels an alert goes to, and when: routes in order, and quiet hours by the clock on the wall."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

SEVERITIES = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """Quiet hours from `start` until `end` on the clocks of a zone, past midnight where `end` is the earlier one.

    Alerts of at least the severity `breaks_through` do not wait; with an empty one all do.
    """

    start: time
    end: time
    zone: ZoneInfo
    breaks_through: str

    def until(self, at: datetime) -> datetime | None:
        """When the quiet hours that hold `at` are over, in UTC; None when it is in none."""
        local = at.astimezone(self.zone)
        clock = local.time()
        wraps = self.end <= self.start
        inside = (clock >= self.start or clock < self.end) if wraps else self.start <= clock < self.end
        if not inside:
            return None
        day = local.date() + timedelta(days=1) if wraps and clock >= self.start else local.date()
        # Where clocks go back, the end may come twice: it is the first one after `at`. In a gap (they go forward over it)
        # fold=0 is read with the offset from before, which is as long after the gap's beginning.
        ends = (datetime.combine(day, self.end.replace(fold=fold), self.zone).astimezone(UTC) for fold in (0, 1))
        return next((end for end in ends if end > at), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route as the planner reads it; `channels` are ids. Empty lists of globs match everything."""

    severity: str
    kinds: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    channels: tuple[int, ...] = ()
    goes_on: bool = False
    quiet: Quiet | None = None

    def matches(self, *, kind: str, severity: str, feature: str, tenant: str) -> bool:
        return (
            reaches(severity, self.severity)
            and _any(self.kinds, kind)
            and _any(self.features, feature)
            and _any(self.tenants, tenant)
        )

    def waits_until(self, severity: str, at: datetime) -> datetime | None:
        """Until when quiet hours hold an alert of that severity back; None: they do not."""
        if self.quiet is None or (self.quiet.breaks_through and reaches(severity, self.quiet.breaks_through)):
            return None
        return self.quiet.until(at)


def reaches(severity: str, least: str) -> bool:
    """Whether a severity is at least another."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(least)


def choose(
    routes: Sequence[Route], *, kind: str, severity: str, feature: str, tenant: str, at: datetime
) -> dict[int, datetime | None]:
    """The channels for an alert, each with the end of the quiet hours that it waits for, or None.

    The first route that matches decides, and those after it as long as each one goes on. A channel that several of them
    name waits for the shortest time.
    """
    chosen: dict[int, datetime | None] = {}
    for route in routes:
        if not route.matches(kind=kind, severity=severity, feature=feature, tenant=tenant):
            continue
        until = route.waits_until(severity, at)
        for channel in route.channels:
            before = chosen.get(channel, until)
            chosen[channel] = None if before is None or until is None else min(before, until)
        if not route.goes_on:
            break
    return chosen


def _any(globs: tuple[str, ...], value: str) -> bool:
    return not globs or any(fnmatchcase(value, glob) for glob in globs)
