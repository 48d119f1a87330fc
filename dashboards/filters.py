"""What a dashboard is asked to show: a range of time and the calls that count, read from the address and written to it.

The address is the only place where this is kept, so that a view can be bookmarked and sent to somebody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from django.http import QueryDict
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from gateway.types import OUTCOMES

DIMENSIONS = (
    "feature", "tenant", "cohort", "user_ref", "key", "provider", "model", "prompt_version", "outcome", "error_class",
    "label",
)  # fmt: skip
#: Ranges that follow the clock, by their name in addresses.
PRESETS = {
    "today": "Today", "24h": "Last 24 hours", "7d": "Last 7 days", "30d": "Last 30 days", "90d": "Last 90 days",
    "month": "This month",
}  # fmt: skip
DEFAULT = "7d"
#: In an address, the value of calls that have none: an empty field of a form asks for nothing.
NONE = "(none)"
LONGEST_VALUE, MOST_VALUES = 300, 20
LONGEST_RANGE = timedelta(days=400)
#: Longer ranges are drawn by days, shorter ones by hours.
LONGEST_BY_HOUR = timedelta(days=3)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Step = Literal["hour", "day"]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which calls count: those of the half-open range [since, until) that have, in each dimension, one of the values.

    Both moments are aware. `where` maps a dimension to its accepted values; "" is "none", a label is "name=value".
    """

    since: datetime
    until: datetime
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def step(self) -> Step:
        return "hour" if self.until - self.since <= LONGEST_BY_HOUR else "day"

    def only(self, **values: str) -> "Filters":
        """The same with just these values in their dimensions."""
        return replace(self, where={**self.where, **{name: (value,) for name, value in values.items()}})

    def among(self, name: str, values: Sequence[str]) -> "Filters":
        """The same with those of the values in a dimension that it lets through; none, where it lets none of them."""
        kept = tuple(value for value in values if value in self.where.get(name, values))
        return replace(self, where={**self.where, name: kept})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an address asks for. `typed` are its own range's ends as they came; `problems` says what could not be read."""

    filters: Filters
    range: str
    typed: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return PRESETS.get(self.range, "From and to")

    @property
    def before(self) -> Filters:
        """The period to compare with: as long a one just before; of a range of days, the same hours of the days before."""
        since, until = self.filters.since, self.filters.until
        length = until - since
        if self.range == "month":
            start = (since - DAY).replace(day=1)
            return replace(self.filters, since=start, until=_up(min(start + length, since)))
        if self.range != "custom":
            length = -(-length // DAY) * DAY
        return replace(self.filters, since=since - length, until=_up(until - length))

    def query(self, **changes: str | None) -> str:
        """The query string of this view, with parameters set to something else, or left out where that is None."""
        found = QueryDict(mutable=True)
        found["range"] = self.range
        for name, text in self.typed.items():
            found[name] = text
        for name, values in self.filters.where.items():
            found.setlist(name, [value or NONE for value in values])
        for name, change in changes.items():
            found.pop(name, None)
            if change is not None:
                found[name] = change
        return found.urlencode()

    def narrowed(self, **values: str) -> "Asked":
        """The same with just these values in their dimensions."""
        return replace(self, filters=self.filters.only(**values))

    def without(self, dimension: str, value: str) -> str:
        """The query string of this view without one of its values."""
        left = tuple(other for other in self.filters.where[dimension] if other != value)
        where = {name: values for name, values in self.filters.where.items() if name != dimension}
        return replace(self, filters=replace(self.filters, where=where | ({dimension: left} if left else {}))).query()


def parse(query: QueryDict, now: datetime | None = None) -> Asked:
    """What the address asks for, at the time `now` (aware; default: the present). What cannot be read is told."""
    now = timezone.localtime(now)
    problems: list[str] = []
    where = _where(query, problems)
    typed = {name: query.get(name, "")[:LONGEST_VALUE] for name in ("since", "until")}
    name = query.get("range", "") or ("custom" if any(typed.values()) else DEFAULT)
    if name == "custom":
        since, until = _custom(typed, now, problems)
        return Asked(filters=Filters(since, until, where), range=name, typed=typed, problems=tuple(problems))
    if name not in PRESETS:
        known = ", ".join([*PRESETS, "custom"])
        problems.append(
            f"There is no range “{name[:40]}”; choose one of {known}. This is the {PRESETS[DEFAULT].lower()}."
        )
        name = DEFAULT
    return Asked(filters=Filters(_start(name, now), now, where), range=name, problems=tuple(problems))


def _where(query: QueryDict, problems: list[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name in DIMENSIONS:
        values = list(dict.fromkeys(text for value in query.getlist(name) if (text := value.strip())))
        if len(values) > MOST_VALUES:
            problems.append(f"At most {MOST_VALUES} values of {name} can be asked for; the first {MOST_VALUES} count.")
        kept = tuple("" if text == NONE else text for text in values[:MOST_VALUES] if _fits(name, text, problems))
        if kept:
            found[name] = kept
    return found


def _fits(name: str, text: str, problems: list[str]) -> bool:
    if len(text) > LONGEST_VALUE or "\0" in text:
        problems.append(f"A value of {name} is too long or no text, and was left out: “{text[:40]}…”.")
    elif name == "outcome" and text not in OUTCOMES:
        problems.append(f"There is no outcome “{text[:40]}”; it was left out. There are {', '.join(OUTCOMES)}.")
    elif name == "label" and text != NONE and "=" not in text.strip("="):
        problems.append(f"The label “{text[:40]}” was left out: write name=value, e.g. team=search.")
    else:
        return True
    return False


def _start(name: str, now: datetime) -> datetime:
    """Where a preset begins: on the hour or at midnight, so that it is made of whole hours up to the present one."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if name == "today":
        return midnight
    if name == "24h":
        # By the clock: a day may have 23 or 25 hours.
        return timezone.localtime(_down(now).astimezone(UTC) - DAY + HOUR)
    if name == "month":
        return midnight.replace(day=1)
    return midnight - (int(name.removesuffix("d")) - 1) * DAY


def _custom(typed: Mapping[str, str], now: datetime, problems: list[str]) -> tuple[datetime, datetime]:
    """The range that was typed, in whole hours. An end that is missing is the present; what cannot be is told, with what is
    shown instead.
    """
    since, until = (_moment(name, typed[name], problems) for name in ("since", "until"))
    until = _up(until) if until and until < now else now
    since = _down(since or until - (int(DEFAULT.removesuffix("d")) * DAY))
    if since >= until:
        problems.append(
            "The range ends before it begins: set “From” to an earlier time than “To”. This is the day before “To”."
        )
        since = _down(until - DAY)
    if until - since > LONGEST_RANGE:
        problems.append(
            f"A range has at most {LONGEST_RANGE.days} days; this is the end of the one that was asked for."
        )
        since = _down(until - LONGEST_RANGE) + HOUR
    return since, until


def _down(at: datetime) -> datetime:
    """The full hour at the moment or before it, by the reader's clock."""
    return timezone.localtime(at).replace(minute=0, second=0, microsecond=0)


def _up(at: datetime) -> datetime:
    """The full hour at the moment or after it."""
    hour = _down(at)
    return hour if hour == at else hour + HOUR


def _moment(name: str, text: str, problems: list[str]) -> datetime | None:
    if not text.strip():
        return None
    words = {"since": "From", "until": "To"}[name]
    try:
        found = parse_datetime(text.strip()) or parse_datetime(f"{text.strip()} 00:00")
    except ValueError:
        found = None
    if found is None or not 1990 <= found.year <= 2200:
        problems.append(f"“{text[:40]}” is no time for “{words}”: write e.g. 2026-03-31 14:00. It does not count.")
        return None
    return found.astimezone(timezone.get_current_timezone()) if found.tzinfo else timezone.make_aware(found)


def iso(at: datetime) -> str:
    """A moment as addresses hold it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
