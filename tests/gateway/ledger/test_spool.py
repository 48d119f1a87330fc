"""Calls that pass while the database is away: each has one row afterwards, and counts once, whatever breaks meanwhile."""

import asyncio
from contextlib import asynccontextmanager
from copy import copy
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.utils import timezone
from uuid_utils.compat import uuid7

from budgets.models import Alert, Budget, Switch, Window
from budgets.rules import Scope
from gateway.conf import settings
from gateway.errors import LedgerUnavailable
from gateway.ledger import Grant, Refusal, Writer
from gateway.ledger.database import connection_parameters
from gateway.ledger.partitions import first_id
from gateway.ledger.replay import Replayer, replay_dead
from gateway.ledger.spool_file import HEADER, SpoolFile, frame, parse
from gateway.ledger.spooled import Spooled
from gateway.ledger.spooling import SpoolingLedger
from gateway.models import Adjustment, Call, Hold, Payload
from tests.gateway.ledger.calls import a_writer, bid_of, hold_of, row_of, settle_of
from tests.proxy import DatabaseProxy

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def proxy(transactional_db):
    with DatabaseProxy() as found:
        yield found


@asynccontextmanager
async def spooling(proxy, directory, **options):
    """A ledger behind the proxy, with the spool in `directory`; its keeper has seen the rules."""
    conf = copy(settings())
    given = {"LEDGER_TIMEOUT_S": 0.3, "OWNER_HEARTBEAT_S": 0.1, "SPOOL_DIR": str(directory), **options}
    for name, value in given.items():
        setattr(conf, name, value)
    connect = connection_parameters() | proxy.parameters
    ledger = SpoolingLedger(Writer(connect, conf), connect, conf)
    try:
        await until(lambda: ledger.spools)
        yield ledger
    finally:
        await ledger.stop()


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


async def until_there(queryset):
    async with asyncio.timeout(20):
        while not await queryset.aexists():
            await asyncio.sleep(0.02)


def spooled_hold(usd="0.4", limit="1", **values):
    return hold_of(usd, spool_limit_usd=Decimal(limit), **values)


def settled(hold, grant, usd, **values):
    settle = settle_of(hold, grant, usd, held_usd=Decimal(usd), **values)
    settle.spools = True
    settle.payload = {"messages": [{"role": "user", "content": "hello"}]}
    return settle


def a_call(usd="0.25", *, at=None, windows=None, done=True, tenant="", **values) -> Spooled:
    """A spooled call as its record would say it."""
    call_id = uuid7()
    if at is not None:
        call_id = UUID(int=first_id(at).int | (7 << 76) | (2 << 62) | (call_id.int & (1 << 62) - 1))
    cost = {"cost_usd": Decimal(usd), "held_usd": Decimal(usd), "provider": "p", "model_served": "m"}
    row = row_of(call_id, spooled=True, outcome="ok" if done else "lost", tenant=tenant, **cost, **values)
    return Spooled(
        call_id=call_id, scope=Scope("f", tenant, "", "", "", "m", "p"), bid=bid_of(usd), row=row, settled=done,
        payload={"messages": []} if done else None, windows=windows,
    )  # fmt: skip


def a_file(directory: Path, *records: bytes, header: bytes = HEADER) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / f"dead-{len(list(directory.iterdir()))}.spool"
    path.write_bytes(header + b"".join(map(frame, records)))
    return path


async def replayed(directory):
    replayer = Replayer(connection_parameters())
    try:
        return await replay_dead(directory, replayer)
    finally:
        await replayer.close()


@sync_to_async
def spent():
    [window] = Window.objects.all()
    assert window.held == 0
    return window.spent


@sync_to_async
def rows():
    return list(Call.objects.values_list("outcome", "cost_usd", "spooled"))


@sync_to_async
def a_budget(**values):
    return Budget.objects.create(**{"feature": "f", "limit": 1, **values})


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


async def test_the_same_records_again_change_nothing(proxy, tmp_path):
    """A crash after the replay's commit and before the file is gone; twice in one file; two files with the same."""
    await a_budget()
    call, begun = a_call("0.1"), a_call("0.4", done=False)
    for _ in range(3):
        a_file(tmp_path, call.record(), begun.record(), call.record())
    await replayed(tmp_path)
    a_file(tmp_path, call.record(), begun.record())
    await replayed(tmp_path)
    assert len(await rows()) == 2 and await spent() == Decimal("0.5")
    assert not await Adjustment.objects.aexists()


async def test_two_that_replay_the_same_calls_at_once_count_them_once(proxy, tmp_path):
    await a_budget(limit=100)
    records = [a_call("0.01").record() for _ in range(50)]
    for name in ("a", "b", "c"):
        a_file(tmp_path / name, *records)
    await asyncio.gather(*(replayed(tmp_path / name) for name in ("a", "b", "c")))
    assert len(await rows()) == 50 and await spent() == Decimal("0.5")


async def test_a_settlement_after_its_call_was_begun_is_the_one_that_counts(proxy, tmp_path):
    await a_budget()
    begun = a_call("0.4", done=False)
    row = {**begun.row, "outcome": "ok", "reason": "", "cost_usd": Decimal("0.1")}
    ended = Spooled(call_id=begun.call_id, scope=begun.scope, bid=begun.bid, row=row, settled=True)
    a_file(tmp_path, begun.record(), ended.record(), begun.record())
    await replayed(tmp_path)
    assert (await rows(), await spent()) == ([("ok", Decimal("0.1"), True)], Decimal("0.1"))


async def test_calls_count_in_the_windows_of_when_they_were_made(proxy, tmp_path):
    await a_budget(period="hour", limit=10)
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    before = datetime.fromtimestamp(hour.timestamp() - 3600, UTC)
    ahead = datetime.fromtimestamp(hour.timestamp() + 7200, UTC)
    moments = (before, before.replace(minute=59, second=59), hour, ahead)
    a_file(tmp_path, *(a_call("0.1", at=at).record() for at in moments))
    await replayed(tmp_path)
    counted = await sync_to_async(lambda: dict(Window.objects.values_list("starts_at", "spent")))()
    # One whose clock was ahead counts now: nobody can spend a window that has not begun.
    now = max(counted)
    assert counted.pop(before) == Decimal("0.2")
    assert sum(counted.values()) == Decimal("0.2") and hour <= now < ahead


async def test_what_does_not_fit_counts_in_full_and_is_told(proxy, tmp_path):
    await a_budget(limit=Decimal("0.5"))
    a_file(tmp_path, *(a_call("0.4").record() for _ in range(3)))
    await replayed(tmp_path)
    assert await spent() == Decimal("1.2")
    exhausted = await Alert.objects.aget(kind="budget_exhausted")
    assert "took the day's budget of 0.5 USD" in exhausted.summary and exhausted.severity == "critical"


async def test_a_torn_tail_is_left_out_loudly(proxy, tmp_path):
    path = a_file(tmp_path, a_call("0.1").record())
    path.write_bytes(path.read_bytes() + frame(a_call("0.2").record())[:-7])
    found = await replayed(tmp_path)
    assert found.damaged and len(await rows()) == 1
    assert (await Alert.objects.aget(kind="spool_damaged")).severity == "critical"
    [copy_of_it] = tmp_path.iterdir()
    assert copy_of_it.name == f"{path.name}.damaged"


async def test_a_call_that_the_database_refuses_stops_no_other_and_is_put_aside(proxy, tmp_path):
    bad = a_call("0.2", error_class="x" * 100)
    path = a_file(tmp_path, a_call("0.1").record(), bad.record(), a_call("0.3").record())
    found = await replayed(tmp_path)
    assert [c.call_id for c in found.rejected] == [bad.call_id]
    assert sorted(cost for _, cost, _ in await rows()) == [Decimal("0.1"), Decimal("0.3")]
    aside = parse((tmp_path / f"{path.name}.rejected").read_bytes())
    assert [Spooled.read(record).call_id for record in aside.records] == [bad.call_id]
    assert await Alert.objects.filter(kind="spool_rejected").aexists()


async def test_rows_of_an_older_release_lack_columns_and_are_written_all_the_same(proxy, tmp_path):
    call = a_call("0.1")
    older = {n: v for n, v in call.row.items() if n not in ("spooled", "variant")} | {"a_column_that_is_gone": 1}
    a_file(tmp_path, Spooled(call_id=call.call_id, scope=call.scope, bid=call.bid, row=older, settled=True).record())
    await replayed(tmp_path)
    assert await rows() == [("ok", Decimal("0.1"), False)]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda d: a_file(d, b"what?", header=b"tollhouse spool 9\n"), "tollhouse spool 9"),
        (lambda d: a_file(d, b"what?"), "cannot be read"),
    ],
)
async def test_a_file_that_cannot_be_read_stays_where_it_is(proxy, tmp_path, make, words):
    path = make(tmp_path)
    a_file(tmp_path, a_call("0.1").record())
    found = await replayed(tmp_path)
    assert found.left == [path.name] and path.exists() and len(await rows()) == 1
    assert words in (await Alert.objects.aget(kind="spool_unreadable")).summary


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


async def test_what_a_process_that_stops_leaves_is_replayed_by_the_next(proxy, tmp_path):
    async with spooling(proxy, tmp_path) as ledger:
        proxy.cut()
        hold = spooled_hold()
        await ledger.settle(settled(hold, await ledger.hold(hold), "0.1"))
    [left] = tmp_path.iterdir()
    assert parse(left.read_bytes()).records
    proxy.mend()
    async with spooling(proxy, tmp_path):
        await until_there(Call.objects.all())
    assert await rows() == [("ok", Decimal("0.1"), True)] and list(tmp_path.iterdir()) == []


async def test_nothing_in_a_spool_file_can_be_read_by_others(proxy, tmp_path):
    async with spooling(proxy, tmp_path) as ledger:
        proxy.cut()
        hold = spooled_hold(tenant="acme-and-sons")
        await ledger.settle(settled(hold, await ledger.hold(hold), "0.1"))
        [path] = tmp_path.iterdir()
        data = path.read_bytes()
    assert b"acme" not in data and b"hello" not in data and b"cost_usd" not in data


def test_the_command_lists_shows_and_replays(proxy, tmp_path, capsys):
    with override_settings(TOLLHOUSE={}), pytest.raises(CommandError, match="SPOOL_DIR is unset"):
        call_command("spool", "list")
    call, begun = a_call("0.1"), a_call("0.4", done=False)
    path = a_file(tmp_path, call.record(), begun.record())
    alive = SpoolFile.create(tmp_path / "alive.spool")
    with override_settings(TOLLHOUSE={"SPOOL_DIR": str(tmp_path)}):
        call_command("spool", "list")
        listed = capsys.readouterr().out.splitlines()
        assert "0 records  its process runs" in listed[0] and "2 records  its process has ended" in listed[1]
        call_command("spool", "show", path.name)
        shown = capsys.readouterr().out
        assert f"{call.call_id}  f  p/m  ok  0.1 USD" in shown and f"{begun.call_id}  f  p/m  under way" in shown
        call_command("spool", "replay")
        assert "2 calls are in the ledger now, 1 of them lost." in capsys.readouterr().out
        a_file(tmp_path, b"?", header=b"tollhouse spool 9\n")
        with pytest.raises(CommandError, match="stay where they are"):
            call_command("spool", "replay")
    alive.close()
    assert Call.objects.count() == 2


def test_a_replay_that_cannot_use_its_files_says_so(proxy, tmp_path):
    (tmp_path / "a.spool").symlink_to(tmp_path / "elsewhere")
    with override_settings(TOLLHOUSE={"SPOOL_DIR": str(tmp_path)}):
        with pytest.raises(CommandError, match="The replay broke off"):
            call_command("spool", "replay")
        # The worker goes on; its other jobs have nothing to do with it.
        call_command("worker", once=True)


def test_the_worker_replays_what_dead_processes_left(proxy, tmp_path):
    a_file(tmp_path, a_call("0.1").record())
    with override_settings(TOLLHOUSE={"SPOOL_DIR": str(tmp_path)}):
        call_command("worker", once=True)
    assert Call.objects.get().spooled
