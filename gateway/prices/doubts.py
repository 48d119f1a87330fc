"""What about a price somebody typed looks like a mistake, though it could be meant."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from gateway.prices.rates import FALLBACK

#: Ten times below the cheapest and above the dearest price of any model in the seeds (0.001 and 600): a rate beyond is rather one
#: by the token, or one that was multiplied by a million twice.
LEAST_USD_PER_MTOK, MOST_USD_PER_MTOK = Decimal("0.0001"), Decimal(6000)


def doubts(rates: Mapping[str, Any], before: Mapping[str, Any] | None) -> Iterator[str]:
    """What is doubtful about the rates of a price row, in words that follow the model's name.

    `rates` are such as `Rates.parse` has taken, `before` those that the model had so far, or None.
    """
    flat = {part: Decimal(str(rates[part])) for part in FALLBACK if part in rates}
    old = {part: Decimal(str(before[part])) for part in flat if before and part in before}
    odd = [part for part, usd in flat.items() if 0 < usd < LEAST_USD_PER_MTOK or usd > MOST_USD_PER_MTOK]
    if any(old[part] and flat[part] and not 1000 > flat[part] / old[part] > Decimal("0.001") for part in old):
        yield "changes more than a thousandfold; prices are US dollars per million tokens"
    elif odd:
        yield f"has {flat[odd[0]]:f} for {odd[0]}; prices are US dollars per million tokens, not per token"
    if "output" not in flat and flat["input"]:
        yield "has no rate for output, so what the model writes is free; write 0 where that is meant, as for embeddings"
