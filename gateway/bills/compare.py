"""Exports beside the ledger: sums by day, provider, model and key, and where the two differ."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

from django.db import connection

from gateway.bills.entries import BillError, Entry
from gateway.bills.reading import entries
from gateway.ledger.partitions import first_id
from gateway.prices.cost import NANO
from gateway.sql import queries
from gateway.types import ZERO

SQL = queries("bills_compare.sql")
#: More groups than this are no bill but a list of requests; they are what memory is needed for.
MOST_GROUPS = 200_000
#: An amount that an export may have rounded to the cent says nothing below half of one.
HALF_CENT = Decimal("0.005")
#: Calls that begin so late in a day may be billed on the next.
LATE = timedelta(minutes=15)


@dataclass(slots=True)
class Billed:
    """What the exports say of a group; None where no export says it."""

    usd: Decimal | None = None
    input_tokens: int | None = None
    cached_tokens: int = 0
    output_tokens: int = 0
    batch: bool = False

    def add(self, entry: Entry) -> None:
        self.batch |= entry.batch
        if entry.usd is not None:
            self.usd = (self.usd or ZERO) + entry.usd
        if entry.input_tokens is not None:
            self.input_tokens = (self.input_tokens or 0) + entry.input_tokens
            self.cached_tokens += entry.cached_tokens or 0
            self.output_tokens += entry.output_tokens or 0

    @property
    def tokens(self) -> int | None:
        return None if self.input_tokens is None else self.input_tokens + self.output_tokens


@dataclass(slots=True)
class Booked:
    """What the ledger has of a group, adjustments included, and what may explain a difference."""

    usd: Decimal = ZERO
    tokens: int = 0
    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    unpriced: int = 0
    lost: int = 0
    lost_usd: Decimal = ZERO
    estimated_usd: Decimal = ZERO
    retried_usd: Decimal = ZERO
    late_usd: Decimal = ZERO


@dataclass(slots=True, kw_only=True)
class Line:
    """A day, provider, model and key in both. `provider` is empty for keys that are not the gate's."""

    day: date
    provider: str
    model: str
    key: str
    billed: Billed = field(default_factory=Billed)
    booked: Booked = field(default_factory=Booked)
    differs: bool = False
    causes: list[str] = field(default_factory=list)

    @property
    def difference_usd(self) -> Decimal | None:
        """Billed less ledger, to the nano-dollar; None where the exports have no cost."""
        return None if self.billed.usd is None else self.billed.usd - self.booked.usd

    @property
    def difference_tokens(self) -> int | None:
        return None if self.billed.tokens is None else self.billed.tokens - self.booked.tokens


@dataclass(slots=True, kw_only=True)
class Comparison:
    """All lines in order, and what the files were. `has_cost` says whether any file has amounts."""

    files: list[str]
    since: date
    until: date
    lines: list[Line]
    has_cost: bool

    @property
    def own(self) -> list[Line]:
        """The lines of the gate's keys."""
        return [line for line in self.lines if line.provider]

    @property
    def matches(self) -> bool:
        return not any(line.differs for line in self.own)


def compare(provider: str, files: Iterable[Path], keys: Mapping[str, str], tolerance: Decimal) -> Comparison:
    """Reads the exports and the ledger's days that they span.

    `keys` are the vendor's keys that the gate uses, with the provider of each; none: every key is this provider's.
    `tolerance` is in percent. Raises BillError.
    """
    lines, what = _read(provider, files, keys)
    since, until = min(place[0] for place in lines), max(place[0] for place in lines)
    has_cost = any(line.billed.usd is not None for line in lines.values())
    names: dict[tuple[date, str], list[str]] = defaultdict(list)
    for day, owner, model, _ in lines:
        if not model.startswith("("):
            names[day, owner].append(model)
    for (day, _), models in names.items():
        if "" in models and len(set(models)) > 1:
            raise BillError(f"On {day} one export is grouped by model and another is not. Export both by model.")
    for owner, label in _owners(provider, keys).items():
        for offset in range((until - since).days + 1):
            day = since + timedelta(days=offset)
            for model, booked in _ledger(owner, day, names[day, owner]).items():
                place = (day, owner, model, label)
                line = lines.setdefault(place, Line(day=day, provider=owner, model=model, key=label))
                line.booked = booked
    ordered = [lines[place] for place in sorted(lines)]
    for line in ordered:
        if line.billed.usd is not None or has_cost:
            line.billed.usd = (line.billed.usd or ZERO).quantize(NANO)
        line.differs = bool(line.provider) and _differs(line, tolerance)
    return Comparison(files=what, since=since, until=until, lines=ordered, has_cost=has_cost)


def _owners(provider: str, keys: Mapping[str, str]) -> dict[str, str]:
    """Providers whose calls are compared, each with its keys in words: the ledger cannot tell two keys of one apart."""
    found: dict[str, list[str]] = defaultdict(list)
    for key, owner in sorted(keys.items()):
        found[owner].append(key)
    return {owner: ", ".join(listed)[:200] for owner, listed in found.items()} or {provider: ""}


def _read(
    provider: str, files: Iterable[Path], keys: Mapping[str, str]
) -> tuple[dict[tuple[date, str, str, str], Line], list[str]]:
    """The sums of all files by day, provider, model and key, and what each file is, in words."""
    lines: dict[tuple[date, str, str, str], Line] = {}
    owners = _owners(provider, keys)
    said: dict[tuple[date, str], int] = {}
    paths, what = list(files), []
    for number, path in enumerate(paths):
        kinds = set()
        for kind, entry in entries(path):
            kinds.add(kind)
            for measure, value in (("cost", entry.usd), ("usage", entry.input_tokens)):
                if value is not None and said.setdefault((entry.day, measure), number) != number:
                    raise BillError(
                        f"Both {paths[said[entry.day, measure]]} and {path} have the {measure} of {entry.day}, which would count "
                        "twice. Give one of them."
                    )
            owner, key = keys.get(entry.key, ""), entry.key
            if not keys:
                owner, key = provider, ""
            elif not entry.key:
                raise BillError(
                    f"{path} is not grouped by key ({entry.day}, {entry.model or 'all models'}), so --key cannot choose from "
                    "it. Export it by key, or leave --key out."
                )
            place = (entry.day, owner, entry.model, owners[owner] if owner else key)
            if place not in lines:
                if len(lines) >= MOST_GROUPS:
                    raise BillError(f"{path} has more than {MOST_GROUPS} days, models and keys. Export fewer days.")
                lines[place] = Line(day=place[0], provider=owner, model=place[2], key=place[3])
            lines[place].billed.add(entry)
        if not kinds:
            raise BillError(f"{path} has no line with a cost or with tokens, so there is nothing to compare.")
        what.append(f"{path.name} ({', '.join(sorted(kinds))})")
    return lines, what


def _ledger(provider: str, day: date, names: list[str]) -> dict[str, Booked]:
    """The ledger's sums of one UTC day by model, under the names that the bill has for them."""
    start = datetime.combine(day, time(), tzinfo=UTC)
    first, late, end = first_id(start), first_id(start + timedelta(days=1) - LATE), first_id(start + timedelta(days=1))
    found: dict[str, Booked] = {}
    with connection.cursor() as cursor:
        cursor.execute(SQL["day"], [provider, first, end])
        for model, usd, tokens, calls in cursor.fetchall():
            booked = found.setdefault(_billed_name(model, names), Booked())
            booked.usd += usd or ZERO
            booked.tokens += int(tokens or 0)
            booked.calls += calls
        cursor.execute(SQL["clues"], [late, provider, first, end])
        columns = [column.name for column in cursor.description or ()][1:]
        for model, *values in cursor.fetchall():
            booked = found.setdefault(_billed_name(model, names), Booked())
            for column, value in zip(columns, values, strict=True):
                had = getattr(booked, column)
                setattr(booked, column, had + (value if isinstance(had, Decimal) else int(value)))
    return {model: booked for model, booked in found.items() if booked.calls or booked.usd or booked.unpriced}


def _billed_name(model: str, names: list[str]) -> str:
    """What the bill calls a model of the ledger: the same, all models together, or the one that differs in form only.

    Vendors write one model as `claude-haiku-4-5-20251001`, `claude-haiku-4-5` and `Claude Haiku 4.5`.
    """
    if model in names:
        return model
    alike = [name for name in names if name and _form(name) == _form(model)]
    if len(alike) == 1:
        return alike[0]
    return "" if names == [""] else model


def _form(model: str) -> tuple[str, ...]:
    """A name without its date, as a set of its parts."""
    undated = re.sub(r"\b20\d\d-?\d\d-?\d\d\b", "", model.lower())
    return tuple(sorted(re.findall(r"[a-z]+|\d+", undated)))


def _differs(line: Line, tolerance: Decimal) -> bool:
    """Whether the line differs by more than the tolerance, in cost where the exports have it, else in tokens."""
    if line.difference_usd is not None:
        largest = max(abs(line.billed.usd or ZERO), abs(line.booked.usd))
        return abs(line.difference_usd) > max(HALF_CENT, largest * tolerance / 100) or (
            tolerance == 0 and line.difference_usd != 0
        )
    tokens = line.difference_tokens
    if tokens is None:
        return line.booked.tokens > 0
    return abs(tokens) > max(line.billed.tokens or 0, line.booked.tokens) * tolerance / 100
