"""The other kinds of providers: Azure's deployments, the sandbox, and litellm for the rest."""

from decimal import Decimal

import pytest

import gateway
from gateway import engine, errors
from gateway.models import Call
from gateway.providers import KINDS, Request
from gateway.replies import blocking

MESSAGES = [{"role": "user", "content": "hello there"}]


def stream_of(feature, **options):
    with gateway.stream(feature, messages=MESSAGES, **options) as stream:
        text = "".join(delta.text for delta in stream)
    return text, stream.reply


def test_azure_deployments(world, provider, monkeypatch):
    monkeypatch.setenv("TEST_AZURE_API_KEY", "azure-secret")
    azure = world.kind("azure", base_url=provider.base_url.removesuffix("/v1"), api_key_env="TEST_AZURE_API_KEY")
    world.feature("f", (azure, "echo"))
    assert gateway.complete("f", messages=MESSAGES).text == "hello there"
    assert stream_of("f")[0] == "hello there"
    headers = {name.lower(): value for name, value in provider.headers[0].items()}
    assert headers["api-key"] == "azure-secret" and "authorization" not in headers
    assert provider.requests[0]["max_completion_tokens"] == 100


def test_a_sandbox_repeats_what_it_hears(world, provider):
    world.feature("f", (world.kind("sandbox", base_url=""), "any"))
    reply = gateway.complete("f", messages=MESSAGES)
    assert (reply.text, reply.outcome) == ("hello there", "ok")
    assert reply.cost_usd == (reply.usage.input_tokens * Decimal(10) + reply.usage.output_tokens * 20) / 10**6 > 0
    text, streamed = stream_of("f")
    assert (text, streamed.usage) == ("hello there", reply.usage)
    assert provider.requests == []


def test_a_sandbox_answers_as_it_is_told(world):
    answers = [{"when": "refund", "tool": "refund", "arguments": {"id": 7}}, {"when": "hello", "answer": "Hi!"}]
    sandbox = world.kind(
        "sandbox", base_url="", options={"answers": answers, "answer": "What?", "latency_ms": 1, "chunk_ms": 1}
    )
    world.feature("f", (sandbox, "any"))
    assert gateway.complete("f", messages=MESSAGES).text == "Hi!"
    assert gateway.complete("f", messages=[{"role": "user", "content": "x"}]).text == "What?"
    reply = gateway.complete("f", messages=[{"role": "user", "content": "my refund"}])
    assert reply.tool_calls[0]["function"] == {"name": "refund", "arguments": '{"id":7}'}
    assert reply.finish_reason == "tool_calls"
    assert stream_of("f")[0] == "Hi!"


@pytest.mark.parametrize(("fault", "transient"), [("429", True), ("503", True), ("400", False), ("cut", True)])
def test_a_sandbox_fails_as_it_is_told(world, fault, transient):
    world.feature("f", (world.kind("sandbox", base_url="", options={"faults": {fault: 1}}), "any"))
    for call in (lambda: gateway.complete("f", messages=MESSAGES), lambda: stream_of("f")):
        with pytest.raises(errors.ProviderError, match="as it was told") as caught:
            call()
        assert caught.value.transient is transient


@pytest.mark.parametrize(
    ("kind", "options", "word"),
    [
        ("sandbox", {"answers": [{"when": "x"}]}, "answers"),
        ("sandbox", {"faults": {"200": 1}}, "200"),
        ("sandbox", {"faults": {"503": 0.7, "cut": 0.7}}, "more than 1"),
        ("sandbox", {"latency_ms": "1"}, "latency_ms"),
        ("openai", {"latency_ms": 1}, "latency_ms"),
        ("azure", {"api_version": 3}, "api_version"),
    ],
)
def test_options_that_a_kind_does_not_have_are_refused(kind, options, word):
    with pytest.raises(ValueError, match=word):
        KINDS[kind].check_options(options)


@pytest.fixture
def litellm(world, monkeypatch):
    """A feature whose provider is called through litellm, which speaks to the mock as to any OpenAI-compatible server."""
    monkeypatch.setenv("TEST_LITELLM_API_KEY", "sk-test")
    library = world.kind("litellm", options={"vendor": "openai"}, api_key_env="TEST_LITELLM_API_KEY")
    world.feature(
        "f",
        *(
            (library, model)
            for model in ("echo", "tool", "cached", "status:503", "status:400", "quote:400", "cut", "hang")
        ),
    )
    return world


def test_litellm_plain_and_streamed_and_with_a_trace(litellm, provider, caplog):
    caplog.set_level("DEBUG")
    reply = gateway.complete("f", messages=MESSAGES, temperature=0.5)
    assert (reply.text, reply.usage.total_tokens, reply.cost_usd) == ("hello there", 30, Decimal("0.0004"))
    assert (provider.requests[0]["model"], provider.requests[0]["temperature"]) == ("echo", 0.5)
    text, streamed = stream_of("f")
    assert (text, streamed.usage.total_tokens, streamed.finish_reason) == ("hello there", 30, "stop")
    cached = gateway.complete("f", messages=MESSAGES, model="cached").usage
    assert (cached.cache_read_tokens, cached.reasoning_tokens) == (800, 10)
    assert gateway.complete("f", messages=MESSAGES, model="tool").tool_calls[0]["function"]["name"] == "look_up"
    assert not any(name.lower() in ("traceparent", "baggage") for headers in provider.headers for name in headers)
    traced = Request(
        feature="f", operation="chat", model="echo", body={"messages": MESSAGES}, stream=False, base_url=provider.base_url, api_key="sk",
        timeout_s=20, connect_timeout_s=5, first_token_timeout_s=20, most_bytes=1_000_000,
        options={"vendor": "openai", "parameters": {"extra_headers": {"x-own": "1"}}}, trace={"traceparent": "00-1-2-01"},
    )  # fmt: skip

    async def answered():
        return [piece async for piece in KINDS["litellm"].send(traced, engine.current().http)]

    assert blocking(answered())[0].events[0]["choices"]
    headers = {name.lower(): value for name, value in provider.headers[-1].items()}
    assert headers["traceparent"] == "00-1-2-01" and headers["x-own"] == "1" and "baggage" not in headers
    # Neither litellm nor the client that it uses writes requests down, also where the application logs everything.
    assert "hello there" not in caplog.text


@pytest.mark.parametrize(
    ("model", "status", "transient", "retry_after_s"),
    [("status:503", 503, True, 0.0), ("status:400", 400, False, 0.0), ("quote:400", 400, False, None)],
)
def test_litellms_errors_become_ours(litellm, model, status, transient, retry_after_s, caplog):
    caplog.set_level("DEBUG")
    with pytest.raises(errors.ProviderError) as caught:
        gateway.complete("f", messages=MESSAGES, model=model)
    error = caught.value
    assert (error.status, error.transient, error.retry_after_s) == (status, transient, retry_after_s)
    assert Call.objects.get().attempts == 1
    assert "hello there" not in caplog.text


def test_a_stream_through_litellm_that_breaks_or_is_left(litellm, provider):
    with pytest.raises(errors.ProviderError):
        stream_of("f", model="cut")
    provider.pause_s = 0.02
    with gateway.stream("f", messages=[{"role": "user", "content": "word " * 100}]) as stream:
        next(stream)
    gateway.engine.stop()
    outcomes = sorted(Call.objects.values_list("outcome", flat=True))
    assert outcomes == ["cancelled", "provider_error"] and provider.saw_leave(1)


def test_a_caller_cannot_turn_litellm_elsewhere(litellm, provider):
    with pytest.raises(errors.InvalidRequest, match="api_base"):
        gateway.complete("f", messages=MESSAGES, api_base="http://127.0.0.1:9/v1")
    assert provider.requests == []
