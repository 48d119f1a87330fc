"""A database that stays away: what waits for it in memory is bounded, and what counts is written when it is back."""

import asyncio

import pytest
from asgiref.sync import sync_to_async

from gateway.errors import LedgerUnavailable
from gateway.models import Call, Hold, Payload
from tests.gateway.ledger.calls import a_writer, hold_of, settle_of
from tests.gateway.ledger.spools import until

pytestmark = pytest.mark.django_db(transaction=True)


async def test_of_refused_calls_neither_holds_nor_texts_wait_for_the_database(proxy):
    async with a_writer(proxy, LEDGER_TIMEOUT_S=0.2) as ledger:
        await ledger.hold(hold_of("0.1"))
        proxy.cut()
        # The writer tries this one again and again; the others wait behind it.
        with pytest.raises(LedgerUnavailable):
            await ledger.hold(hold_of("0.1"))
        holds = [hold_of("0.1") for _ in range(40)]
        answers = await asyncio.gather(*map(ledger.hold, holds), return_exceptions=True)
        assert {type(answer) for answer in answers} == {LedgerUnavailable}
        refused = [settle_of(hold, None, "0", outcome="ledger_unavailable") for hold in holds]
        for settle in refused:
            settle.payload = {"messages": [{"role": "user", "content": "x" * 100_000}]}
            ledger.settle(settle)
        assert not any(settle.payload for settle in refused)
        await until(lambda: ledger.state()["queue"] <= len(refused))
        proxy.mend()
        await asyncio.gather(*[settle.answer for settle in refused])
    assert await Call.objects.acount() == 40 and not await Payload.objects.aexists()
    assert await sync_to_async(Hold.objects.count)() == 1
