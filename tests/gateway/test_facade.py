"""The Python API against a real provider and a real database."""

import asyncio
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

import gateway
from budgets.models import Budget, Switch, Window
from gateway import errors
from gateway.models import Call, Hold, Payload

MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello there"}]


def the_call():
    return Call.objects.get()


def test_complete_answers_and_its_row_is_committed(world):
    world.feature("support.reply", "cached")
    reply = gateway.complete("support.reply", messages=MESSAGES, user="jane.doe", tenant="acme", labels={"team": "x"})
    assert reply.text == "hello there"
    # 200 uncached × 10 + 800 cached × 5 + 20 output × 20 + 10 reasoning × 40, per million.
    assert reply.cost_usd == Decimal("0.0068")
    call = the_call()
    assert (call.id, call.outcome, call.cost_usd, call.feature, call.tenant) == (
        reply.call_id, "ok", Decimal("0.0068"), "support.reply", "acme",
    )  # fmt: skip
    parts = (call.input_tokens, call.cache_read_tokens, call.output_tokens, call.reasoning_tokens)
    assert parts == (200, 800, 20, 10) and call.usage_adds_up and not call.usage_estimated
    assert call.labels == {"team": "x"} and call.user_ref and "jane" not in call.user_ref
    assert {"identify", "render", "redact", "price", "hold", "send"} <= set(call.trace["stages"])
    # The mock reports more tokens than the request has bytes: a provider that bills more than can be.
    assert call.overrun_usd == call.cost_usd - call.held_usd > 0
    assert Hold.objects.count() == 0
    # A row names its price, prompt and policy, and has no copy of them.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_column_size(t.*) FROM tollhouse_call t")
        assert cursor.fetchone()[0] < 700
    assert Payload.objects.get().content == {
        "messages": MESSAGES,
        "reply": [{"role": "assistant", "content": "hello there"}],
    }


def test_the_live_prompt_is_rendered_and_named_in_the_row(world, provider):
    feature = world.feature("support.reply")
    [version] = world.prompt(
        feature,
        {
            "messages": [{"role": "user", "content": "Reply to: {{ ticket }}"}],
            "parameters": {"temperature": 0.5, "seed": 1},
        },
    )
    reply = gateway.complete("support.reply", {"ticket": "{{ no }}"}, temperature=0.9)
    assert reply.text == "Reply to: {{ no }}"
    assert reply.prompt_version == version.address == the_call().prompt_version
    assert (provider.requests[0]["temperature"], provider.requests[0]["seed"]) == (0.9, 1)


def test_a_missing_variable_leaves_no_row(world):
    world.prompt(world.feature("f"), {"messages": [{"role": "user", "content": "{{ x }}"}]})
    with pytest.raises(errors.PromptError, match="needs x"):
        gateway.complete("f", {})
    assert Call.objects.count() == 0


def test_a_prompt_that_a_caller_brings_gets_an_address_and_is_recorded(world):
    feature = world.feature("f")
    first = gateway.complete("f", messages=MESSAGES)
    second = gateway.complete("f", messages=[MESSAGES[0], {"role": "user", "content": "other"}])
    assert first.prompt_version == second.prompt_version != ""
    gateway.engine.stop()
    assert feature.prompt.versions.get().address == first.prompt_version


def test_a_stream_passes_chunks_on_and_ends_with_its_reply(world, provider):
    world.feature("f")
    provider.pause_s = 0.01
    with gateway.stream("f", messages=MESSAGES) as stream:
        texts = [delta.text for delta in stream]
    assert "".join(texts) == "hello there" and len(texts) > 2
    assert stream.reply.text == "hello there"
    call = the_call()
    assert (call.outcome, call.streamed, call.cost_usd) == ("ok", True, Decimal("0.0004"))
    assert call.first_token_ms is not None and call.finish_reason == "stop"


def test_the_text_of_a_stream_is_the_reply_alone_without_thoughts(world):
    world.feature("f", (world.kind("anthropic"), "think"))
    with gateway.stream("f", messages=MESSAGES) as stream:
        assert "".join([delta.text for delta in stream]) == "hello there"
    assert stream.reply.text == "hello there"


def test_a_stream_left_early_cancels_upstream_and_its_row_says_so(world, provider):
    world.feature("f")
    provider.pause_s = 0.05
    with gateway.stream("f", messages=[{"role": "user", "content": "word " * 200}]) as stream:
        for _ in range(3):
            next(stream)
    gateway.engine.stop()
    call = the_call()
    assert call.outcome == "cancelled" and call.usage_estimated
    assert 0 < call.output_tokens < 20
    assert 0 < call.cost_usd <= call.held_usd


async def test_the_asynchronous_forms_work_from_any_loop(world):
    await sync_to_async(world.feature)("f")
    replies = await asyncio.gather(*(gateway.acomplete("f", messages=MESSAGES) for _ in range(5)))
    assert {reply.text for reply in replies} == {"hello there"}
    async with gateway.astream("f", messages=MESSAGES) as stream:
        assert "".join([delta.text async for delta in stream]) == "hello there"
    assert await Call.objects.acount() == 6


async def test_cancelling_a_coroutine_cancels_the_call(world, provider):
    await sync_to_async(world.feature)("f", "hang")
    task = asyncio.create_task(gateway.acomplete("f", messages=MESSAGES))
    async with asyncio.timeout(10):
        while not provider.requests:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await sync_to_async(gateway.engine.stop)()
    call = await Call.objects.aget()
    assert call.outcome == "cancelled"
    # The provider had the whole request, and may charge for all that it could have answered.
    assert call.cost_usd == call.held_usd


def test_embeddings(world):
    world.feature("f", "embedder")
    found = gateway.embed("f", ["a", "b"])
    assert found.vectors == [[0.5, -0.25, 2.0]] * 2
    assert found.cost_usd == Decimal("0.00016")
    assert (the_call().operation, the_call().input_tokens) == ("embeddings", 16)


def test_a_budget_refuses_with_a_row(world, provider):
    world.feature("f")
    Budget.objects.create(feature="f", limit=Decimal("0.000001"))
    with pytest.raises(errors.BudgetExceeded, match="left") as raised:
        gateway.complete("f", messages=MESSAGES)
    assert provider.requests == []
    call = the_call()
    assert (call.id, call.outcome, call.cost_usd) == (raised.value.call_id, "refused_budget", 0)
    assert "left" in call.reason


def test_input_is_counted_when_its_bound_does_not_fit(world):
    """4,000 letters are at most 4,000 tokens, but really some 1,000."""
    world.feature("f", max_output_tokens=1)
    Budget.objects.create(feature="f", metric="tokens", limit=2000)
    gateway.complete("f", messages=[{"role": "user", "content": "word " * 800}])
    assert the_call().outcome == "ok"


def test_a_spent_budget_diverts_to_its_route(world):
    world.feature("f", "dear")
    world.feature("g", "cheap")
    Budget.objects.create(feature="f", limit=Decimal("0.000001"), on_hard="route:g")
    gateway.complete("f", messages=MESSAGES)
    call = the_call()
    assert (call.outcome, call.route, call.model_served) == ("ok", "g", "cheap")
    assert Window.objects.get().spent == 0


def test_a_switch_refuses_with_the_reason_that_was_typed(world):
    world.feature("f")
    Switch.objects.create(scope="feature", value="f", reason="it went wild")
    with pytest.raises(errors.FeatureDisabled, match="it went wild"):
        gateway.complete("f", messages=MESSAGES)
    assert the_call().outcome == "refused_switch"


def test_an_unknown_price_is_refused_or_flagged_never_zero(world):
    world.feature("strict", "unpriced", priced=False)
    world.feature("lax", "unpriced", priced=False, unpriced="flag")
    with pytest.raises(errors.PolicyRefused, match="No price is known for mock/unpriced"):
        gateway.complete("strict", messages=MESSAGES)
    assert gateway.complete("lax", messages=MESSAGES).cost_usd is None
    assert {c.feature: (c.outcome, c.cost_usd) for c in Call.objects.all()} == {
        "strict": ("refused_policy", 0),
        "lax": ("ok", None),
    }


@pytest.mark.parametrize(
    ("asked", "model", "usd"),
    [
        ("priority", "tier:default", "0.0004"),
        ("auto", "tier:priority", "0.0008"),
        # Where the reply does not tell, the dearer of the two that it can have been.
        ("priority", "echo", "0.0008"),
        ("flex", "echo", "0.0004"),
    ],
)
def test_a_call_costs_what_the_tier_costs_that_served_it(world, asked, model, usd):
    tiers = {"priority": {"input": "20", "output": "40"}, "flex": {"input": "5", "output": "10"}}
    world.price(model, {"input": "10", "output": "20", "variants": tiers})
    world.feature("f", model)
    assert gateway.complete("f", messages=MESSAGES, service_tier=asked).cost_usd == Decimal(usd)


def test_cached_tokens_of_a_stream_cost_what_they_cost_in_a_plain_reply(world):
    world.feature("f", "cached")
    with gateway.stream("f", messages=MESSAGES) as stream:
        list(stream)
    assert stream.reply.cost_usd == the_call().cost_usd == Decimal("0.0068")


def test_an_unknown_feature_is_told_with_those_that_exist(world):
    world.feature("f")
    with pytest.raises(errors.NotFound, match=r"no feature 'g'.*ask for one of: f"):
        gateway.complete("g", messages=MESSAGES)


def test_a_reply_without_usage_is_counted_and_marked(world):
    world.feature("f", "nousage")
    gateway.complete("f", messages=MESSAGES)
    call = the_call()
    assert call.usage_estimated and call.output_tokens == 2 and call.input_tokens > 5


def test_a_transient_error_is_tried_again(world, provider):
    world.feature("f", "flaky:a", route={"retries": 2})
    assert gateway.complete("f", messages=MESSAGES).text == "hello there"
    call = the_call()
    assert (call.attempts, call.cost_usd) == (2, Decimal("0.0004"))
    assert call.trace["attempts"] == [
        {"target": "mock/flaky:a", "outcome": "provider_error", "status": 503, "ms": call.trace["attempts"][0]["ms"]}
    ]


def test_the_next_target_answers_when_one_fails(world):
    world.feature("f", "status:500", "echo")
    assert gateway.complete("f", messages=MESSAGES).text == "hello there"
    call = the_call()
    assert (call.model_served, call.fallback_from, call.attempts) == ("echo", "mock/status:500", 2)


@pytest.mark.parametrize("stream", [False, True])
def test_a_bad_request_is_not_sent_elsewhere(world, provider, stream):
    world.feature("f", "status:400", "echo")
    with pytest.raises(errors.ProviderError, match="mock 400") as raised:
        if stream:
            list(gateway.stream("f", messages=MESSAGES))
        else:
            gateway.complete("f", messages=MESSAGES)
    assert (raised.value.status, raised.value.transient) == (400, False)
    call = the_call()
    assert raised.value.call_id == call.id
    assert (call.outcome, call.http_status, call.cost_usd, call.reason) == ("provider_error", 400, 0, "")
    assert len(provider.requests) == 1


def test_an_attempt_that_may_be_billed_counts(world):
    world.feature("f", "garbage", "echo")
    gateway.complete("f", messages=MESSAGES)
    call = the_call()
    assert call.usage_estimated
    assert call.cost_usd > Decimal("0.0004") + Decimal("0.002")
    assert call.cost_usd <= call.held_usd


def test_a_provider_that_hangs_times_out(world):
    world.feature("f", "hang", route={"timeout_s": 0.3})
    with pytest.raises(errors.ProviderTimeout) as raised:
        gateway.complete("f", messages=MESSAGES)
    call = the_call()
    assert (call.outcome, call.cost_usd, call.id) == ("timeout", call.held_usd, raised.value.call_id)


def test_a_stream_that_is_cut_fails_with_what_was_used(world):
    world.feature("f", "cut", "echo")
    stream = gateway.stream("f", messages=[{"role": "user", "content": "word " * 50}])
    with pytest.raises(errors.ProviderError):
        list(stream)
    call = the_call()
    assert call.outcome == "provider_error" and call.usage_estimated and 0 < call.output_tokens < 60


def test_a_limit_above_the_feature_s_is_refused(world):
    world.feature("f", max_output_tokens=10)
    with pytest.raises(errors.InvalidRequest, match="max_tokens must be a whole number from 1 to 10"):
        gateway.complete("f", messages=MESSAGES, max_tokens=11)


def test_the_feature_s_limit_is_asked_of_the_provider(world, provider):
    world.feature("f", max_output_tokens=10)
    gateway.complete("f", messages=MESSAGES)
    assert provider.requests[0]["max_tokens"] == 10


def test_a_policy_that_only_redacts_what_is_kept_leaves_the_answer_alone(world, provider):
    world.feature("f", policy=world.policy("p", outbound="off", stored="redacted"))
    said = [{"role": "user", "content": "Write to jane.doe@example.com, [EMAIL_ADDRESS_1] or <PERSON>."}]
    reply = gateway.complete("f", messages=said)
    with gateway.stream("f", messages=said) as stream:
        streamed = "".join(delta.text for delta in stream)
    assert reply.text == streamed == said[0]["content"] == provider.requests[0]["messages"][0]["content"]
    assert not any("jane" in str(payload.content) for payload in Payload.objects.all())


def test_truncation_is_an_outcome(world):
    world.feature("f", "truncated")
    assert gateway.complete("f", messages=MESSAGES).outcome == "truncated"
    assert the_call().outcome == "truncated"


def test_a_retry_that_no_budget_has_room_for_is_not_made_and_counts_nothing_twice(world, provider):
    world.feature("f", "garbage", route={"retries": 3})
    Budget.objects.create(feature="f", limit=Decimal("0.008"))
    with pytest.raises(errors.ProviderError, match="not a JSON object"):
        gateway.complete("f", messages=MESSAGES)
    call = the_call()
    assert len(provider.requests) == 1
    assert (call.outcome, call.cost_usd) == ("provider_error", call.held_usd)
    assert Window.objects.get().spent == call.cost_usd < Decimal("0.008")


def test_a_stream_that_failed_or_was_closed_is_over_for_good(world, provider):
    world.feature("f", "cut")
    stream = gateway.stream("f", messages=MESSAGES)
    with pytest.raises(errors.ProviderError):
        list(stream)
    assert list(stream) == [] and stream.reply is None
    closed = gateway.stream("f", messages=MESSAGES)
    closed.close()
    assert list(closed) == [] and closed.reply is None
    gateway.engine.stop()
    assert len(provider.requests) == Call.objects.count() == 1
