"""Limits in the ledger's units: US dollars, tokens and calls."""

from decimal import ROUND_DOWN, Decimal

NANO = Decimal("1e-9")


def converted(limit: Decimal, rate: Decimal | None) -> Decimal:
    """A limit of a currency in US dollars, by a rate to one of them; never more than it is. None: as it stands."""
    return limit if rate is None else (limit / rate).quantize(NANO, rounding=ROUND_DOWN)
