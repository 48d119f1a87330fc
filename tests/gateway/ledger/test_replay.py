"""Spooled calls enter the ledger once, from files that are whole, torn, old or unreadable."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.utils import timezone

from budgets.models import Alert, Window
from gateway.ledger.spool_file import SpoolFile, frame, parse
from gateway.ledger.spooled import Spooled
from gateway.models import Adjustment, Call
from tests.gateway.ledger.spools import (
    a_call,
    a_file,
    replayed,
    rows,
    settled,
    spent,
    spooled_hold,
    spooling,
    until_there,
)
from tests.gateway.ledger.stored import a_budget

pytestmark = pytest.mark.django_db(transaction=True)


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
