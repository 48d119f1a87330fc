"""Calls under way and the switches that cut them: which of them, when, and what is left alone."""

import asyncio

import pytest

from budgets.rules import Scope, SwitchRule
from gateway.attempt import Sent
from gateway.catalog import ProviderInfo, TargetInfo
from gateway.errors import CallCut
from gateway.hold import Held
from gateway.ledger import Bid, Grant
from gateway.providers import adapter
from gateway.running import Running
from gateway.types import Piece

SCOPE = Scope("f", "acme", "web", "0f3a", "beta", "", "")


def target(provider):
    info = ProviderInfo(
        name=provider,
        adapter=adapter("openai"),
        base_url="",
        price_provider="",
        api_key="",
        options={},
        max_concurrent=None,
    )
    return TargetInfo(provider=info, model="echo")


def sent_to(provider):
    bid = Bid(provider=provider, model="echo", usd=None, input_tokens=1, output_tokens=1)
    return Sent(Held(call=None, grant=Grant(bid=bid, windows=()), targets={bid: target(provider)}, usd=None))


def switch(scope="everything", value="", tenant=""):
    return SwitchRule(scope=scope, value=value, tenant=tenant, reason="why")


class Answer:
    """Pieces that come when told to; `closed` when the provider's request has ended."""

    def __init__(self):
        self.queue = asyncio.Queue()
        self.closed = False

    async def pieces(self):
        try:
            while (piece := await self.queue.get()) is not None:
                yield piece
        finally:
            self.closed = True

    def put(self, *, final=False):
        self.queue.put_nowait(Piece(events=(), raw=b"", final=final))


async def drain(call, answer, sent):
    return [piece async for piece in call.pieces(answer.pieces(), sent)]


async def started(call, answer, sent):
    task = asyncio.create_task(drain(call, answer, sent))
    answer.put()
    await asyncio.sleep(0)
    while not answer.queue.empty():
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def test_a_call_that_waits_for_its_provider_is_cut_at_once():
    running, answer = Running(), Answer()
    async with running.call(SCOPE) as call:
        task = await started(call, answer, sent_to("p"))
        assert running.cut([switch("tenant", "other"), switch("provider", "q")]) == 0
        assert running.cut([switch("provider", "p"), switch()]) == 1
        with pytest.raises(CallCut, match="as provider p is switched off: why"):
            await task
    assert answer.closed and task.done() and running.cut([switch()]) == 0


async def test_a_switch_that_comes_before_the_call_is_sent_waits_for_its_target():
    for stopping, cut in (
        (switch("provider", "p"), True),
        (switch("provider", "q"), False),
        (switch("feature", "f"), True),
    ):
        running, answer = Running(), Answer()
        answer.put(final=True)
        answer.queue.put_nowait(None)
        async with running.call(SCOPE) as call:
            running.cut([stopping])
            if cut:
                with pytest.raises(CallCut):
                    await drain(call, answer, sent_to("p"))
            else:
                assert len(await drain(call, answer, sent_to("p"))) == 1


async def test_of_two_targets_that_are_asked_at_once_either_is_enough():
    running, answer, sent = Running(), Answer(), sent_to("p")
    sent.asking += [target("p"), target("q")]
    async with running.call(SCOPE) as call:
        task = await started(call, answer, sent)
        assert running.cut([switch("provider", "q")]) == 1
        with pytest.raises(CallCut):
            await task


async def test_a_reply_that_is_complete_is_not_cut():
    running, answer = Running(), Answer()
    async with running.call(SCOPE) as call:
        task = asyncio.create_task(drain(call, answer, sent_to("p")))
        answer.put(final=True)
        while not answer.queue.empty():
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert running.cut([switch()]) == 0
        answer.queue.put_nowait(None)
        assert len(await task) == 1


async def test_somebody_else_s_cancellation_stays_one():
    running, answer = Running(), Answer()
    async with running.call(SCOPE) as call:
        task = await started(call, answer, sent_to("p"))
        running.cut([switch()])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert answer.closed
