"""Ledgers with a spool, and files of it, for tests."""

import asyncio
from contextlib import asynccontextmanager
from copy import copy
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from asgiref.sync import sync_to_async
from uuid_utils.compat import uuid7

from budgets.models import Window
from budgets.rules import Scope
from gateway.conf import settings
from gateway.ledger import Writer
from gateway.ledger.database import connection_parameters
from gateway.ledger.partitions import first_id
from gateway.ledger.replay import Replayer, replay_dead
from gateway.ledger.spool_file import HEADER, frame
from gateway.ledger.spooled import Spooled
from gateway.ledger.spooling import SpoolingLedger
from gateway.models import Call
from tests.gateway.ledger.calls import bid_of, hold_of, row_of, settle_of


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


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


@sync_to_async
def rows():
    return list(Call.objects.values_list("outcome", "cost_usd", "spooled"))
