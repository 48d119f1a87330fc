"""Transactions that are decided on what the last ones left: what they cost, and that they notice whatever has changed since."""

import asyncio
import random
from datetime import timedelta
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from budgets.models import Alert, BudgetRaise, Switch, Window
from gateway.ledger import Grant, Refusal, partitions
from gateway.ledger import memory as remembered
from gateway.ledger.memory import Memory
from gateway.ledger.transaction import Transaction
from gateway.models import Call, Hold, Payload
from tests.gateway.ledger.calls import a_writer, bid_of, hold_of, settle_of
from tests.gateway.ledger.stored import a_budget
from tests.gateway.ledger.test_many_budgets import link, memory  # noqa: F401  (fixtures)
from tests.gateway.ledger.test_races import swept

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def partitions_are_there(transactional_db):
    await sync_to_async(partitions.make_ahead)(1)


async def run(link, memory, *operations):  # noqa: F811
    """The answers, and how many round trips it took."""
    link.reset()
    transaction = Transaction(link, memory, repeat=False)
    await transaction.run(operations)
    answers = dict(transaction.answers)
    return [answers[op] for op in operations], link.bursts


async def figures(budget):
    found = await Window.objects.aget(budget=budget)
    return float(found.spent), float(found.held)


async def warm(link, memory):  # noqa: F811
    """A budget of 1 dollar, of whose window the memory knows how it was left."""
    budget = await a_budget(limit=1)
    await run(link, memory, hold_of("0.1"))
    return budget


async def test_holds_and_settlements_take_one_round_trip(link, memory):  # noqa: F811
    budget = await warm(link, memory)
    first, second, third = (hold_of("0.1") for _ in range(3))
    [grant], trips = await run(link, memory, first)
    assert trips == 1 and await figures(budget) == (0, 0.2)
    settled = settle_of(first, grant, "0.03")
    settled.payload = {"messages": []}
    [_, *grants], trips = await run(link, memory, settled, second, third)
    assert trips == 1 and await figures(budget) == (0.03, 0.3)
    _, trips = await run(
        link, memory, *(settle_of(op, g, "0.05") for op, g in zip((second, third), grants, strict=True))
    )
    assert trips == 1 and await figures(budget) == (0.13, 0.1)
    costs = [float(call.cost_usd) async for call in Call.objects.order_by("id")]
    assert (costs, await Hold.objects.acount(), await Payload.objects.acount()) == ([0.03, 0.05, 0.05], 1, 1)


async def test_a_call_without_a_budget_takes_one_round_trip_each(link, memory):  # noqa: F811
    await a_budget(limit=1, feature="another")
    await run(link, memory, hold_of("0.1"))
    op = hold_of("0.1")
    [grant], trips = await run(link, memory, op)
    assert trips == 1
    assert (await run(link, memory, settle_of(op, grant, "0.1")))[1] == 1
    assert await Call.objects.acount() == 1


async def test_a_window_that_somebody_else_changed_is_read_anew(link, memory):  # noqa: F811
    budget = await warm(link, memory)
    await Window.objects.aupdate(spent=Decimal("0.85"))
    [answer], _ = await run(link, memory, hold_of("0.1"))
    assert isinstance(answer, Refusal) and "0.05 left" in answer.reason
    await Window.objects.aupdate(spent=Decimal("0.5"))
    [answer], _ = await run(link, memory, hold_of("0.1"))
    assert isinstance(answer, Grant) and await figures(budget) == (0.5, 0.2)


async def test_where_others_spend_too_nothing_is_tried_in_vain(link, memory):  # noqa: F811
    """As long as somebody else changes the window every time, a hold takes as many round trips as it does with a look first."""
    await warm(link, memory)
    trips = []
    for number in range(6):
        await Window.objects.aupdate(spent=Decimal(number) / 1000)
        trips.append((await run(link, memory, hold_of("0.01")))[1])
    assert trips[2:] == [2, 2, 2, 2]
    assert (await run(link, memory, hold_of("0.01")))[1] == 2
    assert (await run(link, memory, hold_of("0.01")))[1] == 1


async def test_the_cap_is_held_without_a_look_too(link, memory):  # noqa: F811
    budget = await warm(link, memory)
    answers = [(await run(link, memory, hold_of("0.2")))[0][0] for _ in range(6)]
    assert [type(answer) for answer in answers] == [Grant] * 4 + [Refusal] * 2
    assert await figures(budget) == (0, 0.9)
    assert await Alert.objects.filter(kind="budget_exhausted").acount() == 1


async def test_a_threshold_is_told_when_it_is_crossed(link, memory):  # noqa: F811
    budget = await warm(link, memory)
    op = hold_of("0.75")
    [grant], _ = await run(link, memory, op)
    await run(link, memory, settle_of(op, grant, "0.75"))
    assert await Alert.objects.filter(kind="budget_threshold").acount() == 1
    assert await figures(budget) == (0.75, 0.1)


async def test_a_switch_made_since_stops(link, memory):  # noqa: F811
    await warm(link, memory)
    await Switch.objects.acreate(scope="everything", reason="a test")
    [answer], _ = await run(link, memory, hold_of("0.1"))
    assert isinstance(answer, Refusal) and answer.by == "switch"


async def test_a_raise_that_is_over_since_gives_no_room(link, memory):  # noqa: F811
    """It was in force at the moment that the memory is of."""
    budget = await a_budget(limit=1)
    ends = timezone.now() + timedelta(seconds=1)
    await BudgetRaise.objects.acreate(budget=budget, amount=1, expires_at=ends, reason="a test", by="ada")
    await run(link, memory, hold_of("0.9"))
    await asyncio.sleep((ends - timezone.now()).total_seconds() + 0.05)
    [answer], _ = await run(link, memory, hold_of("0.9"))
    assert isinstance(answer, Refusal) and answer.by == "budget"
    assert await figures(budget) == (0, 0.9)


async def test_a_hold_that_was_swept_since_is_corrected(link, memory):  # noqa: F811
    budget = await warm(link, memory)
    op = hold_of("0.1")
    [grant], _ = await run(link, memory, op)
    # Another process, which saw that it was over.
    other = Memory(owner=memory.owner, rules=memory.rules)
    await run(link, other, swept(op))
    await run(link, memory, settle_of(op, grant, "0.02"))
    assert await figures(budget) == (0.02, 0.1)
    assert (await Call.objects.aget()).outcome == "lost"


async def test_a_hold_that_moved_without_its_calls_knowing_is_settled_where_it_is(link, memory):  # noqa: F811
    budget = await a_budget(limit=1)
    op = hold_of("0.1")
    [grant], _ = await run(link, memory, op)
    await run(link, memory, hold_of(None, call_id=op.call_id, bids=(bid_of("0.1", model="n"),), moves=True))
    await run(link, memory, settle_of(op, grant, "0.02", provider="p", model_served="m"))
    assert (await Call.objects.aget()).model_served == "n"
    assert await figures(budget) == (0.02, 0)


async def test_an_unknown_hold_of_a_call_that_was_not_admitted_is_freed(link, memory):  # noqa: F811
    """Its caller left before the answer to its hold came, which the database has committed."""
    budget = await warm(link, memory)
    op = hold_of("0.1")
    await run(link, memory, op)
    await run(link, memory, settle_of(op, None, "0", outcome="cancelled"))
    assert await figures(budget) == (0, 0.1)
    assert await Hold.objects.acount() == 1


async def test_what_is_remembered_is_bounded(link, memory, monkeypatch):  # noqa: F811
    monkeypatch.setattr(remembered, "MOST_WINDOWS", 10)
    monkeypatch.setattr(remembered, "MOST_LEFT", 5)
    await a_budget(limit=1, each="tenant")
    for number in range(20):
        await run(link, memory, hold_of("0.1", tenant=f"t{number}"))
        assert len(memory.windows) <= 10 and len(memory.left) <= 5
    # What was used last is known.
    assert (await run(link, memory, hold_of("0.1", tenant="t19")))[1] == 1


async def test_writers_that_take_turns_and_meet_balance():
    """Three writers on two windows, each alone for a while; whatever each remembers, the books are right in the end."""
    one, two = await a_budget(limit=100), await a_budget(limit=100, feature="")
    seeds = random.Random(7)

    async def spend(writer, calls):
        for _ in range(calls):
            op = hold_of("0.2")
            grant = await writer.hold(op)
            await writer.settle(settle_of(op, grant, Decimal(seeds.randrange(200)) / 1000))

    async with a_writer() as a, a_writer() as b, a_writer() as c:
        for _ in range(12):
            few = seeds.sample([a, b, c], seeds.choice([1, 1, 2, 3]))
            await asyncio.gather(*(spend(writer, seeds.randrange(1, 8)) for writer in few for _ in range(2)))
    total = float(sum([call.cost_usd async for call in Call.objects.all()], Decimal(0)))
    for budget in (one, two):
        assert await figures(budget) == (pytest.approx(total, abs=1e-12), 0)
    assert await Hold.objects.acount() == 0
