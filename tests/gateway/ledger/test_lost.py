"""Holds that nobody settles in time: lost rows, and settlements that come late."""

from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async

from budgets.models import Window
from gateway.ledger import Grant
from gateway.models import Adjustment, Call
from tests.gateway.ledger.calls import a_writer, bid_of, hold_of, settle_of
from tests.gateway.ledger.stored import a_budget, silence, until, window

pytestmark = pytest.mark.django_db(transaction=True)


async def a_call_that_moves(ledger):
    """A call that was granted model a, and whose hold went on to model b without its learning of it."""
    await a_budget(feature="", model="a")
    await a_budget(feature="", model="b")
    hold = hold_of("0.4", bids=(bid_of("0.4", model="a"),))
    grant = await ledger.hold(hold)
    further = {"moves": True, "spent_usd": Decimal("0.4"), "spent_tokens": 10}
    await ledger.hold(hold_of("0.4", call_id=hold.call_id, bids=(bid_of("0.4", model="b"),), **further))
    return hold, grant


async def test_a_caller_who_leaves_while_the_hold_moves_counts_where_the_row_says():
    async with a_writer() as ledger:
        hold, grant = await a_call_that_moves(ledger)
        settle = settle_of(hold, grant, "0.4", outcome="cancelled", provider="p", model_served="a")
        await ledger.settle(settle)
    for model, spent in (("a", "0"), ("b", "0.4")):
        counted = await window(budget__model=model)
        assert (counted.spent, counted.held) == (Decimal(spent), 0)
    call = await Call.objects.aget()
    assert (call.provider, call.model_served, call.cost_usd) == ("p", "b", Decimal("0.4"))
    assert settle.row["model_served"] == "b"


async def test_a_late_settlement_leaves_a_lost_row_alone_whose_hold_had_moved_unheard():
    async with a_writer() as dead:
        hold, grant = await a_call_that_moves(dead)
        await sync_to_async(silence)(dead.owner)
        async with a_writer(OWNER_HEARTBEAT_S=0.05):
            await until(lambda: Call.objects.filter(outcome="lost").exists())
        await dead.settle(settle_of(hold, grant, "0.4", outcome="cancelled"))
    assert (await window(budget__model="a")).spent == 0
    assert (await window(budget__model="b")).spent == Decimal("0.8")
    call = await Call.objects.aget()
    assert (call.outcome, call.model_served, call.cost_usd) == ("lost", "b", Decimal("0.8"))
    assert not await Adjustment.objects.aexists()


async def test_holds_of_a_dead_owner_become_lost_rows_at_the_held_amount():
    await a_budget()
    async with a_writer() as dead:
        hold = hold_of("0.4", tokens=123)
        grant = await dead.hold(hold)
        await sync_to_async(silence)(dead.owner)
        async with a_writer(OWNER_HEARTBEAT_S=0.05) as alive:
            await until(lambda: Call.objects.filter(outcome="lost").exists())
            lost = await Call.objects.aget()
            assert (lost.cost_usd, lost.total_tokens, lost.usage_estimated) == (Decimal("0.4"), 123, True)
            assert (await window()).spent == Decimal("0.4")
            # The owner was only slow.
            await dead.settle(settle_of(hold, grant, "0.1", tokens=20))
            await dead.settle(settle_of(hold, grant, "0.1", tokens=20))
            assert isinstance(await alive.hold(hold_of("0.9")), Grant)
    assert (await window()).spent == Decimal("0.1")
    adjustment = await Adjustment.objects.aget()
    assert (adjustment.cost_usd, adjustment.tokens, adjustment.outcome) == (Decimal("-0.3"), -103, "ok")


async def test_a_late_settlement_replaces_what_a_lost_row_was_repriced_to():
    await a_budget()
    async with a_writer() as dead:
        hold = hold_of("0.4")
        grant = await dead.hold(hold)
        await sync_to_async(silence)(dead.owner)
        async with a_writer(OWNER_HEARTBEAT_S=0.05):
            await until(lambda: Call.objects.filter(outcome="lost").exists())
        repriced = Adjustment(call_id=hold.call_id, cost_usd=Decimal("-0.1"), price_id=1, reason="x", actor="ada")
        await Adjustment.objects.abulk_create([repriced])
        await Window.objects.aupdate(spent=Decimal("0.3"))
        await dead.settle(settle_of(hold, grant, "0.25", tokens=20))
    assert (await window()).spent == Decimal("0.25")
    late = await Adjustment.objects.aget(actor="ledger")
    assert Decimal("0.4") + repriced.cost_usd + late.cost_usd == Decimal("0.25")


async def test_an_expired_hold_of_a_living_owner_is_lost_too():
    async with a_writer(OWNER_HEARTBEAT_S=0.05) as ledger:
        hold = hold_of("0.4")
        hold.lifetime_s = 0.01
        await ledger.hold(hold)
        await until(lambda: Call.objects.filter(outcome="lost").exists())
