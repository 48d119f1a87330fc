"""Rate limits in the ledger's transaction: what is taken, what is given back, and that nothing is taken twice."""

import asyncio

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from budgets.models import Bucket, Budget, RateLimit, Switch, Window
from budgets.rates import PARTS
from gateway.ledger import Grant, Refusal, partitions
from gateway.ledger.buckets import forget_idle
from gateway.ledger.link import Link
from gateway.ledger.transaction import Transaction
from gateway.models import Call, Hold
from tests.gateway.ledger.calls import a_writer, bid_of, hold_of, settle_of
from tests.gateway.ledger.stored import until
from tests.gateway.ledger.test_overspend import expire_everything
from tests.gateway.ledger.test_transaction import link, memory  # noqa: F401  (fixtures)

pytestmark = pytest.mark.django_db(transaction=True)

#: 60 requests and 120 tokens, so slow that a test sees no refill.
SLOW = {"requests_per_minute": 1, "tokens_per_minute": 2, "concurrent": 2, "burst_s": 3600}
#: As many requests as there are minutes in `burst_s`, and nothing else.
FEW = {"tokens_per_minute": None, "concurrent": None}


@pytest.fixture(autouse=True)
async def partitions_are_there(transactional_db):
    await sync_to_async(partitions.make_ahead)(1)


async def limit(**values):
    return await RateLimit.objects.acreate(**{"feature": "f", **SLOW, **values})


async def levels():
    """Whole requests and tokens left, and calls under way, by value."""
    return {
        b.value: (_whole(b.requests_level), _whole(b.tokens_level), b.in_flight) async for b in Bucket.objects.all()
    }


def _whole(level):
    return None if level is None else level // PARTS


async def run(link, memory, *operations, repeat=False):  # noqa: F811
    transaction = Transaction(link, memory, repeat=repeat)
    await transaction.run(operations)
    return [answer for _, answer in transaction.answers]


async def test_a_call_takes_its_most_and_gives_back_what_it_did_not_use(link, memory):  # noqa: F811
    await limit()
    hold = hold_of("0.1", tokens=60)
    [grant] = await run(link, memory, hold)
    assert await levels() == {"": (59, 60, 1)}
    assert (grant.rates.requests.remaining, grant.rates.tokens.remaining) == (59, 60)
    assert (grant.rates.requests.limit, grant.rates.tokens.limit) == (60, 120)
    await run(link, memory, settle_of(hold, grant, "0.1", tokens=15))
    assert await levels() == {"": (59, 105, 0)}


async def test_refusals_say_what_is_lacking_and_hold_nothing(link, memory):  # noqa: F811
    await limit()
    await Budget.objects.acreate(feature="f", limit=1)
    [first] = await run(link, memory, hold_of("0.1", tokens=80))
    [tokens] = await run(link, memory, hold_of("0.1", tokens=80))
    [never] = await run(link, memory, hold_of("0.1", tokens=121))
    await run(link, memory, hold_of("0.1", tokens=0))
    [place] = await run(link, memory, hold_of("0.1", tokens=0))
    assert isinstance(first, Grant)
    assert (tokens.by, tokens.shortage.of) == ("rate", "tokens") and 1000 < tokens.shortage.wait_s <= 1200
    assert "2 tokens a minute for feature f" in tokens.reason and "may need 80" in tokens.reason
    assert (never.shortage.of, never.shortage.wait_s) == ("tokens", None)
    assert "never lets more than 120 through at once" in never.reason
    assert (place.shortage.of, place.shortage.wait_s) == ("concurrent", 1.0)
    assert (await Window.objects.aget()).held == first.bid.usd * 2
    assert await levels() == {"": (58, 40, 2)} and await Hold.objects.acount() == 2


async def test_what_a_budget_or_switch_refuses_takes_nothing(link, memory):  # noqa: F811
    await limit()
    await Budget.objects.acreate(feature="f", limit="0.1")
    [over] = await run(link, memory, hold_of("0.2"))
    await Switch.objects.acreate(scope="everything", reason="a test")
    [off] = await run(link, memory, hold_of("0.1"))
    assert (over.by, off.by) == ("budget", "switch")
    assert await levels() == {"": (None, None, 0)}


async def test_of_a_batch_no_more_than_fit_pass(link, memory):  # noqa: F811
    await limit(**FEW, burst_s=180)
    answers = await run(link, memory, *(hold_of("0.1") for _ in range(10)))
    assert [isinstance(answer, Grant) for answer in answers] == [True] * 3 + [False] * 7
    assert await levels() == {"": (0, None, 3)}


async def test_each_value_has_a_bucket_of_its_own(link, memory):  # noqa: F811
    await limit(each="tenant", **FEW, burst_s=60)
    answers = await run(link, memory, *(hold_of("0.1", tenant=t) for t in ("a", "b", "a", "", "")))
    assert [isinstance(answer, Grant) for answer in answers] == [True, True, False, True, False]
    assert "each tenant" in answers[2].reason
    assert await levels() == {"a": (0, None, 1), "b": (0, None, 1), "": (0, None, 1)}
    # From memory, in one round trip.
    [again] = await run(link, memory, hold_of("0.1", tenant="b"))
    assert again.shortage.of == "requests"


async def test_a_call_is_under_all_limits_that_match_it(link, memory):  # noqa: F811
    await limit(**FEW, burst_s=120)
    await limit(feature="", tenant="a", **FEW, burst_s=60)
    answers = await run(link, memory, *(hold_of("0.1", tenant=t) for t in ("a", "a", "b", "b")))
    assert [isinstance(answer, Grant) for answer in answers] == [True, False, True, False]
    assert answers[0].rates.requests[:2] == (1, 0)


async def test_a_hold_that_moves_takes_its_request_once_and_the_tokens_that_are_more(link, memory):  # noqa: F811
    await limit(concurrent=1)
    first = hold_of("0.1", tokens=60)
    await run(link, memory, first)
    moved = hold_of(
        None, call_id=first.call_id, bids=(bid_of("0.1", tokens=30, model="n"),), moves=True, spent_tokens=60
    )
    [grant] = await run(link, memory, moved)
    assert isinstance(grant, Grant) and await levels() == {"": (59, 30, 1)}
    too_much = hold_of(None, call_id=first.call_id, bids=(bid_of("0.1", tokens=65),), moves=True, spent_tokens=60)
    [refusal] = await run(link, memory, too_much)
    assert refusal.shortage.of == "tokens" and await levels() == {"": (59, 30, 1)}
    await run(link, memory, settle_of(first, grant, "0.1", tokens=70))
    assert await levels() == {"": (59, 50, 0)}


async def test_a_batch_that_is_repeated_takes_nothing_twice(link, memory):  # noqa: F811
    await limit()
    kept, done = hold_of("0.1", tokens=20), hold_of("0.1", tokens=30)
    [_, grant] = await run(link, memory, kept, done)
    settle = settle_of(done, grant, "0.1", tokens=10)
    await run(link, memory, settle)
    assert await levels() == {"": (58, 90, 1)}
    [_, again] = await run(link, memory, kept, settle, repeat=True)
    assert await levels() == {"": (58, 90, 1)} and await Call.objects.acount() == 1
    assert isinstance(again, Grant)
    # Nobody was told of the hold, and there is no leave for it any more: all that it took comes back.
    await Switch.objects.acreate(scope="everything", reason="a test")
    [refusal] = await run(link, memory, kept, repeat=True)
    assert refusal.by == "switch" and await levels() == {"": (59, 110, 0)}


async def test_a_limit_counts_from_the_next_call_on_and_not_after_it_was_switched_off(link, memory):  # noqa: F811
    first = hold_of("0.1")
    [unlimited] = await run(link, memory, first)
    made = await limit(concurrent=1)
    second = hold_of("0.1", tokens=60)
    [grant, refusal] = await run(link, memory, second, hold_of("0.1"))
    assert unlimited.rates is None and isinstance(refusal, Refusal)
    await run(link, memory, settle_of(first, unlimited, "0.1"))
    assert await levels() == {"": (59, 60, 1)}
    await RateLimit.objects.filter(pk=made.pk).aupdate(active=False)
    [free] = await run(link, memory, hold_of("0.1", tokens=5000))
    assert isinstance(free, Grant) and free.rates is None
    await run(link, memory, settle_of(second, grant, "0.1", tokens=0))
    assert (await levels())[""][2] == 0, "the place is free again, whatever became of the limit"


async def test_calls_under_way_end_well_after_their_limit_was_deleted(link, memory):  # noqa: F811
    made = await limit()
    first, second = hold_of("0.1"), hold_of("0.1")
    grants = await run(link, memory, first, second)
    await made.adelete()
    await run(link, memory, settle_of(first, grants[0], "0.1"))
    await run(link, memory, settle_of(second, None, "0.1", outcome="cancelled"))
    assert await Hold.objects.acount() == 0 and await Call.objects.acount() == 2


async def test_buckets_that_were_idle_for_a_day_are_forgotten_and_made_again(link, memory):  # noqa: F811
    await limit(each="tenant")
    hold = hold_of("0.1", tenant="idle")
    [grant] = await run(link, memory, hold)
    await run(link, memory, hold_of("0.1", tenant="under way"))
    await run(link, memory, settle_of(hold, grant, "0.1"))
    await run(link, memory, settle_of(hold_of("0.1"), None, 0, outcome="refused_rate"))
    await sync_to_async(_age)()
    await sync_to_async(forget_idle)()
    assert list(await levels()) == ["under way"]
    # The writer remembers an id that is gone.
    [again] = await run(link, memory, hold_of("0.1", tenant="idle"))
    assert isinstance(again, Grant) and (await levels())["idle"] == (59, 110, 1)


async def test_a_writer_gets_over_a_bucket_that_is_gone_whatever_comes_with_it():
    await limit(each="tenant")
    async with a_writer() as writer:
        hold = hold_of("0.1", tenant="idle")
        await writer.settle(settle_of(hold, await writer.hold(hold), "0.1"))
        await sync_to_async(_age)()
        await sync_to_async(forget_idle)()
        answers = await asyncio.gather(*(writer.hold(hold_of("0.1", tenant=t)) for t in ("idle", "new", "idle")))
        assert all(isinstance(answer, Grant) for answer in answers)
    assert {value: (left, under_way) for value, (left, _, under_way) in (await levels()).items()} == {
        "idle": (58, 2),
        "new": (59, 1),
    }


def _age():
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tollhouse_bucket SET refilled_at = refilled_at - interval '25 hours'")


async def test_without_limits_there_is_no_statement_for_them(link, memory):  # noqa: F811
    seen = []

    class Watched(Link):
        def send(self, *statements):
            seen.extend(name for name, *_ in statements)
            super().send(*statements)

    await Budget.objects.acreate(feature="f", limit=1)
    hold = hold_of("0.1")
    [grant] = await run(Watched(link.connection), memory, hold)
    seen.clear()
    [second] = await run(Watched(link.connection), memory, hold_of("0.1"))
    await run(Watched(link.connection), memory, settle_of(hold, grant, "0.1"))
    assert isinstance(second, Grant) and not [name for name in seen if "bucket" in name]


async def test_a_dead_process_frees_its_places_when_it_is_swept():
    await limit()
    async with a_writer() as dead:
        assert isinstance(await dead.hold(hold_of("0.1", tokens=60)), Grant)
        assert isinstance(await dead.hold(hold_of("0.1", tokens=30)), Grant)
        assert (await dead.hold(hold_of("0.1"))).shortage.of == "concurrent"
    await sync_to_async(expire_everything)()
    async with a_writer(OWNER_HEARTBEAT_S=0.01) as writer:
        await until(lambda: not Hold.objects.exists())
        assert (await levels())[""][2] == 0
        assert await Call.objects.filter(outcome="lost").acount() == 2
        assert (await writer.hold(hold_of("0.1", tokens=90))).shortage.of == "tokens", "they may have used them all"
        assert isinstance(await writer.hold(hold_of("0.1", tokens=1)), Grant)
