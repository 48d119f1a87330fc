"""Deliveries on their way: leased by channel, sent outside of any transaction, repeated until they arrive or fall over.

A channel is served by one worker at a time, so its messages keep their order and many of a kind can be told as one. A
worker that dies loses its lease, and what it was sending is sent again with the same key: at least once to the outside,
one row here.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import aiohttp
from django.db import DatabaseError, connections, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from budgets import channels, failover
from budgets.channels.base import Channel as Kind
from budgets.channels.base import Notice, Receipt
from budgets.channels.wire import without
from budgets.models import Channel, Delivery
from budgets.parcels import Parcel, pick

logger = logging.getLogger("tollhouse.alerts")

#: A worker that was silent for so long has lost its channel to the next. Longer than an attempt may take.
LEASE = timedelta(seconds=120)
ATTEMPT_S = 75.0
#: After n failures in a row a channel rests for 2^n seconds, up to this.
LONGEST_REST_S = 300.0
#: The longest rest that a channel's other side may ask for.
LONGEST_ASKED_S = 3600.0
#: Messages to one channel before others are looked at again.
MOST_AT_A_TIME = 50
CHANNELS_AT_ONCE = 8

State = Delivery.State


@dataclass
class Trace:
    """How far the requests of an attempt came."""

    began: bool = False
    written: bool = False

    def config(self) -> aiohttp.TraceConfig:
        config = aiohttp.TraceConfig()
        config.on_request_start.append(self._start)
        config.on_request_headers_sent.append(self._headers)
        return config

    async def _start(self, *_: object) -> None:
        self.began = True

    async def _headers(self, *_: object) -> None:
        self.written = True

    @property
    def may_be_heard(self) -> bool:
        """Whether something may have reached the other side. What sends without our session does not tell."""
        return self.written or not self.began


class Courier:
    """Delivers what is due.

    `notice` makes what a channel tells of a parcel; `decrypt` gives a channel's secret and raises ValueError, saying what to
    do; `open_http` opens a session, with this tracing, in the loop that runs.
    """

    def __init__(
        self,
        *,
        notice: Callable[[Parcel], Notice],
        decrypt: Callable[[Channel], str],
        open_http: Callable[[list[aiohttp.TraceConfig]], aiohttp.ClientSession],
        kind: Callable[[str], Kind] = channels.channel,
    ) -> None:
        self._notice = notice
        self._decrypt = decrypt
        self._open_http = open_http
        self._kind = kind

    def deliver(self) -> int:
        """Serves every channel that has something due; how many messages were tried."""
        failover.leave_inactive()
        due = self._with_work()
        if len(due) < 2:
            return sum(map(self.serve, due))
        with ThreadPoolExecutor(min(len(due), CHANNELS_AT_ONCE), thread_name_prefix="tollhouse-alerts") as pool:
            return sum(pool.map(self._serve_in_thread, due))

    def serve(self, channel_id: int) -> int:
        """Delivers what is due to one channel, unless another worker is at it; how many messages were tried."""
        lease = _lease(Channel.objects.filter(Q(leased_until=None) | Q(leased_until__lte=Now()), pk=channel_id))
        tried = 0
        try:
            while lease and tried < MOST_AT_A_TIME:
                with transaction.atomic():
                    lease = _lease(Channel.objects.filter(pk=channel_id, leased_until=lease))
                    channel = Channel.objects.select_related("fallback").get(pk=channel_id)
                    parcel = pick(channel) if lease and not failover.is_left_alone(channel) else None
                if parcel is None:
                    break
                tried += 1
                if not self._deliver(channel, parcel):
                    break
        finally:
            if lease:
                Channel.objects.filter(pk=channel_id, leased_until=lease).update(leased_until=None)
        return tried

    def test(self, channel: Channel, notice: Notice) -> Receipt:
        """Sends a notice right now; what the other side answered. A success ends the channel's troubles."""
        receipt, _ = self._attempt(channel, lambda: notice)
        with transaction.atomic():
            if receipt.ok:
                failover.revive(channel, receipt)
            else:
                Channel.objects.filter(pk=channel.pk).update(last_error=receipt.answer)
        return receipt

    @staticmethod
    def _with_work() -> list[int]:
        free = Q(leased_until=None) | Q(leased_until__lte=Now())
        rested = Q(retry_at=None) | Q(retry_at__lte=Now()) | Q(dead_since__isnull=False, fallback__active=True)
        work = Delivery.objects.filter(
            Q(state=State.SENDING) | Q(state=State.PENDING, next_at__lte=Now()), channel__active=True
        )
        return list(Channel.objects.filter(free, rested, pk__in=work.values("channel")).values_list("pk", flat=True))

    def _serve_in_thread(self, channel_id: int) -> int:
        try:
            return self.serve(channel_id)
        finally:
            connections.close_all()

    def _deliver(self, channel: Channel, parcel: Parcel) -> bool:
        """Tries a parcel and notes what came of it. True when it arrived."""
        receipt, uncertain = self._attempt(channel, lambda: self._notice(parcel))
        rows = Delivery.objects.filter(pk__in=parcel.ids, state=State.SENDING)
        told = {"attempts": F("attempts") + 1, "status": receipt.status, "answer": receipt.answer}
        with transaction.atomic():
            if receipt.ok:
                rows.update(state=State.SENT, sent_at=Now(), uncertain=False, reference=receipt.reference[:500], **told)
                failover.revive(channel, receipt)
                if receipt.partly:
                    logger.warning("alerts: %s took a message in part: %s", channel.name, receipt.answer)
            else:
                logger.warning("alerts: %s did not take a message: %s", channel.name, receipt.answer or receipt.status)
                # Whatever was surely not heard may be told together with what comes until the next attempt.
                apart = {} if uncertain else {"group": None}
                wait = timedelta(seconds=_rest_s(receipt, max(channel.failures, parcel.attempts)))
                rows.update(state=State.PENDING, uncertain=uncertain, next_at=Now() + wait, **told, **apart)
                failover.failed(channel, receipt, list(parcel.ids), wait)
        return receipt.ok

    def _attempt(self, channel: Channel, make: Callable[[], Notice]) -> tuple[Receipt, bool]:
        """What came of it, and whether it may have been heard although no answer was seen."""
        try:
            secret = self._decrypt(channel)
        except ValueError as error:
            return Receipt(ok=False, answer=str(error)[:500], permanent=True), False
        trace = Trace(began=True)
        try:
            notice, trace = make(), Trace()
            receipt = asyncio.run(self._send(channel, notice, secret, trace))
        except DatabaseError:
            raise
        except TimeoutError:
            receipt = Receipt(ok=False, answer=f"There was no answer within {ATTEMPT_S:g} seconds.")
        except Exception as error:  # noqa: BLE001  (a channel's code, and the libraries behind it; the worker goes on)
            # Not its text: that may hold an address that is a secret.
            logger.warning("alerts: %s: %s", channel.name, type(error).__name__)
            receipt = Receipt(ok=False, answer=f"{type(error).__name__}, before there was an answer.")
        uncertain = not receipt.ok and receipt.status is None and trace.may_be_heard
        return replace(receipt, answer=without(receipt.answer, [secret])), uncertain

    async def _send(self, channel: Channel, notice: Notice, secret: str, trace: Trace) -> Receipt:
        async with self._open_http([trace.config()]) as http, asyncio.timeout(ATTEMPT_S):
            return await self._kind(channel.kind).send(notice, config=channel.config, secret=secret, http=http)


def _lease(found: QuerySet[Channel]) -> datetime | None:
    """Takes the channel, if it is the one found: until when, which is also what it is known by; None when it is not."""
    until = timezone.now() + LEASE
    return until if found.update(leased_until=until) else None


def _rest_s(receipt: Receipt, failures: int) -> float:
    """How long to wait, in seconds: as asked for, or longer each time, and never at the same moment as everybody else."""
    if receipt.retry_after_s is not None:
        return min(max(receipt.retry_after_s, 0.0), LONGEST_ASKED_S) + random.random()  # noqa: S311 - no secret
    return min(2.0 ** min(failures + 1, 16), LONGEST_REST_S) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
