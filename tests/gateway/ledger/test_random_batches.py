"""Whatever meets in a batch, and however often a batch is run, the books balance after every transaction."""

import random
from collections import Counter
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async

from budgets.models import Bucket, Budget, RateLimit, Window
from gateway.ledger import Grant, Settle, partitions
from gateway.ledger.operations import lost_row
from gateway.ledger.transaction import Transaction
from gateway.models import Adjustment, Call, Hold
from tests.gateway.ledger.calls import bid_of, hold_of, settle_of
from tests.gateway.ledger.test_transaction import link, memory  # noqa: F401  (fixtures)

pytestmark = pytest.mark.django_db(transaction=True)

CENT = Decimal("0.01")
LIMIT = Decimal("0.6")


class Storm:
    """Random operations on random calls. `open` are holds that were granted, with the last grant that their call heard of."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.open = {}
        self.dead = []
        self.unheard = set()

    def batch(self):
        """Some operations; several may be for one call, as the sweep and a call's own settlement are."""
        kinds = [
            self.hold,
            self.hold,
            self.hold,
            self.move,
            self.move,
            self.settle,
            self.settle,
            self.leave,
            self.sweep,
        ]
        found = [self.dice.choice(kinds)() for _ in range(self.dice.randrange(1, 9))]
        found = [op for op in found if op]
        # A call waits for one answer at a time, and settles after all of them.
        waiting, kept = set(), []
        for op in found:
            if isinstance(op, Settle) and op.swept:
                kept.append(op)
            elif op.call_id not in waiting:
                waiting.add(op.call_id)
                kept.append(op)
        return kept

    def bids(self):
        models = self.dice.sample(["m", "n"], self.dice.randrange(1, 3))
        return tuple(
            bid_of(self.dice.randrange(1, 30) * CENT, tokens=self.dice.randrange(1, 40), model=model)
            for model in models
        )

    def hold(self):
        return hold_of(None, bids=self.bids(), tenant=self.dice.choice(["acme", "umbrella"]))

    def move(self):
        if not self.open:
            return None
        hold, grant = self.dice.choice(list(self.open.values()))
        more = {"spent_usd": grant.bid.usd, "spent_tokens": grant.bid.tokens} if self.dice.random() < 0.5 else {}
        return hold_of(
            None, call_id=hold.call_id, bids=self.bids(), tenant=hold.scope.tenant, moves=True,
            beside=self.dice.random() < 0.3, **more,
        )  # fmt: skip

    def settle(self):
        if not (self.open or self.dead):
            return None
        late = self.dead and self.dice.random() < 0.2
        hold, grant = self.dice.choice(self.dead if late else list(self.open.values()) or self.dead)
        # Who left while the hold moved has an attempt behind him that cost nothing, else it would be held on top.
        most = 0 if hold.call_id in self.unheard else int(grant.bid.usd / CENT)
        usd = self.dice.randrange(0, most + 1) * CENT
        served = {"provider": grant.bid.provider, "model_served": grant.bid.model}
        return settle_of(hold, grant, usd, tokens=self.dice.randrange(0, grant.bid.tokens + 1), **served)

    def leave(self):
        if not self.open:
            return None
        hold, _ = self.dice.choice(list(self.open.values()))
        return settle_of(hold, None, 0, tokens=0)

    def sweep(self):
        if not self.open:
            return None
        hold, grant = self.dice.choice(list(self.open.values()))
        row = lost_row(hold.call_id, hold.draft_for(grant.bid))
        return Settle(call_id=hold.call_id, row=row, swept=True)

    def told(self, answers, *, heard):
        """Notes what the calls know now; of a move that was not `heard` the call goes on with what it knew."""
        ended = [op for op, _ in answers if isinstance(op, Settle)]
        for op, answer in answers:
            if isinstance(answer, Grant) and (heard or not op.moves):
                self.open[op.call_id] = op, answer
            elif isinstance(answer, Grant):
                self.unheard.add(op.call_id)
        for op in ended:
            if gone := self.open.pop(op.call_id, None):
                self.dead.append(gone)


async def balanced():
    """What windows and buckets say is what holds, calls and adjustments say."""
    held, places = Counter(), Counter()
    async for hold in Hold.objects.all():
        held.update(dict(zip(hold.windows, hold.amounts, strict=True)))
        places.update(hold.buckets or ())
    windows = [window async for window in Window.objects.select_related("budget")]
    assert {w.pk: w.held for w in windows} == {w.pk: held[w.pk] for w in windows}
    async for bucket in Bucket.objects.all():
        assert bucket.in_flight == places[bucket.pk] <= 6
    usd = [cost async for cost in Call.objects.values_list("cost_usd", flat=True)]
    usd += [cost async for cost in Adjustment.objects.values_list("cost_usd", flat=True)]
    for window in windows:
        if window.budget.each == []:
            assert window.spent == sum(usd)
        elif window.budget.metric == "usd":
            assert window.spent + window.held <= LIMIT


@pytest.mark.parametrize("seed", range(8))
async def test_after_every_batch_windows_and_buckets_say_what_holds_and_calls_say(link, memory, seed):  # noqa: F811
    await sync_to_async(partitions.make_ahead)(1)
    await Budget.objects.acreate(feature="f", limit=1000)
    await Budget.objects.acreate(feature="f", limit=LIMIT, each=["tenant"])
    await Budget.objects.acreate(feature="f", limit=1000, metric="tokens", each=["model"])
    limit = await RateLimit.objects.acreate(feature="f", each="tenant", tokens_per_minute=10**6, concurrent=6)
    storm = Storm(seed)
    for _ in range(40):
        if storm.dice.random() < 0.1:
            await RateLimit.objects.filter(pk=limit.pk).aupdate(active=storm.dice.random() < 0.6)
        batch, heard = storm.batch(), True
        transaction = Transaction(link, memory, repeat=False)
        await transaction.run(batch)
        await balanced()
        if storm.dice.random() < 0.4:
            # The connection broke before anybody heard; some have left since.
            batch = [op for op in batch if isinstance(op, Settle) or storm.dice.random() < 0.7]
            storm.unheard |= {op.call_id for op, _ in transaction.answers if op not in batch}
            heard = storm.dice.random() < 0.5
            transaction = Transaction(link, memory, repeat=True)
            await transaction.run(batch)
            await balanced()
        storm.told(transaction.answers, heard=heard)
