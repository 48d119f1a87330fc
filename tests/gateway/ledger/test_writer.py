"""Holds, settlements and what the database says afterwards."""

import asyncio
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async

from budgets.models import Alert, Budget, Switch, Window
from gateway.errors import LedgerUnavailable
from gateway.ledger import Grant, Refusal
from gateway.models import Call, Hold
from tests.gateway.ledger.calls import a_writer, bid_of, hold_of, row_of, settle_of
from tests.gateway.ledger.stored import a_budget, drop_partitions, execute, rows, window

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_hold_sets_its_amount_aside_and_its_settlement_replaces_it():
    await a_budget()
    async with a_writer() as ledger:
        hold = hold_of("0.4")
        grant = await ledger.hold(hold)
        assert isinstance(grant, Grant)
        held = await window()
        assert (held.spent, held.held) == (0, Decimal("0.4"))
        await ledger.settle(settle_of(hold, grant, "0.123456789"))
    settled = await window()
    assert (settled.spent, settled.held) == (Decimal("0.123456789"), 0)
    [call] = await rows(Call.objects.all())
    assert (call.outcome, call.cost_usd) == ("ok", Decimal("0.123456789"))
    assert await rows(Hold.objects.all()) == []


async def test_a_call_that_does_not_fit_is_refused_with_what_is_left():
    await a_budget()
    async with a_writer() as ledger:
        assert isinstance(await ledger.hold(hold_of("0.7")), Grant)
        refusal = await ledger.hold(hold_of("0.300000001"))
        assert isinstance(refusal, Refusal) and refusal.by == "budget"
        assert "has 0.3 left" in refusal.reason
        assert isinstance(await ledger.hold(hold_of("0.3")), Grant)
    [alert] = await rows(Alert.objects.all())
    assert alert.kind == "budget_exhausted"


async def test_concurrent_holds_of_one_process_never_pass_the_limit():
    await a_budget(limit=Decimal("1"))
    async with a_writer() as ledger:
        answers = await asyncio.gather(*(ledger.hold(hold_of("0.03")) for _ in range(100)))
    assert sum(isinstance(a, Grant) for a in answers) == 33
    assert (await window()).held == Decimal("0.99")


async def test_a_free_call_passes_an_exhausted_budget():
    await a_budget(limit=0)
    async with a_writer() as ledger:
        assert isinstance(await ledger.hold(hold_of("0")), Grant)
        assert isinstance(await ledger.hold(hold_of("0.000000001")), Refusal)


async def test_several_budgets_admit_all_or_none():
    await a_budget(limit=10)
    await a_budget(feature="", tenant="acme", limit=1)
    await a_budget(feature="", metric="tokens", limit=1000)
    await a_budget(feature="", metric="calls", limit=2, period="hour")
    async with a_writer() as ledger:
        assert isinstance(await ledger.hold(hold_of("0.9", tenant="acme")), Grant)
        refusal = await ledger.hold(hold_of("0.9", tenant="acme"))
        assert isinstance(refusal, Refusal) and refusal.budget.scope.tenant == "acme"
        assert isinstance(await ledger.hold(hold_of("0.9", tenant="other")), Grant)
        refusal = await ledger.hold(hold_of("0.1", tenant="other"))
        assert refusal.budget.metric == "calls"
    held = {w.budget.metric + w.budget.tenant: w.held for w in await rows(Window.objects.select_related("budget"))}
    assert held == {"usd": Decimal("1.8"), "usdacme": Decimal("0.9"), "tokens": 20, "calls": 2}


async def test_an_unpriced_call_cannot_pass_a_budget_in_dollars():
    await a_budget()
    async with a_writer() as ledger:
        refusal = await ledger.hold(hold_of(None))
        assert isinstance(refusal, Refusal) and refusal.by == "price"
        assert isinstance(await ledger.hold(hold_of(None, feature="g")), Grant)


async def test_a_switch_is_in_force_on_the_next_hold_and_its_reason_is_told():
    async with a_writer() as ledger:
        assert isinstance(await ledger.hold(hold_of("1")), Grant)
        switch = await Switch.objects.acreate(scope="feature", value="f", reason="it went wild")
        refusal = await ledger.hold(hold_of("1"))
        assert isinstance(refusal, Refusal) and refusal.by == "switch"
        assert "it went wild" in refusal.reason
        await Switch.objects.filter(pk=switch.pk).aupdate(lifted_at="2026-01-01T00:00Z")
        assert isinstance(await ledger.hold(hold_of("1")), Grant)


@pytest.mark.parametrize("scope, value", [("everything", ""), ("tenant", "t"), ("provider", "p"), ("model", "m")])
async def test_every_scope_of_a_switch_stops_its_calls_only(scope, value):
    await Switch.objects.acreate(scope=scope, value=value, reason="no")
    async with a_writer() as ledger:
        assert isinstance(await ledger.hold(hold_of("1", tenant="t")), Refusal)
        other = hold_of("1", tenant="u", bids=(bid_of("1", provider="q", model="n"),))
        assert isinstance(await ledger.hold(other), Refusal if scope == "everything" else Grant)


async def test_the_first_target_that_is_allowed_and_fits_wins():
    await a_budget(feature="", model="dear", limit=1)
    await Switch.objects.acreate(scope="model", value="off", reason="no")
    bids = (bid_of("0.1", model="off"), bid_of("2", model="dear"), bid_of("0.5", model="cheap"))
    async with a_writer() as ledger:
        grant = await ledger.hold(hold_of("0", bids=bids))
        assert grant.bid.model == "cheap"
        assert grant.windows == ()


async def test_a_raised_limit_counts_on_the_next_call():
    budget = await a_budget(limit=1)
    async with a_writer() as ledger:
        assert isinstance(await ledger.hold(hold_of("2")), Refusal)
        await Budget.objects.filter(pk=budget.pk).aupdate(limit=3)
        assert isinstance(await ledger.hold(hold_of("2")), Grant)
        await Budget.objects.filter(pk=budget.pk).aupdate(active=False)
        assert isinstance(await ledger.hold(hold_of("20")), Grant)


async def test_a_moved_hold_replaces_the_earlier_one_and_stays_when_it_is_refused():
    await a_budget(limit=1)
    async with a_writer() as ledger:
        first = hold_of("0.4")
        assert isinstance(await ledger.hold(first), Grant)
        moved = hold_of("0.4", call_id=first.call_id, moves=True, spent_usd=Decimal("0.4"), spent_tokens=10)
        grant = await ledger.hold(moved)
        assert isinstance(grant, Grant)
        assert (await window()).held == Decimal("0.8")
        again = hold_of("0.4", call_id=first.call_id, moves=True, spent_usd=Decimal("0.8"), spent_tokens=20)
        assert isinstance(await ledger.hold(again), Refusal)
        assert (await window()).held == Decimal("0.8")
        await ledger.settle(settle_of(first, grant, "0.5"))
    settled = await window()
    assert (settled.spent, settled.held) == (Decimal("0.5"), 0)


async def test_a_call_that_left_before_its_hold_was_granted_counts_nothing():
    await a_budget(metric="calls", limit=10)
    async with a_writer() as ledger:
        hold = hold_of("0.4")
        await ledger.hold(hold)
        await ledger.settle(settle_of(hold, None, "0", tokens=0, outcome="cancelled"))
    counted = await window()
    assert (counted.spent, counted.held) == (0, 0)
    assert await Call.objects.acount() == 1


async def test_settling_twice_counts_once():
    await a_budget()
    async with a_writer() as ledger:
        hold = hold_of("0.4")
        grant = await ledger.hold(hold)
        await ledger.settle(settle_of(hold, grant, "0.1"))
        await ledger.settle(settle_of(hold, grant, "0.1"))
    assert (await window()).spent == Decimal("0.1")
    assert await Call.objects.acount() == 1


async def test_an_alert_is_raised_once_when_the_soft_threshold_is_crossed():
    await a_budget(soft_percent=70)
    async with a_writer() as ledger:
        for _ in range(9):
            hold = hold_of("0.1")
            await ledger.settle(settle_of(hold, await ledger.hold(hold), "0.1"))
    [alert] = await rows(Alert.objects.all())
    assert alert.kind == "budget_threshold"
    assert alert.summary.startswith("70% of")


async def test_an_overrun_counts_in_full_and_is_told():
    await a_budget()
    async with a_writer() as ledger:
        hold = hold_of("0.4")
        grant = await ledger.hold(hold)
        await ledger.settle(settle_of(hold, grant, "1.5", overrun_usd=Decimal("1.1")))
        assert isinstance(await ledger.hold(hold_of("0.1")), Refusal)
    assert (await window()).spent == Decimal("1.5")
    assert "overrun" in {a.kind for a in await rows(Alert.objects.all())}


async def test_a_row_that_the_database_refuses_spoils_no_other():
    async with a_writer() as ledger:
        holds = [hold_of("0.1") for _ in range(5)]
        grants = await asyncio.gather(*(ledger.hold(h) for h in holds))
        settles = [settle_of(h, g, "0.1") for h, g in zip(holds, grants, strict=True)]
        settles[2].row["outcome"] = "no such outcome"
        answers = await asyncio.gather(*(ledger.settle(s) for s in settles), return_exceptions=True)
    assert [type(a).__name__ for a in answers] == ["NoneType", "NoneType", "LedgerUnavailable", "NoneType", "NoneType"]
    assert await Call.objects.acount() == 4


async def test_the_ledger_goes_on_when_its_prepared_statements_are_gone():
    async with a_writer() as ledger:
        first = hold_of("0.1")
        grant = await ledger.hold(first)
        assert ledger._link is not None
        await ledger._link.connection.execute("DEALLOCATE ALL")
        await ledger.settle(settle_of(first, grant, "0.1"))
        assert isinstance(await ledger.hold(hold_of("0.1")), Grant)
    assert len(await rows(Call.objects.all())) == 1


async def test_a_spoiled_batch_after_many_heartbeats_leaves_the_ledger_working():
    """A rollback makes psycopg forget what it prepared; the ledger's own statements have to stay."""
    async with a_writer(OWNER_HEARTBEAT_S=0.001) as ledger:
        for _ in range(20):
            assert isinstance(await ledger.hold(hold_of("0.1")), Grant)
            await asyncio.sleep(0.005)
        spoiled = hold_of("0.1")
        with pytest.raises(LedgerUnavailable):
            await ledger.settle(settle_of(spoiled, await ledger.hold(spoiled), "0.1", outcome="no such outcome"))
        assert isinstance(await ledger.hold(hold_of("0.1")), Grant)


async def test_partitions_are_made_at_need():
    async with a_writer() as ledger:
        hold = hold_of("0.1")
        grant = await ledger.hold(hold)
        await sync_to_async(drop_partitions)()
        settle = settle_of(hold, grant, "0.1")
        settle.payload = {"messages": [{"role": "user", "content": "hello"}]}
        await ledger.settle(settle)
    assert await Call.objects.acount() == 1


async def test_refusals_leave_rows_and_hold_nothing():
    async with a_writer() as ledger:
        hold = hold_of("0.1")
        refused = settle_of(hold, None, "0", outcome="refused_budget", reason="no room")
        await ledger.settle(refused)
    call = await Call.objects.aget()
    assert (call.outcome, call.reason) == ("refused_budget", "no room")
    assert row_of(call.id)["held_usd"] is None


async def test_a_hold_that_was_granted_stays_when_the_rest_of_its_spoiled_batch_is_repeated():
    await a_budget()
    await execute("""
        CREATE FUNCTION slow_or_refused() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.reason = 'refused' THEN RAISE EXCEPTION 'refused'; END IF;
            IF NEW.reason = 'slow' THEN PERFORM pg_advisory_xact_lock(77); END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER slow_or_refused BEFORE INSERT ON tollhouse_call FOR EACH ROW EXECUTE FUNCTION slow_or_refused()
    """)
    try:
        async with a_writer() as ledger:
            await ledger.hold(hold_of("0", feature="other"))
            await execute("SELECT pg_advisory_lock(77)")
            granted = asyncio.ensure_future(ledger.hold(hold := hold_of("0.9")))
            other = asyncio.ensure_future(ledger.hold(hold_of("0", feature="other")))
            await asyncio.sleep(0)
            refused = ledger.settle(settle_of(hold_of("0"), None, "0", reason="refused"))
            slow = ledger.settle(settle_of(hold_of("0"), None, "0", reason="slow"))
            assert isinstance(await granted, Grant) and isinstance(await other, Grant)
            with pytest.raises(LedgerUnavailable):
                await refused
            await sync_to_async(Switch.objects.create)(scope="everything", reason="now")
            await execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE wait_event = 'advisory' AND datname = current_database()"
            )
            await execute("SELECT pg_advisory_unlock(77)")
            await slow
            assert hold.call_id in await rows(Hold.objects.values_list("call_id", flat=True))
            assert (await window()).held == Decimal("0.9")
    finally:
        await execute("SELECT pg_advisory_unlock_all(); DROP FUNCTION slow_or_refused() CASCADE")


async def test_windows_that_somebody_deleted_are_made_again():
    await a_budget()
    async with a_writer() as ledger:
        for _ in range(2):
            hold = hold_of("0.4")
            grant = await ledger.hold(hold)
            assert isinstance(grant, Grant)
            await ledger.settle(settle_of(hold, grant, "0.4"))
            await execute("DELETE FROM tollhouse_window")
