"""A process that spends: holds and settles random amounts, until it has done its share or is killed.

python -m tests.gateway.ledger.spender SEED CALLS CONCURRENCY
"""

import asyncio
import os
import random
import sys
from decimal import Decimal

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from gateway.errors import LedgerUnavailable  # noqa: E402
from gateway.ledger import Grant  # noqa: E402
from tests.gateway.ledger.calls import a_writer, hold_of, settle_of  # noqa: E402


async def spend(seed: int, calls: int, concurrency: int) -> None:
    dice = random.Random(seed)
    slots = asyncio.Semaphore(concurrency)

    async def call(ledger):
        async with slots:
            most = Decimal(dice.randrange(1, 50_000_000)) / 10**9
            hold = hold_of(most, tokens=dice.randrange(1, 100))
            try:
                grant = await ledger.hold(hold)
            except LedgerUnavailable:
                grant = None
            await asyncio.sleep(dice.random() * 0.02)
            if isinstance(grant, Grant):
                cost = (most * Decimal(dice.random())).quantize(Decimal("1e-9"))
                await ledger.settle(settle_of(hold, grant, cost, tokens=dice.randrange(1, 100)))
            else:
                outcome = "refused_budget" if grant else "ledger_unavailable"
                await ledger.settle(settle_of(hold, None, 0, tokens=0, outcome=outcome))

    async with a_writer() as ledger:
        await asyncio.gather(*(call(ledger) for _ in range(calls)))


if __name__ == "__main__":
    asyncio.run(spend(*map(int, sys.argv[1:])))
