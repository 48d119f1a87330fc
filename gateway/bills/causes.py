"""Why a bill and the ledger may differ, likeliest first, in words that say what to do."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal

from gateway.bills.compare import Line

#: Two amounts are near each other when they differ by less than this share.
NEAR = Decimal("0.1")


def explain(lines: Sequence[Line]) -> None:
    """Fills in the likely causes of every line that differs, and of every key that is not the gate's."""
    known = {(line.day, line.provider, line.model): line for line in lines}
    for line in lines:
        if not line.provider:
            line.causes = ["Calls outside the gate: this key is none of those named with --key."]
        elif line.differs:
            one = timedelta(days=1)
            beside = [known.get((line.day + step, line.provider, line.model)) for step in (-one, one)]
            line.causes = list(_causes(line, [other for other in beside if other])) or [
                "Unknown. Compare single calls of this day with the vendor's log."
            ]


def _causes(line: Line, beside: list[Line]) -> Iterator[str]:
    billed, booked, usd = line.billed, line.booked, line.difference_usd
    if line.model.startswith("("):
        yield f"Not tokens: {line.model.strip('()')} has no rate in the price book."
        return
    if not booked.calls and not booked.unpriced:
        yield "Calls outside the gate: none of this model passed it on this day. Or the model has another name here."
        return
    more = usd > 0 if usd is not None else (line.difference_tokens or 0) > 0
    if booked.unpriced and usd is not None and more:
        yield f"Missing price: {booked.unpriced} calls have none. Add one, then run `manage.py reprice`."
    if not billed.usd and not billed.tokens:
        yield "Not billed: the export has nothing of this model on this day. Or it has another name there."
    yield from _of_tokens(line)
    if not more:
        yield from _of_estimates(line)
    if any(_cancel(line, other) for other in beside):
        yield "Different day boundary: the day before or after differs by about as much, the other way."
    elif booked.late_usd and usd is not None and not more and booked.late_usd * (1 + NEAR) >= -usd:
        yield "Different day boundary: calls of the day's last minutes cost about as much; the vendor may count them to the next."


def _of_tokens(line: Line) -> Iterator[str]:
    """What tokens tell: whether the calls differ, or what they cost."""
    billed, booked, usd = line.billed, line.booked, line.difference_usd
    if billed.batch and (usd is None or usd < 0):
        yield "Batch: the vendor billed some of it at batch prices, which the ledger knows for calls marked so only."
    if billed.tokens is None:
        if booked.cached_tokens and usd is not None:
            yield "Cache rate: some input was cached. Check the price book's rates for cache reads and writes."
        return
    same = _near(Decimal(billed.tokens), Decimal(booked.tokens))
    if same and not _near(Decimal(billed.cached_tokens), Decimal(booked.cached_tokens)):
        yield (
            f"Cached tokens: the vendor counts {billed.cached_tokens:,} as read from its cache, the ledger "
            f"{booked.cached_tokens:,}."
        )
    elif same and usd:
        what = "Cache rate or price" if billed.cached_tokens else "Price"
        yield f"{what}: the tokens agree and the cost does not. Correct the price, then run `manage.py reprice`."
    elif billed.tokens > booked.tokens:
        yield f"Calls outside the gate: {billed.tokens - booked.tokens:,} tokens more were billed than passed it."


def _of_estimates(line: Line) -> Iterator[str]:
    """What the ledger counted to be safe, and the vendor may not have billed."""
    booked = line.booked
    if booked.lost_usd:
        yield f"Lost calls: {booked.lost} are counted at what was held for them, {booked.lost_usd:f} US dollars."
    if booked.retried_usd:
        yield (
            "Retries: attempts that the vendor might bill are counted at what was held for them; such calls cost "
            f"{booked.retried_usd:f} US dollars."
        )
    if booked.estimated_usd:
        yield f"Estimates: calls whose usage the vendor did not report cost {booked.estimated_usd:f} US dollars."


def _cancel(line: Line, other: Line) -> bool:
    if line.difference_usd is None or other.difference_usd is None:
        return False
    one, two = line.difference_usd, other.difference_usd
    return (one > 0) != (two > 0) and bool(two) and _near(abs(one), abs(two))


def _near(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) <= NEAR * max(abs(one), abs(other))
