"""What a model's tokens cost, parsed from a price row and ready for arithmetic."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import time
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any

#: Parts of a usage with a rate of their own, and the part whose rate counts where a source gives none:
#: providers bill what they do not single out as plain input or output.
FALLBACK = {
    "input": "",
    "cache_read": "input",
    "cache_write": "input",
    "audio_input": "input",
    "output": "",
    "reasoning": "output",
    "audio_output": "output",
}
INPUT_PARTS = ("input", "cache_read", "cache_write", "audio_input")
OUTPUT_PARTS = ("output", "reasoning", "audio_output")
MILLION = Decimal(1_000_000)
#: The dearest model yet costs 600 dollars a million; a price above one dollar a token is a unit mistaken for another.
MOST_USD_PER_MTOK = MILLION


@dataclass(frozen=True)
class Level:
    """Rates for calls with more than `above` input tokens, in US dollars per token, for every part."""

    above: int
    usd_per_token: Mapping[str, Decimal]

    @cached_property
    def dearest_input(self) -> Decimal:
        return max(self.usd_per_token[part] for part in INPUT_PARTS)

    @cached_property
    def dearest_output(self) -> Decimal:
        return max(self.usd_per_token[part] for part in OUTPUT_PARTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Rates of a model. A call pays all its tokens at the highest level that its input reaches ("cliff" tiers).

    `request_usd` is paid once a call. `variants` are rates for another service tier or `batch`; `daily` are those for
    times of day (UTC), from the first inclusive to the second exclusive.
    """

    levels: tuple[Level, ...]
    request_usd: Decimal
    variants: Mapping[str, "Rates"]
    daily: tuple[tuple[time, time, "Rates"], ...]

    @classmethod
    def parse(cls, given: Any) -> "Rates":
        """Rates from the JSON of a price row: US dollars per million tokens as texts, by part, e.g.
        `{"input": "2.50", "output": "10", "tiers": [{"above": 200000, "input": "5"}], "variants": {"batch": {…}}}`.

        Raises ValueError, saying what is wrong and what to write.
        """
        if not isinstance(given, dict):
            raise ValueError('Rates are an object, e.g. {"input": "2.50", "output": "10"}.')
        tiers = given.get("tiers", [])
        unknown = set(given) - {*FALLBACK, "request", "tiers", "variants", "daily"}
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))} is no part of a price; known are {', '.join(FALLBACK)}.")
        if "input" not in given:
            raise ValueError('The rate for "input" is missing; write "0" where input is free.')
        base = {part: given[part] for part in FALLBACK if part in given}
        levels = [_level(-1, base), *(_level(tier["above"], {**base, **tier}) for tier in tiers)]
        rest = {k: v for k, v in given.items() if k not in ("variants", "daily")}
        return cls(
            levels=tuple(sorted(levels, key=lambda level: level.above)),
            request_usd=_decimal("request", given.get("request", 0)),
            variants={name: cls.parse(_merged(rest, own)) for name, own in given.get("variants", {}).items()},
            daily=tuple(
                (time.fromisoformat(d["from"]), time.fromisoformat(d["to"]), cls.parse(_merged(rest, d["rates"])))
                for d in given.get("daily", [])
            ),
        )

    def level(self, input_tokens: int) -> Level:
        """The level for a call with that many input tokens, cached ones included."""
        if len(self.levels) == 1:
            return self.levels[0]
        return next(level for level in reversed(self.levels) if input_tokens > level.above)

    def reachable(self, input_tokens: int) -> Iterator[Level]:
        """All levels that a call with at most that many input tokens may pay."""
        return (level for level in self.levels if input_tokens > level.above or level.above < 0)

    def variant(self, name: str) -> "Rates":
        """The rates for a service tier; the standard ones where it has none of its own."""
        return self.variants.get(name, self)

    def at(self, moment: time) -> "Rates":
        """The rates for that time of day, in UTC."""
        for start, end, rates in self.daily:
            inside = start <= moment < end if start < end else moment >= start or moment < end
            if inside:
                return rates
        return self


def _merged(standard: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The standard rates with those of a variant in their place; a part that the variant names leaves its old tiers."""
    tiers: dict[int, dict[str, Any]] = {}
    for tier in standard.get("tiers", []):
        tiers[tier["above"]] = {part: rate for part, rate in tier.items() if part not in own}
    for tier in own.get("tiers", []):
        tiers[tier["above"]] = {**tiers.get(tier["above"], {}), **tier}
    return {**standard, **own, "tiers": list(tiers.values())}


def _level(above: Any, given: Mapping[str, Any]) -> Level:
    if isinstance(above, bool) or not isinstance(above, int):
        raise ValueError(f'A tier begins "above" a whole number of input tokens, not {above!r}.')
    usd: dict[str, Decimal] = {}
    for part, fallback in FALLBACK.items():
        if part in given:
            usd[part] = _decimal(part, given[part]) / MILLION
        else:
            usd[part] = usd[fallback] if fallback else Decimal(0)
    return Level(above, usd)


def _decimal(name: str, value: Any) -> Decimal:
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{name}: {value!r} is not a decimal number.") from None
    if not found.is_finite() or found < 0:
        raise ValueError(f"{name}: a price cannot be {value!r}.")
    if found > MOST_USD_PER_MTOK:
        raise ValueError(f"{name}: {value} is more than one dollar a token; prices are US dollars per million tokens.")
    return found
