"""One attempt of a call at one target; or two at once, where the route hedges."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace
from decimal import Decimal
from time import perf_counter

import aiohttp

from gateway.catalog import TargetInfo
from gateway.conf import settings
from gateway.entry import Entry
from gateway.errors import GatewayError, ProviderError, ProviderTimeout
from gateway.health import Health
from gateway.hold import Held, move
from gateway.ledger import Bid, Ledger
from gateway.providers import Request
from gateway.providers.shape import check
from gateway.redact import Redacted
from gateway.telemetry.propagate import trace_headers
from gateway.types import ZERO, Json, Piece


class Sent:
    """What became of a call's attempts.

    `usd`, `input_tokens` and `output_tokens` are what the failed ones may have cost; `reached` says whether the last
    one was sent, and is not among them. `asking` are the targets with an attempt under way.
    """

    def __init__(self, held: Held) -> None:
        self.held = held
        self.reached = False
        self.asking: list[TargetInfo] = []
        self.usd: Decimal = ZERO
        self.input_tokens = 0
        self.output_tokens = 0

    @property
    def target(self) -> TargetInfo:
        return self.held.targets[self.held.grant.bid]

    def count(self, bid: Bid, *, times: int = 1) -> None:
        """An attempt beside the last one that its provider may charge for counts with all that was held for it."""
        self.usd += (bid.usd or ZERO) * times
        self.input_tokens += bid.input_tokens * times
        self.output_tokens += bid.output_tokens * times


class Attempts:
    """Makes the attempts of one call. `ends_at` is when the route's time is over, by `perf_counter`."""

    def __init__(
        self,
        sent: Sent,
        safe: Redacted,
        entry: Entry,
        ends_at: float,
        *,
        ledger: Ledger,
        http: aiohttp.ClientSession,
        health: Health,
    ) -> None:
        self.sent = sent
        self.safe = safe
        self.entry = entry
        self.ends_at = ends_at
        self.ledger = ledger
        self.http = http
        self.health = health

    async def one(self, target: TargetInfo) -> AsyncGenerator[Piece]:
        """One attempt, noted in the entry. Raises ProviderError."""
        entry, began = self.entry, perf_counter()
        clock = began
        self._serves(target)
        self.sent.asking.append(target)
        try:
            # Before the target's health is at stake: what is wrong here is not its fault.
            request = self._request(target, self.ends_at - began)
            async with self.health.attempt(target, patience_s=self.ends_at - began):
                # Only now, as it may have waited for a place.
                request.sent_at = perf_counter()
                request.timeout_s = self._patience_s(request)
                entry.row["attempts"] += 1
                self.sent.reached = True
                async with aclosing(target.provider.adapter.send(request, self.http)) as pieces:
                    async for piece in pieces:
                        entry.provider_s += perf_counter() - clock
                        for event in piece.events:
                            check(event, request.operation, streamed=request.stream)
                        entry.first_token()
                        yield piece
                        clock = perf_counter()
        except GatewayError as error:
            entry.provider_s += perf_counter() - clock
            entry.attempt_failed(str(target), error, perf_counter() - began)
            raise
        finally:
            self.sent.asking.remove(target)

    async def hedged(self, after_s: float, options: dict[Bid, TargetInfo]) -> AsyncGenerator[Piece]:
        """As `one`; but when nothing came in `after_s` seconds, one of `options` is asked too, and the first to answer wins.

        The hold is moved to cover both before the second is asked; where that is refused, or a budget counts only one of
        the two, there is none.
        """
        sent, first_bid, first_held = self.sent, self.sent.held.grant.bid, self.sent.held
        first = self.one(sent.target)
        async with aclosing(first):
            waiting = asyncio.ensure_future(anext(first))
            try:
                await asyncio.wait({waiting}, timeout=after_s)
                if not waiting.done() and await self._hold_both(options):
                    async with aclosing(self.one(sent.target)) as second:
                        async for piece in self._race(first, waiting, second, first_held.targets[first_bid], first_bid):
                            yield piece
                    return
                yield await waiting
            finally:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            async for piece in first:
                yield piece

    async def _hold_both(self, options: dict[Bid, TargetInfo]) -> bool:
        sent, bid = self.sent, self.sent.held.grant.bid
        usd, tokens = sent.usd + (bid.usd or ZERO), sent.input_tokens + sent.output_tokens + bid.tokens
        try:
            sent.held = await move(sent.held, options, self.entry, self.ledger, usd=usd, tokens=tokens, beside=True)
        except GatewayError:
            return False
        sent.count(bid)
        return True

    async def _race(
        self,
        first: AsyncGenerator[Piece],
        waiting: "asyncio.Future[Piece]",
        second: AsyncGenerator[Piece],
        first_target: TargetInfo,
        first_bid: Bid,
    ) -> AsyncGenerator[Piece]:
        """The pieces of whichever begins first. Of two that fail, the second's error counts."""
        sent, second_bid = self.sent, self.sent.held.grant.bid
        other = asyncio.ensure_future(anext(second))
        try:
            await asyncio.wait({waiting, other}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done() and waiting.exception() is not None:
                await asyncio.wait({other})
            elif not waiting.done() and other.exception() is not None:
                await asyncio.wait({waiting})
            first_wins = waiting.done() and waiting.exception() is None
            loser, loser_bid = (other, second_bid) if first_wins else (waiting, first_bid)
            counted = first_bid
            if first_wins:
                counted = await self._hold_first_again(first_bid, first_target, second_bid)
            elif not self.entry.row["fallback_from"]:
                self.entry.row["fallback_from"] = str(first_target)
            error = loser.exception() if loser.done() else None
            if isinstance(error, ProviderError) and not error.billable and counted == loser_bid:
                sent.count(loser_bid, times=-1)
            yield (waiting if first_wins else other).result()
        finally:
            other.cancel()
            await asyncio.gather(other, return_exceptions=True)
        if first_wins:
            await second.aclose()
        else:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await first.aclose()
        async for piece in first if first_wins else second:
            yield piece

    async def _hold_first_again(self, first_bid: Bid, first_target: TargetInfo, second_bid: Bid) -> Bid:
        """Moves the hold back to the first target, on top of what the second may cost; says which of them counts as such."""
        sent = self.sent
        usd = sent.usd - (first_bid.usd or ZERO) + (second_bid.usd or ZERO)
        tokens = sent.input_tokens + sent.output_tokens - first_bid.tokens + second_bid.tokens
        targets = {first_bid: first_target}
        # Both count in the same windows, so only a switch or limit of this very moment can refuse it; the hold and the row
        # then stay with the second.
        with suppress(GatewayError):
            held = await move(sent.held, targets, self.entry, self.ledger, usd=usd, tokens=tokens, beside=True)
            sent.held = replace(held, targets={**sent.held.targets, **targets})
            sent.count(first_bid, times=-1)
            sent.count(second_bid)
            self._serves(first_target)
            return second_bid
        return first_bid

    def _serves(self, target: TargetInfo) -> None:
        route = self.sent.held.call.route.name
        self.entry.row |= {"route": route, "provider": target.provider.name, "model_served": target.model}

    def _patience_s(self, request: Request) -> float:
        """How long the attempt may take: what is left of the route's time, of which a plain reply may have its part only."""
        left_s = max(0.001, self.ends_at - request.sent_at)
        reply_s = self.sent.held.call.route.reply_timeout_s
        return left_s if reply_s is None or request.stream else min(left_s, reply_s)

    def _request(self, target: TargetInfo, left_s: float) -> Request:
        provider, call = target.provider, self.sent.held.call
        if provider.missing_key:
            raise ProviderError(
                f"The provider {provider.name} has no key: {provider.missing_key}.",
                transient=False, billable=False, status=401,
            )  # fmt: skip
        if left_s <= 0:
            raise ProviderTimeout("The route's time was over before the attempt.", transient=False, billable=False)
        body: dict[str, Json] = {k: v for k, v in self.safe.body.items() if k not in ("model", "stream")}
        if call.max_output_tokens and body.get("max_tokens") is None and body.get("max_completion_tokens") is None:
            body[provider.adapter.output_limit_field(provider.base_url)] = call.max_output_tokens
        return Request(
            feature=call.feature.slug, operation=call.ask.operation, model=target.model, body=body, stream=call.ask.stream,
            base_url=provider.base_url, api_key=provider.api_key, timeout_s=left_s,
            connect_timeout_s=call.route.connect_timeout_s, first_token_timeout_s=call.route.first_token_timeout_s,
            options=provider.options, most_bytes=settings().MAX_REPLY_BYTES, trace=trace_headers(self.entry, provider.name),
        )  # fmt: skip
