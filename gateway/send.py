"""Sixth stage: the route. Attempts in order, with patience, retries and fallback; pieces pass on as they come."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import perf_counter

import aiohttp

from gateway.attempt import Attempts, Sent
from gateway.catalog import TargetInfo
from gateway.entry import Entry
from gateway.errors import GatewayError, ProviderError
from gateway.health import Health, LeftAlone
from gateway.hold import Held, move
from gateway.ledger import Bid, Ledger
from gateway.redact import Redacted
from gateway.types import Piece

#: Waits between attempts: exponential from the first, with full jitter, as AWS's "Exponential Backoff And Jitter"
#: recommends; seconds.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0
#: Refusals that concern the account at one provider, so that the next target may well answer.
ACCOUNT_STATUS = frozenset({401, 402, 403, 404})


async def send(
    sent: Sent, safe: Redacted, entry: Entry, ledger: Ledger, http: aiohttp.ClientSession, health: Health
) -> AsyncGenerator[Piece]:
    """The pieces of the first attempt that answers.

    A transient error is tried again at the same target, up to the route's retries, then at the next ones; once a piece
    has been passed on there is no other attempt. Before an attempt that could add to the cost the hold is moved; where
    that is refused there is none either. Raises the last attempt's ProviderError.
    """
    route = sent.held.call.route
    ends_at = perf_counter() + route.timeout_s
    attempts = Attempts(sent, safe, entry, ends_at, ledger=ledger, http=http, health=health)
    retries = 0
    while True:
        passed_on = False
        try:
            async with aclosing(_pieces(attempts, sent)) as pieces:
                async for piece in pieces:
                    passed_on = True
                    yield piece
            return
        except ProviderError as error:
            # Of those that were hedged, the last.
            target, bid = sent.target, sent.held.grant.bid
            left = ends_at - perf_counter()
            again = error.transient and retries < route.retries and not isinstance(error, LeftAlone)
            account = error.status in ACCOUNT_STATUS or error.transient
            wait = _wait(error, retries) if again else 0.0
            if wait >= left:
                # Another target may be there at once.
                again, wait = False, 0.0
            options = _options(sent.held, target, again=again, account=account)
            if passed_on or not options or left <= 0:
                raise
            sent.reached = False
            if error.billable:
                sent.count(bid)
            if error.billable or not again:
                tokens = sent.input_tokens + sent.output_tokens
                try:
                    sent.held = await move(sent.held, options, entry, ledger, usd=sent.usd, tokens=tokens)
                except GatewayError as refusal:
                    # There is no room, or leave, for another attempt: what the caller learns is why the first one failed.
                    raise error from refusal
            retries = retries + 1 if sent.target is target else 0
            if not entry.row["fallback_from"] and sent.target is not target:
                entry.row["fallback_from"] = str(target)
            await asyncio.sleep(wait)


def _pieces(attempts: Attempts, sent: Sent) -> AsyncGenerator[Piece]:
    """The next attempt, hedged where the route says so and there is another target to hedge with."""
    after_s = sent.held.call.route.hedge_after_s
    others = _options(sent.held, sent.target, again=False, account=True) if after_s else {}
    return attempts.hedged(after_s, others) if after_s and others else attempts.one(sent.target)


def _options(held: Held, failed: TargetInfo, *, again: bool, account: bool) -> dict[Bid, TargetInfo]:
    """Where the call may go next: the same target again, or those behind it."""
    targets = list(held.targets.items())
    position = [target for _, target in targets].index(failed)
    if again:
        return dict(targets[position:])
    return dict(targets[position + 1 :]) if account else {}


def _wait(error: ProviderError, retries: int) -> float:
    if error.retry_after_s is not None:
        return error.retry_after_s
    return random.uniform(0, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**retries))  # noqa: S311  (jitter, no secret)
