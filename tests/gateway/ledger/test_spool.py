"""Calls that pass while the database is away: each has one row afterwards, and counts once, whatever breaks meanwhile."""

import asyncio
from copy import copy
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async

from budgets.models import Alert, Switch, Window
from gateway.conf import settings
from gateway.errors import LedgerUnavailable
from gateway.ledger import Grant, Refusal, Writer
from gateway.ledger.database import connection_parameters
from gateway.ledger.spooled import Spooled
from gateway.ledger.spooling import SpoolingLedger
from gateway.models import Adjustment, Call, Hold, Payload
from tests.gateway.ledger.calls import a_writer, bid_of, hold_of, settle_of
from tests.gateway.ledger.spools import (
    a_call,
    a_file,
    replayed,
    rows,
    settled,
    spent,
    spooled_hold,
    spooling,
    until,
    until_there,
)
from tests.gateway.ledger.stored import a_budget

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_call_passes_while_the_database_is_away_and_is_in_the_ledger_once_when_it_is_back(proxy, tmp_path):
    await a_budget()
    async with spooling(proxy, tmp_path) as ledger:
        proxy.cut()
        hold = spooled_hold()
        grant = await ledger.hold(hold)
        assert isinstance(grant, Grant) and grant.windows == ()
        await ledger.settle(settled(hold, grant, "0.1"))
        assert ledger.state()["spool"]["bytes"] > 0
        assert not await Call.objects.aexists()
        proxy.mend()
        await until_there(Call.objects.all())
        await until(lambda: ledger.state()["spool"]["bytes"] == 0)
    assert await rows() == [("ok", Decimal("0.1"), True)]
    assert await spent() == Decimal("0.1")
    assert await Payload.objects.aget() and not await Hold.objects.aexists()
    assert (await Alert.objects.aget()).kind == "spooled"
    assert list(tmp_path.iterdir()) == []


async def test_a_feature_that_does_not_spool_is_refused_as_ever(proxy, tmp_path):
    async with spooling(proxy, tmp_path) as ledger:
        proxy.cut()
        with pytest.raises(LedgerUnavailable, match="does not answer"):
            await ledger.hold(hold_of("0.1"))


async def test_a_feature_spends_no_more_than_its_limit_in_an_outage(proxy, tmp_path):
    async with spooling(proxy, tmp_path) as ledger:
        proxy.cut()
        holds = [spooled_hold("0.4", call_id=None) for _ in range(3)]
        answers = [await ledger.hold(hold) for hold in holds]
        assert [isinstance(a, Grant) for a in answers] == [True, True, False]
        assert answers[2].by == "ledger" and "spool_limit_usd" in answers[2].reason and "0.2 left" in answers[2].reason
        # What a call did not use is free again; another feature has its own.
        await ledger.settle(settled(holds[0], answers[0], "0.1"))
        assert isinstance(await ledger.hold(spooled_hold("0.4")), Grant)
        assert isinstance(await ledger.hold(spooled_hold("1", feature="g")), Grant)


async def test_the_limit_is_whole_again_after_the_outage(proxy, tmp_path):
    async with spooling(proxy, tmp_path) as ledger:
        for _ in range(2):
            proxy.cut()
            hold = spooled_hold("0.9")
            grant = await ledger.hold(hold)
            assert isinstance(grant, Grant)
            await ledger.settle(settled(hold, grant, "0.9"))
            proxy.mend()
            await until(lambda: ledger.state()["spool"]["bytes"] == 0 and not ledger.problem)


async def test_a_switch_that_was_known_stops_calls_while_the_database_is_away(proxy, tmp_path):
    await Switch.objects.acreate(scope="model", value="m", reason="it went wild")
    async with spooling(proxy, tmp_path) as ledger:
        proxy.cut()
        refusal = await ledger.hold(spooled_hold())
        assert isinstance(refusal, Refusal) and refusal.by == "switch" and "it went wild" in refusal.reason
        other = await ledger.hold(spooled_hold(bids=(bid_of("0.1"), bid_of("0.1", model="n"))))
        assert other.bid.model == "n"


async def test_a_model_without_a_price_cannot_be_limited_and_is_refused(proxy, tmp_path):
    async with spooling(proxy, tmp_path) as ledger:
        proxy.cut()
        refusal = await ledger.hold(spooled_hold(bids=(bid_of(None),)))
        assert refusal.by == "price"


async def test_a_further_attempt_counts_on_top_and_leaves_what_there_is_when_it_does_not_fit(proxy, tmp_path):
    async with spooling(proxy, tmp_path) as ledger:
        proxy.cut()
        hold = spooled_hold("0.4")
        assert isinstance(await ledger.hold(hold), Grant)
        further = {"call_id": hold.call_id, "moves": True, "bids": (bid_of("0.4", model="n"),)}
        grant = await ledger.hold(spooled_hold("0", spent_usd=Decimal("0.4"), **further))
        assert isinstance(grant, Grant) and grant.bid.model == "n"
        assert isinstance(await ledger.hold(spooled_hold("0", spent_usd=Decimal("0.8"), **further)), Refusal)
        assert isinstance(await ledger.hold(spooled_hold("0.3")), Refusal)
        assert isinstance(await ledger.hold(spooled_hold("0.2")), Grant)
        await ledger.settle(settled(hold, grant, "0.5", model_served="n"))
        proxy.mend()
        await until_there(Call.objects.all())
    assert await rows() == [("ok", Decimal("0.5"), True)]


async def test_a_call_in_flight_when_the_database_goes_hands_its_reply_over_and_settles_its_hold_once(proxy, tmp_path):
    await a_budget()
    async with spooling(proxy, tmp_path) as ledger:
        hold = spooled_hold()
        grant = await ledger.hold(hold)
        assert grant.windows
        proxy.cut()
        async with asyncio.timeout(5):
            await ledger.settle(settled(hold, grant, "0.1"))
        assert await Hold.objects.acount() == 1
        proxy.mend()
        await until_there(Call.objects.all())
        await until(lambda: ledger.state()["spool"]["bytes"] == 0)
    assert (await rows(), await spent()) == ([("ok", Decimal("0.1"), True)], Decimal("0.1"))


async def test_a_call_that_was_written_off_before_its_spooled_settlement_is_adjusted(proxy, tmp_path):
    await a_budget()
    async with a_writer() as other:
        hold = spooled_hold()
        grant = await other.hold(hold)
        record = settled(hold, grant, "0.1")
        lost = settle_of(hold, None, "0.4", outcome="lost", provider="p", model_served="m", held_usd=Decimal("0.4"))
        lost.swept = True
        await other.settle(lost)
        assert await spent() == Decimal("0.4")
        call = Spooled(
            call_id=hold.call_id, scope=hold.scope, bid=grant.bid, row=record.row, settled=True, windows=grant.windows
        )
        for _ in range(2):
            a_file(tmp_path, call.record())
            await replayed(tmp_path)
    assert await spent() == Decimal("0.1")
    adjustment = await Adjustment.objects.aget()
    assert (adjustment.cost_usd, adjustment.outcome) == (Decimal("-0.3"), "ok")


async def test_a_hold_that_was_committed_though_nobody_heard_is_settled_by_the_spooled_call(proxy, tmp_path):
    """The connection broke in the commit, the call was taken for refused, and passed by the spool."""
    await a_budget(metric="calls", limit=10)
    await a_budget(limit=1)
    async with a_writer() as ledger:
        call = a_call("0.25")
        assert isinstance(await ledger.hold(hold_of("0.25", call_id=call.call_id)), Grant)
        a_file(tmp_path, call.record())
        await replayed(tmp_path)
    windows = await sync_to_async(lambda: {w.budget.metric: (w.spent, w.held) for w in Window.objects.all()})()
    assert windows == {"calls": (1, 0), "usd": (Decimal("0.25"), 0)}
    assert not await Hold.objects.aexists()


async def test_what_a_killed_process_had_begun_is_lost_and_what_it_had_ended_is_not(proxy, tmp_path):
    await a_budget()
    ended, begun = a_call("0.1"), a_call("0.4", done=False)
    a_file(tmp_path, ended.record(), begun.record())
    found = await replayed(tmp_path)
    assert (found.calls, found.lost) == (2, 1) and list(tmp_path.iterdir()) == []
    assert sorted(await rows()) == [("lost", Decimal("0.4"), True), ("ok", Decimal("0.1"), True)]
    assert await spent() == Decimal("0.5")
    assert {a.kind async for a in Alert.objects.all()} >= {"spooled", "lost"}


async def test_a_full_spool_refuses_calls_and_says_so(proxy, tmp_path):
    async with spooling(proxy, tmp_path, SPOOL_MAX_BYTES=3000) as ledger:
        proxy.cut()
        first = spooled_hold("0.1")
        grant = await ledger.hold(first)
        assert isinstance(grant, Grant)
        with pytest.raises(LedgerUnavailable, match="SPOOL_MAX_BYTES"):
            for _ in range(5):
                await ledger.hold(spooled_hold("0.1"))
        assert not ledger.spools and ledger.state()["spool"]["full"]
        # What ended is not forgotten, only withheld.
        with pytest.raises(LedgerUnavailable, match="withheld"):
            await ledger.settle(settled(first, grant, "0.05"))
        proxy.mend()
        await until_there(Call.objects.filter(id=first.call_id))
        await until_there(Alert.objects.filter(kind="spool_full"))
    assert (await Call.objects.aget(id=first.call_id)).cost_usd == Decimal("0.05")


async def test_without_its_directory_calls_are_refused(proxy, tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    conf = copy(settings())
    conf.SPOOL_DIR, conf.LEDGER_TIMEOUT_S = str(in_the_way), 0.3
    connect = connection_parameters() | proxy.parameters
    ledger = SpoolingLedger(Writer(connect, conf), connect, conf)
    try:
        assert isinstance(await ledger.hold(spooled_hold()), Grant)
        await until(lambda: ledger._rules())
        proxy.cut()
        with pytest.raises(LedgerUnavailable, match="cannot be used"):
            await ledger.hold(spooled_hold())
        assert not ledger.spools
    finally:
        await ledger.stop()


async def test_nothing_in_a_spool_file_can_be_read_by_others(proxy, tmp_path):
    async with spooling(proxy, tmp_path) as ledger:
        proxy.cut()
        hold = spooled_hold(tenant="acme-and-sons")
        await ledger.settle(settled(hold, await ledger.hold(hold), "0.1"))
        [path] = tmp_path.iterdir()
        data = path.read_bytes()
    assert b"acme" not in data and b"hello" not in data and b"cost_usd" not in data
