"""How long one attempt at a plain reply may take, so that the next target has time."""

import pytest

import gateway
from gateway import errors
from gateway.models import Call, Hold

MESSAGES = [{"role": "user", "content": "hello there"}]


def test_a_target_that_hangs_leaves_the_next_one_time(world, provider):
    world.feature("f", "hang", "echo", route={"reply_timeout_s": 0.2})
    reply = gateway.complete("f", messages=MESSAGES)
    gateway.engine.stop()
    call = Call.objects.get()
    assert (reply.text, call.attempts, call.fallback_from, call.outcome) == ("hello there", 2, "mock/hang", "ok")
    # The one that was given up may be charged in full.
    assert call.usage_estimated and call.cost_usd == reply.cost_usd > 0 and call.overrun_usd == 0
    assert provider.saw_leave(1) and Hold.objects.count() == 0


def test_it_is_told_as_a_timeout_when_nobody_answers(world, provider):
    world.feature("f", "hang", route={"reply_timeout_s": 0.1, "retries": 1})
    with pytest.raises(errors.ProviderTimeout, match="time of its route"):
        gateway.complete("f", messages=MESSAGES)
    assert len(provider.requests) == Call.objects.get().attempts == 2


def test_a_slow_target_is_rehearsed_in_the_sandbox(world, provider):
    slow = world.kind("sandbox", base_url="", options={"latency_ms": 60_000})
    world.feature("f", (slow, "any"), "echo", route={"reply_timeout_s": 0.1, "first_token_timeout_s": 0.1})
    assert gateway.complete("f", messages=MESSAGES).model == "echo"
    with gateway.stream("f", messages=MESSAGES) as stream:
        assert "".join(delta.text for delta in stream) == "hello there"
    assert stream.reply.model == "echo"


def test_a_stream_may_take_longer(world, provider):
    world.feature("f", "echo", route={"reply_timeout_s": 0.001})
    provider.pause_s = 0.05
    with gateway.stream("f", messages=MESSAGES) as stream:
        assert "".join(delta.text for delta in stream) == "hello there"
