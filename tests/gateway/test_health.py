"""Breakers, limits of concurrency, and hedging."""

import asyncio
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async
from hypothesis import given
from hypothesis import strategies as st

import gateway
from budgets.models import Budget, Window
from gateway import errors
from gateway.health import Breaker, Passed
from gateway.models import Call, Hold

MESSAGES = [{"role": "user", "content": "hello there"}]


@pytest.fixture
def breaking(settings):
    """Two failures open a breaker, for as long as a test lasts."""
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "BREAKER_FAILURES": 2, "BREAKER_OPEN_S": 600}


def fails(feature, **options):
    with pytest.raises(errors.ProviderError) as caught:
        gateway.complete(feature, messages=MESSAGES, **options)
    return caught.value


def test_a_target_that_keeps_failing_is_left_alone(world, provider, breaking):
    world.feature("f", "status:503")
    fails("f")
    fails("f")
    assert "left alone" in fails("f").message
    assert len(provider.requests) == 2, "the third call did not reach the provider"
    call = Call.objects.order_by("-id").first()
    assert (call.outcome, call.attempts, call.cost_usd) == ("provider_error", 0, 0)
    assert Hold.objects.count() == 0


def test_a_probe_that_succeeds_has_a_target_back(world, provider, settings):
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "BREAKER_FAILURES": 1, "BREAKER_OPEN_S": 0.2}
    world.feature("f", "flaky:once")
    assert "left alone" not in fails("f").message
    answered = False
    while not answered:
        try:
            answered = bool(gateway.complete("f", messages=MESSAGES).text)
        except errors.ProviderError as error:
            assert "left alone" in error.message
    assert len(provider.requests) == 2, "the probe only"
    assert gateway.complete("f", messages=MESSAGES).text == "hello there"


def test_the_next_target_takes_over_at_once_while_one_is_left_alone(world, provider, breaking):
    world.feature("f", "status:503", "echo", route={"retries": 1})
    for _ in range(3):
        assert gateway.complete("f", messages=MESSAGES).text == "hello there"
    models = [request["model"] for request in provider.requests]
    assert models == ["status:503", "status:503", "echo", "echo", "echo"]


def test_a_limit_that_is_reached_is_no_failure(world, provider, breaking):
    world.feature("f", "status:429")
    for _ in range(4):
        fails("f")
    assert len(provider.requests) == 4


@given(st.lists(st.sampled_from([True, False, None])))
def test_a_breaker_lets_one_probe_pass_at_a_time(results):
    breaker = Breaker(2, 0.0)
    for well in results:
        passed = breaker.enter()
        assert passed
        probing = breaker.open
        assert not (probing and breaker.enter()), "a second one beside the probe"
        breaker.leave(passed, well=well)


def test_calls_under_way_when_a_breaker_opens_change_nothing():
    breaker = Breaker(2, 0.0)
    early = [breaker.enter() for _ in range(6)]
    for passed in early[:4]:
        breaker.leave(passed, well=False)
    probe = breaker.enter()
    assert probe is Passed.PROBE, "the first time is not longer for calls that failed at once"
    breaker.leave(early[4], well=True)
    breaker.leave(early[5], well=None)
    assert breaker.open and breaker.enter() is None, "the probe is still under way"
    breaker.leave(probe, well=True)
    assert breaker.enter() is Passed.CALL


async def test_calls_beyond_a_providers_limit_wait_for_a_place(world, provider):
    def configure():
        world.feature("f")
        world.provider.max_concurrent = 2
        world.provider.save()

    await sync_to_async(configure)()
    provider.pause_s = 0.05
    replies = await asyncio.gather(*(gateway.acomplete("f", messages=MESSAGES) for _ in range(6)))
    assert len(replies) == 6 and provider.most_at_once == 2


async def test_a_call_that_gets_no_place_in_time_goes_to_the_next_target(world, provider):
    def configure():
        limited = world.kind("openai", name="limited", max_concurrent=1)
        world.feature("f", (limited, "hang"), route={"timeout_s": 60})
        world.feature("g", (limited, "hang"), route={"timeout_s": 0.3})

    await sync_to_async(configure)()
    first = asyncio.create_task(gateway.acomplete("f", messages=MESSAGES))
    while not provider.requests:
        await asyncio.sleep(0.01)
    with pytest.raises(errors.ProviderTimeout, match="limit") as caught:
        await gateway.acomplete("g", messages=MESSAGES)
    assert not caught.value.billable
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    call = await Call.objects.aget(feature="g")
    assert (call.outcome, call.attempts, call.cost_usd) == ("timeout", 0, 0)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_hedge_asks_the_next_target_and_both_are_paid(world, provider, streamed):
    world.feature("f", "hang", "echo", route={"hedge_after_s": 0.05})
    if streamed:
        with gateway.stream("f", messages=MESSAGES) as stream:
            assert "".join(delta.text for delta in stream) == "hello there"
        reply = stream.reply
    else:
        reply = gateway.complete("f", messages=MESSAGES)
    gateway.engine.stop()
    call = Call.objects.get()
    assert (reply.text, reply.model, call.attempts, call.fallback_from) == ("hello there", "echo", 2, "mock/hang")
    # The one that was given up may be charged in full; the other reported 20 and 10 tokens.
    assert call.cost_usd == reply.cost_usd > Decimal("0.0004") and call.overrun_usd == 0 and call.usage_estimated
    assert provider.saw_leave(1) and Hold.objects.count() == 0


def test_the_first_target_may_still_win_a_hedge(world, provider):
    world.feature("f", "second", "hang", route={"hedge_after_s": 0.05})
    reply = gateway.complete("f", messages=MESSAGES)
    gateway.engine.stop()
    call = Call.objects.get()
    assert (reply.text, reply.model, call.provider, call.attempts) == ("hello there", "second", "mock", 2)
    assert call.fallback_from == "" and call.overrun_usd == 0 and provider.saw_leave(1)
    assert Hold.objects.count() == 0


@pytest.mark.parametrize(
    ("models", "served"), [(("slow-status:500", "echo"), "echo"), (("echo", "status:500"), "echo")]
)
def test_a_hedge_survives_the_failure_of_one(world, provider, models, served):
    world.feature("f", *models, route={"hedge_after_s": 0.03})
    provider.pause_s = 0.1
    reply = gateway.complete("f", messages=MESSAGES)
    assert (reply.text, reply.model) == ("hello there", served)
    # A refusal costs nothing.
    assert reply.cost_usd == Decimal("0.0004")


def test_a_quick_answer_is_not_hedged(world, provider):
    world.feature("f", "echo", "echo-2", route={"hedge_after_s": 5})
    gateway.complete("f", messages=MESSAGES)
    assert len(provider.requests) == 1


@pytest.mark.parametrize("of_one", [{"model": "echo"}, {"model": "hang"}])
def test_a_budget_for_one_of_two_targets_keeps_them_from_being_asked_at_once(world, provider, of_one):
    world.feature("f", "echo", "hang", route={"hedge_after_s": 0.03})
    Budget.objects.create(limit=1, **of_one)
    provider.pause_s = 0.1
    assert gateway.complete("f", messages=MESSAGES).model == "echo"
    assert len(provider.requests) == Call.objects.get().attempts == 1
    assert all(window.held == 0 for window in Window.objects.all()) and Hold.objects.count() == 0


def test_a_hedge_without_room_for_both_is_none(world, provider):
    world.feature("f", "echo", "hang", route={"hedge_after_s": 0.03})
    Budget.objects.create(feature="f", limit=Decimal("0.006"))
    provider.pause_s = 0.1
    reply = gateway.complete("f", messages=MESSAGES)
    window = Window.objects.get()
    assert (len(provider.requests), window.held, window.spent) == (1, 0, reply.cost_usd)
