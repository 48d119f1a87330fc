"""`manage.py prices sync | cost | list`: the price book."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway.models import Price
from gateway.prices.book import PriceBook
from gateway.prices.cost import cost_usd
from gateway.prices.seed import sync
from gateway.types import Usage


class Command(BaseCommand):
    help = "The price book: seed it, price usage with it, look into it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("sync", help="Add what is new in genai-prices and litellm's map; rows that exist stay.")
        cost = verbs.add_parser("cost", help="Price each line of a file of usages.")
        cost.add_argument(
            "file", help='Lines {"provider", "model", "at"?, "input", "cached_input", "cache_write", "output", …}.'
        )
        listing = verbs.add_parser("list", help="Show prices, newest first.")
        listing.add_argument("--provider", default="")
        listing.add_argument("--model", default="", help="Part of the model's name.")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        getattr(self, verb)(**options)

    def sync(self, **options: Any) -> None:
        for source, count in sync().items():
            self.stdout.write(f"{source}: {count} new prices")

    def list(self, *, provider: str, model: str, **options: Any) -> None:
        prices = Price.objects.filter(model__icontains=model)
        for price in prices.filter(provider=provider) if provider else prices:
            self.stdout.write(f"{price}  {json.dumps(price.rates)}  ({price.source})")

    def cost(self, *, file: str, **options: Any) -> None:
        book, failed = PriceBook.load(), False
        for number, line in enumerate(_lines(file), 1):
            try:
                case = json.loads(line)
                priced = _price(case, book)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                failed = True
                self.stderr.write(
                    f'{file}:{number}: {error}. Write {{"provider": …, "model": …, "input": …, "output": …}}.'
                )
                continue
            self.stdout.write(json.dumps({**case, **priced}))
        if failed:
            sys.exit(1)


def _lines(file: str) -> Iterator[str]:
    try:
        with open(file, encoding="utf-8") as lines:
            yield from (line for line in lines if line.strip())
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from None


def _price(case: dict[str, Any], book: PriceBook) -> dict[str, str | None]:
    """`cost_usd` of one case as a decimal text, or None with `why`."""
    at = datetime.fromisoformat(case["at"]) if case.get("at") else datetime.now(UTC)
    counts = {name: _count(case, name) for name in ("input", "cached_input", "cache_write", "output", "reasoning")}
    uncached = counts["input"] - counts["cached_input"] - counts["cache_write"]
    visible = counts["output"] - counts["reasoning"]
    if uncached < 0:
        return {"cost_usd": None, "why": "cached_input and cache_write are parts of input, but exceed it"}
    if visible < 0:
        return {"cost_usd": None, "why": "reasoning is a part of output, but exceeds it"}
    quote = book.find(case["provider"], case["model"], at.replace(tzinfo=at.tzinfo or UTC))
    if quote is None:
        return {"cost_usd": None, "why": f"no price is known for {case['provider']}/{case['model']} at that time"}
    if case.get("batch") and "batch" not in quote.rates.variants:
        return {"cost_usd": None, "why": f"no batch price is known for {case['provider']}/{case['model']} at that time"}
    usage = Usage(
        input_tokens=uncached, cache_read_tokens=counts["cached_input"], cache_write_tokens=counts["cache_write"],
        output_tokens=visible, reasoning_tokens=counts["reasoning"],
    )  # fmt: skip
    rates = quote.rates.variant("batch") if case.get("batch") else quote.rates
    return {"cost_usd": _text(cost_usd(usage, rates))}


def _count(case: dict[str, Any], name: str) -> int:
    value = case.get(name) or 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be a whole number of tokens, not {value!r}")
    return value


def _text(value: Decimal) -> str:
    return f"{value.normalize():f}"
