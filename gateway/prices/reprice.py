"""What a call should have cost by the price book as it is now. Pure but for the book, which is in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from gateway.prices.book import PriceBook, Quote
from gateway.prices.cost import NANO, cost_usd, most_usd
from gateway.prices.rates import Rates
from gateway.types import ZERO, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """A call as its row has it. `price_id` and `cost_usd` are None where no price was known; `at` is when it was priced."""

    provider: str
    models: Sequence[str]
    at: datetime
    usage: Usage
    price_id: int | None
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCost:
    """The cost by the price in force now, its row, and the model that it was found for."""

    usd: Decimal
    price_id: int
    model: str


def new_cost(call: Priced, book: PriceBook) -> NewCost | None:
    """The call's cost at the price that the book now has for its moment; None where the book has none.

    The row does not say which service tier it was priced for, and an estimate may be what was held, or stand for several
    attempts. So the old price tells how the cost was computed: of the ways to do so, the one that gives the row's cost to
    the nano-dollar is done again with the new rates. Where none does, the cost grows by the ratio of the two prices.
    """
    model = next((name for name in call.models if _priced_as(call, name, book)), call.models[0])
    quote = book.find(call.provider, model, call.at)
    if quote is None:
        return None
    if call.price_id is None or call.cost_usd is None:
        return NewCost(usd=cost_usd(call.usage, quote.rates), price_id=quote.id, model=model)
    if quote.id == call.price_id:
        return NewCost(usd=call.cost_usd, price_id=quote.id, model=model)
    old = book.row(call.price_id)
    if old is None:
        return None
    rates = old.rates.at(call.at.astimezone(UTC).time())
    for before, after in _ways(call.usage, rates, quote):
        if before == call.cost_usd:
            return NewCost(usd=after, price_id=quote.id, model=model)
    return NewCost(usd=_in_proportion(call, rates, quote), price_id=quote.id, model=model)


def _priced_as(call: Priced, model: str, book: PriceBook) -> bool:
    """Whether the call's price is one of that model; without a price, whether the model has one now."""
    if call.price_id is None:
        return book.find(call.provider, model, call.at) is not None
    return call.price_id in book.rows_of(call.provider, model)


def _ways(usage: Usage, old: Rates, new: Quote) -> Iterator[tuple[Decimal, Decimal]]:
    """Each way to price this usage, at the old and the new rates: as reported and as held, in each service tier."""
    tokens = {"input_tokens": usage.all_input_tokens, "output_tokens": usage.all_output_tokens}
    for tier in ("", *old.variants):
        yield cost_usd(usage, old.variant(tier)), cost_usd(usage, new.rates.variant(tier))
    for tier in ("", *old.variants):
        yield most_usd(**tokens, rates=old.variant(tier)), most_usd(**tokens, rates=new.rates.variant(tier))


def _in_proportion(call: Priced, old: Rates, new: Quote) -> Decimal:
    before, after = cost_usd(call.usage, old), cost_usd(call.usage, new.rates)
    if not before or call.cost_usd is None:
        return call.cost_usd or ZERO
    return (call.cost_usd * after / before).quantize(NANO, ROUND_HALF_EVEN)
