"""Anthropic, natively: what is asked and answered in the OpenAI shape reaches its Messages API and comes back."""

import json
from decimal import Decimal

import pytest

import gateway
from gateway import errors
from gateway.models import Call, Hold
from gateway.providers.anthropic.request import Untranslatable, messages_request

MESSAGES = [{"role": "user", "content": "hello there"}]
TOOL = {
    "type": "function",
    "function": {"name": "look_up", "description": "Looks up.", "parameters": {"type": "object"}},
}
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [
        {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}},
    ]},
    {"role": "assistant", "content": "", "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "look_up", "arguments": '{"query": "cat"}'}},
        {"id": "b", "type": "function", "function": {"name": "look_up", "arguments": ""}},
    ]},
    {"role": "tool", "tool_call_id": "a", "content": "a cat"},
    {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "nothing"}]},
    {"role": "user", "content": "Thanks."},
]  # fmt: skip


@pytest.fixture
def anthropic(world):
    """A feature over the mock's Messages API, for each of its models."""
    provider = world.kind("anthropic", api_key_env="TEST_ANTHROPIC_API_KEY")
    models = ("echo", "tool", "think", "cached", "overloaded", "cut", "error-event", "truncated", "refused")
    world.feature("f", *((provider, model) for model in models))
    return world


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TEST_ANTHROPIC_API_KEY", "sk-test")


def test_a_conversation_is_translated_whole():
    body = messages_request(
        {"messages": TURNS, "max_tokens": 9, "tools": [TOOL], "stop": "END", "temperature": 1.5}, "m"
    )
    assert body["system"] == [{"type": "text", "text": "Be brief."}]
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "BBBB"}, "title": "a.pdf"},
    ]  # fmt: skip
    assert body["messages"][1]["content"] == [
        {"type": "tool_use", "id": "a", "name": "look_up", "input": {"query": "cat"}},
        {"type": "tool_use", "id": "b", "name": "look_up", "input": {}},
    ]
    assert body["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "a cat"}]},
        {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "nothing"}]},
        {"type": "text", "text": "Thanks."},
    ]
    assert body["tools"] == [{"name": "look_up", "description": "Looks up.", "input_schema": {"type": "object"}}]
    assert (body["max_tokens"], body["stop_sequences"], body["temperature"]) == (9, ["END"], 1)


@pytest.mark.parametrize(
    ("choice", "parallel", "made"),
    [
        ("auto", None, {"type": "auto"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        ({"type": "function", "function": {"name": "look_up"}}, None, {"type": "tool", "name": "look_up"}),
        ("none", None, {"type": "none"}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
def test_the_choice_of_tools(choice, parallel, made):
    given = {"messages": MESSAGES, "tools": [TOOL], "tool_choice": choice, "parallel_tool_calls": parallel}
    assert messages_request(given, "m")["tool_choice"] == made


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"n": 2}, "'n'"),
        ({"frequency_penalty": 0.5}, "'frequency_penalty'"),
        ({"logit_bias": {"1": 5}}, "'logit_bias'"),
        ({"grammar": "x"}, "'grammar'"),
        ({"response_format": {"type": "json_object"}}, "json_object"),
        ({"messages": [{"role": "function", "content": "x"}]}, "'function'"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input_audio"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "file_data"),
        ({"tools": [{"type": "custom"}]}, "type function"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"ttl": "1h"}}]}]}, "hour"),
    ],
)  # fmt: skip
def test_what_has_no_counterpart_is_refused_by_name(given, word):
    with pytest.raises(Untranslatable, match=word):
        messages_request({"messages": MESSAGES, **given}, "m")


def test_values_that_change_nothing_pass():
    assert "n" not in messages_request(
        {"messages": MESSAGES, "n": 1, "seed": 3, "presence_penalty": 0, "logprobs": False}, "m"
    )


def test_a_plain_reply(anthropic, provider):
    reply = gateway.complete("f", messages=[TURNS[0], *MESSAGES], temperature=0.5)
    assert (reply.text, reply.finish_reason, reply.usage.total_tokens) == ("hello there", "stop", 30)
    sent, headers = provider.requests[0], provider.headers[0]
    assert (sent["model"], sent["max_tokens"], sent["temperature"]) == ("echo", 100, 0.5)
    assert (headers["x-api-key"], headers["anthropic-version"]) == ("sk-test", "2023-06-01")
    assert reply.cost_usd == Decimal("0.0004")


def test_cache_and_thinking_tokens_are_parts_of_their_own(anthropic):
    for reply in (gateway.complete("f", messages=MESSAGES, model="cached"), _streamed("cached")):
        usage = reply.usage
        parts = (
            usage.input_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
            usage.output_tokens,
            usage.reasoning_tokens,
        )
        assert parts == (100, 800, 100, 20, 10)
        # Each part once: 100 × 10 + 800 × 5 + 100 × 10 + 20 × 20 + 10 × 40, per million.
        assert reply.cost_usd == Decimal("0.0068")
    assert all(call.usage_adds_up and not call.usage_estimated for call in Call.objects.all())


def _streamed(model, **options):
    with gateway.stream("f", messages=MESSAGES, model=model, **options) as stream:
        list(stream)
    return stream.reply


def test_tools_plain_and_streamed(anthropic):
    for reply in (
        gateway.complete("f", messages=MESSAGES, model="tool", tools=[TOOL]),
        _streamed("tool", tools=[TOOL]),
    ):
        assert (reply.text, reply.finish_reason) == ("Let me look.", "tool_calls")
        [call] = reply.tool_calls
        assert (call["id"], call["function"]["name"]) == ("toolu_1", "look_up")
        assert json.loads(call["function"]["arguments"]) == {"query": "hello there"}


def test_thinking_comes_with_its_signature_and_goes_back(anthropic, provider):
    thought = {"type": "thinking", "thinking": "Hm, let me see.", "signature": "c2lnbmVk"}
    plain = gateway.complete("f", messages=MESSAGES, model="think", thinking={"type": "enabled", "budget_tokens": 50})
    assert plain.raw["choices"][0]["message"]["thinking_blocks"] == [thought]
    assert plain.raw["choices"][0]["message"]["reasoning_content"] == "Hm, let me see."
    with gateway.stream("f", messages=MESSAGES, model="think") as stream:
        deltas = [event["choices"][0]["delta"] for delta in stream for event in delta.events if event["choices"]]
    assert [d["thinking_blocks"] for d in deltas if "thinking_blocks" in d] == [[thought]]
    answer = {"role": "assistant", "content": "x", "thinking_blocks": [thought]}
    gateway.complete("f", messages=[*MESSAGES, answer, *MESSAGES])
    assert provider.requests[-1]["messages"][1]["content"] == [thought, {"type": "text", "text": "x"}]


def test_structured_output(anthropic, provider):
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    reply = gateway.complete("f", messages=MESSAGES, response_format=form, reasoning_effort="low")
    assert json.loads(reply.text)["name"] == "Ada"
    assert provider.requests[0]["output_config"] == {
        "format": {"type": "json_schema", "schema": schema},
        "effort": "low",
    }


@pytest.mark.parametrize(("model", "outcome"), [("truncated", "truncated"), ("refused", "filtered")])
def test_how_a_reply_ended(anthropic, model, outcome):
    assert gateway.complete("f", messages=MESSAGES, model=model).outcome == outcome
    assert _streamed(model).outcome == outcome


def test_an_overloaded_provider_is_transient_and_speaks_in_openais_shape(anthropic):
    with pytest.raises(errors.ProviderError, match="Overloaded") as caught:
        gateway.complete("f", messages=MESSAGES, model="overloaded")
    assert (caught.value.transient, caught.value.status) == (True, 529)
    assert caught.value.body["error"] == {
        "message": "Overloaded",
        "type": "overloaded_error",
        "param": None,
        "code": None,
    }


@pytest.mark.parametrize("model", ["cut", "error-event"])
def test_a_stream_that_breaks_is_counted(anthropic, model):
    with pytest.raises(errors.ProviderError), gateway.stream("f", messages=MESSAGES, model=model) as stream:
        list(stream)
    gateway.engine.stop()
    call = Call.objects.get()
    assert (call.outcome, call.usage_estimated) == ("provider_error", True)
    # Of the input the stream had told at its beginning; no tokenizer knows what of it was cached.
    assert call.input_tokens == 20 and call.output_tokens < 10 and call.cost_usd >= Decimal("0.0002")
    assert Hold.objects.count() == 0


def test_a_request_that_no_target_can_take_is_refused_before_it_is_held(anthropic, provider):
    with pytest.raises(errors.InvalidRequest, match="anthropic/echo: Anthropic has no parameter 'logit_bias'"):
        gateway.complete("f", messages=MESSAGES, model="echo", logit_bias={"1": 1})
    with pytest.raises(errors.InvalidRequest, match="no embeddings"):
        gateway.embed("f", "x", model="echo")
    assert provider.requests == [] and Hold.objects.count() == 0


def test_targets_that_cannot_take_a_request_are_passed_over(world, provider):
    world.feature("f", (world.kind("anthropic"), "a"), "echo")
    reply = gateway.complete("f", messages=MESSAGES, n=2)
    assert reply.model == "echo" and len(provider.requests) == 1


@pytest.mark.parametrize("arguments", ["{", 7, '{"a":' + "[" * 500 + "]" * 500 + "}"])
def test_arguments_that_cannot_be_written_are_refused_before_anything_is_sent(arguments):
    turn = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "look_up", "arguments": arguments}}]}
    with pytest.raises(Untranslatable, match="arguments of a tool call"):
        messages_request({"messages": [turn]}, "m")
