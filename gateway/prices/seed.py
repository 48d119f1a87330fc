"""The seed of the price book: genai-prices with its history and tiers, litellm's map for what is missing there."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gateway.models import Price
from gateway.prices.book import matches
from gateway.prices.rates import Rates

LITELLM = Path(__file__).parent / "data" / "litellm.json"
#: genai-prices' units that our rates express; further ones (searches, images, seconds) are not billed by the token.
UNITS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "input_audio_mtok": "audio_input",
    "output_audio_mtok": "audio_output",
    "output_reasoning_mtok": "reasoning",
}
#: Request contexts that select other prices, and our names for them.
CONTEXTS = {
    ("processing", "batch"): "batch",
    ("service_tier", "flex"): "flex",
    ("service_tier", "priority"): "priority",
}


def sync() -> dict[str, int]:
    """Adds what is new in the seeds; rows that exist stay as they are. Returns how many rows each source added."""
    known = set(Price.objects.values_list("provider", "model", "effective_from", "source"))
    latest: dict[tuple[str, str, datetime | None], Any] = {}
    for provider, model, effective_from, rates in Price.objects.order_by("id").values_list(
        "provider", "model", "effective_from", "rates"
    ):
        latest[provider, model, effective_from] = rates
    added: dict[str, int] = {}
    fresh = []
    for price in seed():
        key = (price.provider, price.model, price.effective_from)
        added.setdefault(price.source, 0)
        if (*key, price.source) in known or latest.get(key) == price.rates:
            continue
        Rates.parse(price.rates)
        fresh.append(price)
        added[price.source] += 1
    Price.objects.bulk_create(fresh, batch_size=1000)
    return added


def seed() -> Iterator[Price]:
    """All rows of both seeds, not saved."""
    # Here, as it takes 1.6 s and only seeding needs it.
    from genai_prices.data import providers

    source = f"genai-prices {version('genai-prices')}"
    known: dict[str, list[Any]] = {}
    for provider in providers:
        for model in provider.models:
            match = _match(model.match)
            known.setdefault(provider.id, []).append(match)
            url = (provider.pricing_urls or [""])[0]
            for since, rates in _history(model):
                yield Price(
                    provider=provider.id, model=model.id, match=match, rates=rates, source=source, source_url=url,
                    effective_from=since and datetime(since.year, since.month, since.day, tzinfo=UTC),
                )  # fmt: skip
    extract = json.loads(LITELLM.read_text(encoding="utf-8"))
    for name, models in extract["models"].items():
        for model, rates in models.items():
            if not any(matches(match, model) for match in known.get(name, ())):
                yield Price(provider=name, model=model, rates=rates, source=extract["source"])


def _history(model: Any) -> Iterator[tuple[date | None, dict[str, Any]]]:
    """Each date on which the model's prices change, with the rates from then on; None is the beginning."""
    prices = model.prices if isinstance(model.prices, list) else [_Always(model.prices)]
    variants = [v for v in model.price_variants or () if _context(v)]
    starts = {_start(p.constraint) for p in [*prices, *variants]} | {None}
    for since in sorted(starts, key=lambda d: d or date.min):
        active = [p for p in prices if (_start(p.constraint) or date.min) <= (since or date.min)]
        plain = [p for p in active if not hasattr(p.constraint, "start_time")]
        if not plain or (rates := _rates(plain[-1].prices)) is None:
            continue
        # Hours come after the price they depart from; of several active prices the last counts.
        hours = [p for p in active[active.index(plain[-1]) + 1 :] if hasattr(p.constraint, "start_time")]
        if hours:
            rates["daily"] = [
                {
                    "from": f"{p.constraint.start_time:%H:%M:%S}",
                    "to": f"{p.constraint.end_time:%H:%M:%S}",
                    "rates": _rates(p.prices) or {},
                }
                for p in reversed(hours)
            ]
        for variant in variants:
            if (_start(variant.constraint) or date.min) <= (since or date.min) and (own := _rates(variant.prices)):
                rates.setdefault("variants", {})[_context(variant)] = own
        yield since, rates


class _Always:
    constraint = None

    def __init__(self, prices: Any) -> None:
        self.prices = prices


def _start(constraint: Any) -> date | None:
    found: date | None = getattr(constraint, "start_date", None)
    return found


def _context(variant: Any) -> str:
    pairs = list(variant.when.items())
    return CONTEXTS.get(pairs[0], "") if len(pairs) == 1 else ""


def _rates(prices: Any) -> dict[str, Any] | None:
    """Our JSON of genai-prices' `ModelPrice`; None when nothing in it is billed by the token."""
    found: dict[str, Any] = {}
    tiers: dict[int, dict[str, str]] = {}
    for unit, part in UNITS.items():
        value = getattr(prices, unit)
        if value is None:
            continue
        if isinstance(value, Decimal):
            found[part] = _text(value)
            continue
        found[part] = _text(value.base)
        for tier in value.tiers:
            tiers.setdefault(tier.start, {})[part] = _text(tier.price)
    if not found:
        return None
    found.setdefault("input", "0")
    if prices.requests_kcount is not None:
        found["request"] = _text(prices.requests_kcount / 1000)
    if tiers:
        found["tiers"] = _carried(tiers)
    return found


def _carried(tiers: dict[int, dict[str, str]]) -> list[dict[str, Any]]:
    """Tiers in order, each with the rates that lower ones set: a part keeps its rate until a tier of its own."""
    listed: list[dict[str, Any]] = []
    carried: dict[str, str] = {}
    for above in sorted(tiers):
        carried = {**carried, **tiers[above]}
        listed.append({"above": above, **carried})
    return listed


def _text(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _match(clause: Any) -> dict[str, Any]:
    [(name, value)] = vars(clause).items()
    key = name.rstrip("_")
    return {key: [_match(inner) for inner in value] if isinstance(value, list) else value}
