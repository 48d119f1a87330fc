"""What a transaction takes from its memory of the last one, and what it does when that no longer holds."""

from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from uuid_utils.compat import uuid7

from budgets.models import Budget, Switch, Window
from budgets.rules import Rules
from gateway.ledger import Grant, Refusal
from gateway.ledger.database import connection_parameters
from gateway.ledger.link import Link
from gateway.ledger.memory import Memory
from gateway.ledger.transaction import SQL, STATEMENTS, Transaction
from gateway.models import Hold
from tests.gateway.ledger.calls import bid_of, hold_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def link():
    opened = await Link.open(connection_parameters(), STATEMENTS)
    yield opened
    await opened.connection.close()


@pytest.fixture
async def memory(link):
    owner = uuid7()
    await link.connection.execute(SQL["beat"], [owner, "here", 1])
    return Memory(owner=owner, rules=Rules(revision=None, budgets=(), switches=()))


async def hold(link, memory, op):
    transaction = Transaction(link, memory, repeat=False)
    await transaction.run([op])
    [(_, answer)] = transaction.answers
    return answer


async def test_a_window_that_has_ended_since_takes_no_hold(link, memory):
    budget = await Budget.objects.acreate(feature="f", limit=1, period="hour")
    await hold(link, memory, hold_of("0.1"))
    current = await Window.objects.aget()
    # As it stands after an hour in which nobody called.
    hour = timedelta(hours=1)
    earlier = await Window.objects.acreate(budget=budget, starts_at=current.starts_at - hour, ends_at=current.starts_at)
    memory.now -= hour
    memory.windows = {(budget.pk, "", earlier.starts_at): earlier.pk}

    assert isinstance(await hold(link, memory, hold_of("0.2")), Grant)
    await sync_to_async(current.refresh_from_db)()
    await sync_to_async(earlier.refresh_from_db)()
    assert (float(current.held), earlier.held) == (0.3, 0)


async def test_rules_changed_since_count(link, memory):
    await Budget.objects.acreate(feature="f", limit=1)
    assert isinstance(await hold(link, memory, hold_of("0.1")), Grant)
    await Switch.objects.acreate(scope="everything", reason="a test")
    assert isinstance(await hold(link, memory, hold_of("0.1")), Refusal)


async def test_a_hold_that_moves_to_other_windows_leaves_the_first_ones(link, memory):
    await Budget.objects.acreate(model="m", limit=1)
    await Budget.objects.acreate(model="n", limit=1)
    first = hold_of("0.1")
    await hold(link, memory, first)
    await hold(link, memory, hold_of("0.1", bids=(bid_of("0.1", model="n"),)))
    moved = hold_of(None, call_id=first.call_id, bids=(bid_of("0.2", model="n"),), moves=True)
    assert isinstance(await hold(link, memory, moved), Grant)
    held = {window.budget.model: float(window.held) async for window in Window.objects.select_related("budget")}
    assert held == {"m": 0.0, "n": 0.3}
    assert await Hold.objects.acount() == 2


async def test_the_room_of_a_hold_that_moves_is_not_given_away_before_its_turn(link, memory):
    """Where the move is then refused, the hold stays as it was, and must have kept its room."""
    await Budget.objects.acreate(feature="f", limit=1)
    first = hold_of("0.8")
    await hold(link, memory, first)
    other = hold_of("0.5")
    moved = hold_of(None, call_id=first.call_id, bids=(bid_of("1.1"),), moves=True)

    transaction = Transaction(link, memory, repeat=False)
    await transaction.run([other, moved])

    assert [type(answer) for _, answer in transaction.answers] == [Refusal, Refusal]
    assert float((await Window.objects.aget()).held) == 0.8
