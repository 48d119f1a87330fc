"""Fourth stage: the most that a call can cost at each target, by the price function that bills."""

from collections.abc import Mapping
from decimal import Decimal

from gateway.catalog import Catalog, TargetInfo
from gateway.clock import clock
from gateway.errors import InvalidRequest, PolicyRefused
from gateway.identify import Identified
from gateway.ledger import Bid
from gateway.prices.book import Quote
from gateway.prices.cost import cost_usd, most_usd
from gateway.tokens import count_input_tokens, most_input_tokens
from gateway.types import Json, Usage


def price(
    call: Identified, body: Mapping[str, Json], catalog: Catalog, *, counted: bool = False
) -> dict[Bid, TargetInfo]:
    """A bid for each target of the route, in order of fallback: tokens and US dollars that cannot be exceeded.

    Input tokens are bounded by their bytes; with `counted` they are counted by tokenizer instead. Targets whose kind of
    provider cannot be put this request are passed over. Raises InvalidRequest when that is all of them, PolicyRefused
    when none has a price and the feature does not let such calls pass.
    """
    bids: dict[Bid, TargetInfo] = {}
    refusals: list[str] = []
    output_tokens = call.max_output_tokens * call.choices
    for target in call.route.targets:
        if refusal := target.provider.adapter.refusal(call.ask.operation, body):
            refusals.append(f"{target}: {refusal}.")
            continue
        if counted:
            input_tokens = count_input_tokens(body, target.model, openai=target.provider.price_provider == "openai")
        else:
            input_tokens = most_input_tokens(body, target.model)
        quote = price_of(catalog, target)
        if quote is None and call.feature.unpriced == "refuse":
            continue
        bids[_bid(call, target, quote, input_tokens, output_tokens, str(body.get("service_tier") or ""))] = target
    if len(refusals) == len(call.route.targets):
        raise InvalidRequest(" ".join(refusals))
    if not bids:
        names = ", ".join(map(str, call.route.targets))
        raise PolicyRefused(
            f"No price is known for {names}, so the call was refused. Add a [[prices]] entry to the catalog, or set "
            f'unpriced = "flag" on the feature {call.feature.slug}.',
            call_id=call.ask.call_id,
        )
    return bids


def _bid(
    call: Identified, target: TargetInfo, quote: Quote | None, input_tokens: int, output_tokens: int, tier: str
) -> Bid:
    """The dearer of the standard price and that of the tier asked for: a provider may fall back to either."""
    usd = None
    if quote:
        usd = most_usd(input_tokens=input_tokens, output_tokens=output_tokens, rates=quote.rates)
        if (asked := quote.rates.variant(tier)) is not quote.rates:
            usd = max(usd, most_usd(input_tokens=input_tokens, output_tokens=output_tokens, rates=asked))
    return Bid(
        provider=target.provider.name, model=target.model, usd=usd, input_tokens=input_tokens,
        output_tokens=output_tokens, price_id=quote.id if quote else None,
    )  # fmt: skip


def price_of(catalog: Catalog, target: TargetInfo) -> Quote | None:
    """The price in force now for a target; None when the price book has none."""
    return catalog.prices.find(target.provider.price_provider, target.model, clock.now())


def cost(quote: Quote | None, usage: Usage, *, served: str, asked: str) -> Decimal | None:
    """What this usage costs in US dollars in the service tier that served it; None when no price is known.

    Where the reply does not tell the tier, that is the dearer of the standard one and the one asked for, as was held.
    """
    if quote is None:
        return None
    usd = cost_usd(usage, quote.rates.variant(served))
    return usd if served or not asked else max(usd, cost_usd(usage, quote.rates.variant(asked)))
