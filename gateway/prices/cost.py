"""All arithmetic of cost, in Decimal, rounded once. Both functions read the same rates, so a hold bounds its bill."""

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

from gateway.prices.rates import Rates
from gateway.types import Usage

NANO = Decimal("1e-9")


def cost_usd(usage: Usage, rates: Rates) -> Decimal:
    """What a call costs, in US dollars, rounded half-even to 1e-9.

    Every part of the usage is billed at its own rate; the level is that of all input tokens, cached ones included.
    Source of the convention: genai-prices 0.2.3, `ModelPrice.calc_price`.
    """
    usd = rates.level(usage.all_input_tokens).usd_per_token
    total = rates.request_usd
    for tokens, part in (
        (usage.input_tokens, "input"),
        (usage.cache_read_tokens, "cache_read"),
        (usage.cache_write_tokens, "cache_write"),
        (usage.audio_input_tokens, "audio_input"),
        (usage.output_tokens, "output"),
        (usage.reasoning_tokens, "reasoning"),
        (usage.audio_output_tokens, "audio_output"),
    ):
        if tokens:
            total += tokens * usd[part]
    return total.quantize(NANO, ROUND_HALF_EVEN)


def most_usd(*, input_tokens: int, output_tokens: int, rates: Rates) -> Decimal:
    """The most that a call with at most these tokens can cost, in US dollars, rounded up to 1e-9.

    Holds for every split into parts and for every smaller count: a tier may make fewer tokens dearer.
    """
    dearest = max(
        input_tokens * level.dearest_input + output_tokens * level.dearest_output
        for level in rates.reachable(input_tokens)
    )
    return (rates.request_usd + dearest).quantize(NANO, ROUND_CEILING)
