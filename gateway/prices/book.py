"""The price book in memory: which price is in force for a model, at a moment."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from gateway.prices.rates import Rates

#: Rows of these sources are the seed; rows of any other source (a catalog file, the admin) override them.
SEEDS = ("genai-prices", "litellm")
BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class PriceRow:
    """One row of the price book, parsed when it is first used."""

    id: int
    model: str
    effective_from: datetime
    source: str
    json: Mapping[str, Any]

    @cached_property
    def rates(self) -> Rates:
        return Rates.parse(self.json)


@dataclass(slots=True, kw_only=True)
class Quote:
    """The price of a model at a moment: the row's id, and its rates for that time of day."""

    id: int
    rates: Rates
    source: str
    effective_from: datetime


@dataclass(slots=True)
class _Provider:
    overrides: dict[str, list[PriceRow]] = field(default_factory=dict)
    seeds: dict[str, list[PriceRow]] = field(default_factory=dict)
    matches: dict[str, Any] = field(default_factory=dict)


class PriceBook:
    """All price rows, by provider and model. Immutable but for a memory of which rows are a model's."""

    def __init__(self, providers: Mapping[str, _Provider]) -> None:
        self._providers = providers
        self._found: dict[tuple[str, str], list[PriceRow]] = {}

    @classmethod
    def load(cls) -> "PriceBook":
        """The book as the database has it now; one query."""
        # Here, as the models import this package.
        from gateway.models import Price

        columns = ("id", "provider", "model", "effective_from", "source", "match", "rates")
        return cls.from_rows(Price.objects.order_by("id").values_list(*columns).iterator(chunk_size=2000))

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[Any, ...]]) -> "PriceBook":
        """A book of rows (id, provider, model, effective_from, source, match, rates), in the order of their ids."""
        providers: dict[str, _Provider] = {}
        for id, provider, model, effective_from, source, match, rates in rows:
            entry = providers.setdefault(provider, _Provider())
            row = PriceRow(id=id, model=model, effective_from=effective_from or BEGINNING, source=source, json=rates)
            seeded = source.startswith(SEEDS)
            (entry.seeds if seeded else entry.overrides).setdefault(model.lower(), []).append(row)
            if seeded and match:
                entry.matches.setdefault(model.lower(), match)
        return cls(providers)

    def __len__(self) -> int:
        return sum(
            len(rows) for p in self._providers.values() for side in (p.overrides, p.seeds) for rows in side.values()
        )

    def find(self, provider: str, model: str, at: datetime) -> Quote | None:
        """The price in force at `at` (aware), or None when the book has none: unknown is never free.

        An override counts before the seed, the latest effective date before earlier ones, a later row before an earlier
        one. Names that have no row of their own match as genai-prices matches them (dated snapshots, aliases); the
        override `*` is for all models of a provider that have none either.
        """
        best: PriceRow | None = None
        for row in self._known(provider, model):
            if row.effective_from <= at and (best is None or _rank(row) >= _rank(best)):
                best = row
        return None if best is None else _quote(best, at)

    def ranked(self, provider: str, model: str, at: datetime) -> list[Quote]:
        """The price in force at `at` as `find` has it, and behind it those that would be, were it not there."""
        rows = [row for row in self._known(provider, model) if row.effective_from <= at]
        return [_quote(row, at) for row in sorted(rows, key=_rank, reverse=True)]

    def rows_of(self, provider: str, model: str) -> set[int]:
        """Ids of the rows that may price that model, at whatever moment."""
        return {row.id for row in self._known(provider, model)}

    def row(self, id: int) -> PriceRow | None:
        """The row of that id."""
        return self._by_id.get(id)

    @cached_property
    def _by_id(self) -> dict[int, PriceRow]:
        sides = (side for p in self._providers.values() for side in (p.overrides, p.seeds))
        return {row.id: row for side in sides for rows in side.values() for row in rows}

    def _known(self, provider: str, model: str) -> list[PriceRow]:
        rows = self._found.get((provider, model))
        if rows is None:
            rows = self._found[provider, model] = self._rows(provider, model)
        return rows

    def _rows(self, provider: str, model: str) -> list[PriceRow]:
        entry, name = self._providers.get(provider), model.lower()
        if entry is None:
            return []
        found = next((m for m, match in entry.matches.items() if matches(match, model)), name)
        return entry.overrides.get(name, []) + entry.seeds.get(found, []) or entry.overrides.get("*", [])


def _quote(row: PriceRow, at: datetime) -> Quote:
    rates = row.rates.at(at.astimezone(UTC).time()) if row.rates.daily else row.rates
    return Quote(id=row.id, rates=rates, source=row.source, effective_from=row.effective_from)


def _rank(row: PriceRow) -> tuple[bool, datetime, int]:
    return not row.source.startswith(SEEDS), row.effective_from, row.id


def matches(match: Mapping[str, Any], name: str) -> bool:
    """Whether a model's name fits a match clause of genai-prices (`equals`, `starts_with`, `or`, …), given as JSON.

    Raises ValueError for a clause that is not known.
    """
    [(kind, value)] = match.items()
    lowered = name.lower()
    match kind:
        case "or":
            return any(matches(clause, name) for clause in value)
        case "and":
            return all(matches(clause, name) for clause in value)
        case "equals":
            return bool(lowered == value.lower())
        case "starts_with":
            return lowered.startswith(value.lower())
        case "ends_with":
            return lowered.endswith(value.lower())
        case "contains":
            return value.lower() in lowered
        case "regex":
            return re.search(value, name) is not None
    raise ValueError(f"{kind!r} is no match clause")
