"""Sixth stage: the route. Attempts in order, with patience, retries and fallback; pieces pass on as they come."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from decimal import Decimal
from time import perf_counter

import aiohttp

from gateway.catalog import TargetInfo
from gateway.entry import Entry
from gateway.errors import GatewayError, ProviderError, ProviderTimeout
from gateway.hold import Held, move
from gateway.ledger import Bid, Writer
from gateway.providers import KINDS, Request
from gateway.redact import Redacted
from gateway.types import ZERO, Json, Piece

PROVIDERS = {kind: provider() for kind, provider in KINDS.items()}
#: Waits between attempts: exponential from the first, with full jitter, as AWS's "Exponential Backoff And Jitter"
#: recommends; seconds.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0
#: Refusals that concern the account at one provider, so that the next target may well answer.
ACCOUNT_STATUS = frozenset({401, 402, 403, 404})


class Sent:
    """What became of a call's attempts.

    `usd`, `input_tokens` and `output_tokens` are what the failed ones may have cost; `reached` says whether the last
    one was sent, and is not among them.
    """

    def __init__(self, held: Held) -> None:
        self.held = held
        self.reached = False
        self.usd: Decimal = ZERO
        self.input_tokens = 0
        self.output_tokens = 0

    @property
    def target(self) -> TargetInfo:
        return self.held.targets[self.held.grant.bid]

    def count(self, bid: Bid) -> None:
        """A failed attempt that the provider may charge for counts with all that was held for it."""
        self.usd += bid.usd or ZERO
        self.input_tokens += bid.input_tokens
        self.output_tokens += bid.output_tokens


async def send(
    sent: Sent, safe: Redacted, entry: Entry, ledger: Writer, http: aiohttp.ClientSession
) -> AsyncGenerator[Piece]:
    """The pieces of the first attempt that answers.

    A transient error is tried again at the same target, up to the route's retries, then at the next ones; once a piece
    has been passed on there is no other attempt. Before an attempt that could add to the cost the hold is moved; where
    that is refused there is none either. Raises the last attempt's ProviderError.
    """
    route = sent.held.call.route
    ends_at = perf_counter() + route.timeout_s
    retries = 0
    while True:
        target, bid = sent.target, sent.held.grant.bid
        passed_on = False
        try:
            async with aclosing(_attempt(sent, safe, entry, ends_at, http)) as pieces:
                async for piece in pieces:
                    passed_on = True
                    yield piece
            return
        except ProviderError as error:
            left = ends_at - perf_counter()
            again = error.transient and retries < route.retries
            options = _options(
                sent.held, target, again=again, account=error.status in ACCOUNT_STATUS or error.transient
            )
            wait = _wait(error, retries) if again else 0.0
            if passed_on or not options or wait >= left:
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
                entry.row["fallback_from"] = f"{target.provider.name}/{target.model}"
            await asyncio.sleep(wait)


async def _attempt(
    sent: Sent, safe: Redacted, entry: Entry, ends_at: float, http: aiohttp.ClientSession
) -> AsyncGenerator[Piece]:
    """One attempt at the target for which the hold stands, noted in the entry."""
    target, route = sent.target, sent.held.call.route
    entry.row["attempts"] += 1
    entry.row |= {"route": route.name, "provider": target.provider.name, "model_served": target.model}
    began = clock = perf_counter()
    try:
        request = _request(sent, target, safe, ends_at - began)
        sent.reached = True
        async with aclosing(PROVIDERS[target.provider.kind].send(request, http)) as pieces:
            async for piece in pieces:
                entry.provider_s += perf_counter() - clock
                entry.first_token()
                yield piece
                clock = perf_counter()
    except GatewayError as error:
        entry.provider_s += perf_counter() - clock
        entry.attempt_failed(f"{target.provider.name}/{target.model}", error, perf_counter() - began)
        raise


def _request(sent: Sent, target: TargetInfo, safe: Redacted, left_s: float) -> Request:
    provider, call = target.provider, sent.held.call
    if provider.missing_key:
        raise ProviderError(
            f"The provider {provider.name} has no key: {provider.missing_key}.",
            transient=False, billable=False, status=401,
        )  # fmt: skip
    if left_s <= 0:
        raise ProviderTimeout("The route's time was over before the attempt.", transient=False, billable=False)
    body: dict[str, Json] = {k: v for k, v in safe.body.items() if k not in ("model", "stream")}
    if call.max_output_tokens and body.get("max_tokens") is None and body.get("max_completion_tokens") is None:
        body[PROVIDERS[provider.kind].output_limit_field(provider.base_url)] = call.max_output_tokens
    return Request(
        operation=call.ask.operation, model=target.model, body=body, stream=call.ask.stream,
        base_url=provider.base_url, api_key=provider.api_key, timeout_s=left_s,
        connect_timeout_s=call.route.connect_timeout_s, first_token_timeout_s=call.route.first_token_timeout_s,
    )  # fmt: skip


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
