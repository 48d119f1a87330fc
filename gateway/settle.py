"""Eighth stage: the hold becomes the cost, and the call its row and payload, in one transaction."""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from decimal import Decimal
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import Self

from gateway import emit, tokens
from gateway.attempt import Sent
from gateway.catalog import Catalog
from gateway.entry import Entry
from gateway.errors import CallCut, GatewayError, InvalidRequest, LedgerUnavailable, ProviderError
from gateway.heard import Heard
from gateway.identify import Identified
from gateway.ledger import Ledger, Settle
from gateway.ledger.operations import Row
from gateway.offload import offload
from gateway.price import cost, price_of
from gateway.prices.usage import from_openai
from gateway.redact import Redacted
from gateway.telemetry import meters
from gateway.telemetry.content import tellable
from gateway.telemetry.finished import Finished
from gateway.telemetry.gaps import Gaps
from gateway.telemetry.spans import around
from gateway.types import TOKEN_PARTS, ZERO, Json, Usage
from redaction.messages import RedactionFailed, payload

logger = logging.getLogger("tollhouse.settle")

#: How long a finished reply waits for its row to be written, before it is withheld; seconds.
ROW_TIMEOUT_S = 10.0
#: How long the redaction of what is kept of a call may take, before it is not kept; well below the above, or a long
#: reply would be withheld for its payload's sake.
PAYLOAD_TIMEOUT_S = 5.0
#: Why the row of a call whose caller left says what it says.
CANCELLED = "The caller left; the provider's reply was cancelled."
CROWDED = "The caller left; the provider's reply was cancelled, as MAX_DRAINS others were being read on."
DRAINED = "The caller left; the provider's reply was read to its end."
#: What the columns of a row hold.
MOST_INTEGER, MOST_SMALL_INTEGER = 2**31 - 1, 2**15 - 1
OUTCOME_OF_FINISH = {"length": "truncated", "content_filter": "filtered"}


class Record:
    """A block around a call: every way out of it, error and cancellation included, writes exactly one row.

    Stages put what they made into `safe` and `sent`; `heard` takes the reply. Leaving the block normally waits until
    the row is committed, and raises LedgerUnavailable when that takes too long: the reply is withheld then. Requests
    that could not be understood (InvalidRequest) never passed the gate and leave no row.
    """

    def __init__(
        self,
        entry: Entry,
        call: Identified,
        catalog: Catalog,
        ledger: Ledger,
        executor: Executor,
        counting: Executor,
    ) -> None:
        self.entry = entry
        self.call = call
        self.catalog = catalog
        self.ledger = ledger
        self.executor = executor
        self.counting = counting
        self.safe: Redacted | None = None
        self.sent: Sent | None = None
        self.heard = Heard(Gaps() if call.ask.stream and meters.active() else None)
        entry.row["policy"] = call.feature.policy.name
        entry.row["route"] = call.route.name

    async def __aenter__(self) -> Self:
        _open.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _open.discard(self)
        if isinstance(error, InvalidRequest):
            return
        if isinstance(error, GatewayError):
            # A provider's errors are raised where nobody knows the call.
            error.call_id = self.entry.call_id
        self._conclude(error)
        # A task of its own, so that a caller who goes away cannot stop the row from being written.
        settling = asyncio.Task(self._settle(error), loop=asyncio.get_running_loop(), eager_start=True)
        _running.add(settling)
        settling.add_done_callback(_ended)
        if error is not None and not isinstance(error, Exception):
            return
        if await _done(settling, ROW_TIMEOUT_S):
            settling.result()
        elif error is None:
            raise LedgerUnavailable(
                "The reply came, but the ledger's database did not take its row in time, so the reply is withheld. The "
                "row is written as soon as the database answers.",
                call_id=self.entry.call_id,
            )

    def _conclude(self, error: BaseException | None) -> None:
        """Fills in how the call ended and what it used."""
        row = self.entry.row
        if self.safe:
            row["entities"] = dict(self.safe.entities)
        row["tool_calls"] = min(self.heard.tool_calls, MOST_SMALL_INTEGER)
        row["finish_reason"] = self.heard.finish_reason
        match error:
            case None if self.entry.left == "drained":
                row["outcome"], row["error_class"], row["reason"] = "cancelled", "ClientGone", DRAINED
            case None:
                row["outcome"] = OUTCOME_OF_FINISH.get(self.heard.finish_reason, "ok")
                row["http_status"] = 200
            case GatewayError():
                row["outcome"], row["error_class"] = error.outcome, type(error).__name__
                row["http_status"] = error.status if isinstance(error, ProviderError) else None
                # A provider's own words may quote the input; ours never do.
                row["reason"] = "" if isinstance(error, ProviderError) else error.message[:500]
            case Exception():
                row["outcome"], row["error_class"] = "provider_error", type(error).__name__
            case _:
                row["outcome"], row["error_class"] = "cancelled", "ClientGone"
                row["reason"] = CROWDED if self.entry.left == "crowded" else CANCELLED

    async def _bill(self, sent: Sent, row: Row, error: BaseException | None) -> None:
        """Usage and cost: the reply's own, on top of attempts before it that a provider may charge for."""
        bid, target = sent.held.grant.bid, sent.target
        quote = price_of(self.catalog, target)
        usage, adds_up = await self._usage(sent, error)
        usd: Decimal | None
        if row["cache_hit"]:
            quote, usage, usd = None, Usage(), ZERO
        elif usage is None:
            usage = Usage(input_tokens=bid.input_tokens, output_tokens=bid.output_tokens, estimated=True)
            usd = bid.usd
        else:
            asked = str(self.safe.body.get("service_tier") or "") if self.safe else ""
            usd = cost(quote, usage, served=self.heard.service_tier, asked=asked)
        held = sent.held.usd
        total = None if usd is None else usd + sent.usd
        row |= {
            "model_served": self.heard.model or target.model,
            "provider": target.provider.name,
            **{part: getattr(usage, part) for part in TOKEN_PARTS},
            "input_tokens": min(usage.input_tokens + sent.input_tokens, MOST_INTEGER),
            "output_tokens": min(usage.output_tokens + sent.output_tokens, MOST_INTEGER),
            "usage_estimated": usage.estimated or bool(sent.usd or sent.input_tokens),
            "usage_adds_up": adds_up,
            "price_id": quote.id if quote else None,
            "cost_usd": total,
            "held_usd": held,
            "overrun_usd": max(ZERO, total - held) if total is not None and held is not None else ZERO,
        }

    async def _usage(self, sent: Sent, error: BaseException | None) -> tuple[Usage | None, bool]:
        """What the last attempt used: as reported, else counted; None where the provider may charge for all that was held.

        Also whether the parts add up to the provider's total, which those of a report that cannot be read do not.
        """
        reported = None if self.heard.usage is None else from_openai(self.heard.usage)
        # Some servers write a usage of nothing into every event but the last, which a reply that broke off did not come to.
        if reported and (error is None or reported[0].all_output_tokens or not self.heard.text):
            return reported
        adds_up = self.heard.usage is None
        if not sent.reached or (isinstance(error, ProviderError) and not error.billable):
            return Usage(), adds_up
        broken_off = isinstance(error, CallCut) or (error is not None and not isinstance(error, Exception))
        left_in_stream = self.call.ask.stream and broken_off
        if not self.heard.began and not left_in_stream:
            return None, adds_up
        counted = await offload(self.counting, self._counted, sent)
        if self.heard.input_usage is not None and (told := from_openai(self.heard.input_usage)):
            counted = replace(told[0], output_tokens=counted.output_tokens, estimated=True)
        return counted, adds_up

    def _counted(self, sent: Sent) -> Usage:
        assert self.safe is not None
        openai = sent.target.provider.price_provider == "openai"
        counted = tokens.count_input_tokens(self.safe.body, sent.target.model, openai=openai)
        return Usage(
            input_tokens=min(counted, sent.held.grant.bid.input_tokens),
            output_tokens=tokens.count(self.heard.text),
            estimated=True,
        )

    async def _settle(self, error: BaseException | None) -> None:
        row = self.entry.row
        if self.sent:
            await self._bill(self.sent, row, error)
        with self.entry.stage("redact_reply"):
            content = await self._payload()
        clock = self.entry.elapsed_ms()
        self.entry.close()
        await self.ledger.settle(self._operation(content))
        settle_ms = self.entry.elapsed_ms() - clock
        emit.log(row, settle_ms=settle_ms)
        if emit.wanted():
            emit.emit(self._finished(content, settle_ms))

    def _finished(self, content: Mapping[str, Json] | None, settle_ms: float) -> Finished:
        call, caller = self.call, self.call.ask.caller
        target = self.sent.target if self.sent else call.route.targets[0]
        return Finished(
            row=self.entry.row, body=call.ask.body, vendor=target.provider.price_provider, model=target.model,
            base_url=target.provider.base_url, response_id=self.heard.id, content=tellable(call.policy, content),
            settle_ms=settle_ms, parent=around(caller.traceparent, caller.tracestate), span=self.entry.span,
            gaps=self.heard.gaps.kept if self.heard.gaps and not self.entry.row["cache_hit"] else (),
            sentry_trace=caller.sentry_trace, baggage=caller.baggage,
        )  # fmt: skip

    def _operation(self, content: Mapping[str, Json] | None) -> Settle:
        return Settle(
            call_id=self.entry.call_id, row=self.entry.row, payload=content,
            grant=self.sent.held.grant if self.sent else None, spools=self.call.feature.spool_limit_usd is not None,
        )  # fmt: skip

    async def _payload(self) -> Mapping[str, Json] | None:
        """What the policy lets be kept of the call. Text that cannot be checked is not kept."""
        policy = self.call.policy
        if not policy.keeps or self.safe is None or self.call.ask.operation != "chat":
            return None
        messages, reply = self.safe.body.get("messages") or [], self.heard.messages
        try:
            ends_at = perf_counter() + PAYLOAD_TIMEOUT_S
            return await offload(
                self.executor if policy.analyses_kept else self.counting,
                payload,
                messages,
                reply,
                policy,
                self.safe.vault,
                filled=self.safe.filled,
                ends_at=ends_at,
            )
        except RedactionFailed:
            self.entry.row["reason"] = self.entry.row["reason"] or "The payload could not be redacted and was not kept."
            return None


async def _done(task: asyncio.Task[None], patience_s: float) -> bool:
    """Whether it is done in that time, which does not end it, as a caller who leaves does not. `asyncio.wait` takes thrice as
    long for a single one.
    """
    if not task.done():
        loop = task.get_loop()
        waiting = loop.create_future()
        timer = loop.call_later(patience_s, _release, waiting)
        release = partial(_release, waiting)
        task.add_done_callback(release)
        try:
            await waiting
        finally:
            timer.cancel()
            task.remove_done_callback(release)
    return task.done()


def _release(waiting: asyncio.Future[None], _task: object = None) -> None:
    if not waiting.done():
        waiting.set_result(None)


_open: set[Record] = set()
_running: set[asyncio.Task[None]] = set()


def _ended(task: asyncio.Task[None]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()):
        # Its hold stays, and becomes a `lost` row when it expires.
        logger.error("a call could not be settled: %s", type(error).__name__, exc_info=error)


async def settled() -> None:
    """Waits until every call under way has ended and has its row, but no longer than a reply would; for an orderly stop."""
    ends_at = perf_counter() + ROW_TIMEOUT_S
    while _open and perf_counter() < ends_at:
        await asyncio.sleep(0.01)
    if _running:
        await asyncio.wait(_running, timeout=max(0.0, ends_at - perf_counter()))
