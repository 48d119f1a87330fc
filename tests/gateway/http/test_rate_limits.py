"""Rate limits over HTTP: what clients read, in every protocol, and what OpenAI's does then."""

import threading
import time
from contextlib import ExitStack, suppress

import httpx
import openai
import pytest
from openai import OpenAI

import gateway
from budgets.models import Bucket, RateLimit, Switch
from budgets.rates import PARTS
from gateway import errors
from gateway.http.rates import duration
from gateway.models import Call
from tests.server import Server

MESSAGES = [{"role": "user", "content": "hello there"}]
#: One call, and the next after a minute.
ONE = {"feature": "f", "requests_per_minute": 1, "burst_s": 60}


@pytest.fixture
def key(world, server):
    world.feature("f", "echo")
    found = world.key()
    server.catch_up()
    return found


@pytest.fixture
def client(key, server):
    with OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, timeout=20) as found:
        yield found


def limits_of(headers):
    return {name: value for name, value in headers.items() if name.startswith("x-ratelimit-")}


def ask(client, **options):
    """One call; the raw answer."""
    return client.chat.completions.with_raw_response.create(model="f", messages=MESSAGES, **options)


#: Path and body of the same call in each protocol.
PROTOCOLS = {
    "chat": ("/v1/chat/completions", {"messages": MESSAGES}),
    "responses": ("/v1/responses", {"input": "hello there"}),
    "messages": ("/v1/messages", {"messages": MESSAGES, "max_tokens": 50}),
}


def test_without_a_limit_there_are_no_headers(client):
    assert limits_of(ask(client).headers) == {}


def test_every_answer_says_what_is_left(client):
    RateLimit.objects.create(feature="f", requests_per_minute=6, tokens_per_minute=6000, burst_s=600)
    headers = limits_of(ask(client).headers)
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("60", "59")
    assert headers["x-ratelimit-limit-tokens"] == "60000"
    # The most that this call may need is taken: its bytes, and 100 tokens of output.
    assert 59_000 < int(headers["x-ratelimit-remaining-tokens"]) < 59_900
    assert headers["x-ratelimit-reset-requests"] == "10s"
    assert headers["x-ratelimit-reset-tokens"].endswith("s")
    second = limits_of(ask(client).headers)
    # What the first did not need was given back: it used 30.
    assert int(second["x-ratelimit-remaining-tokens"]) > int(headers["x-ratelimit-remaining-tokens"]) - 100
    assert second["x-ratelimit-remaining-requests"] == "58"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_in_every_protocol(key, server, provider, protocol, stream):
    RateLimit.objects.create(**ONE)
    path, body = PROTOCOLS[protocol]

    def post():
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.post(server.url + path, json={"model": "f", "stream": stream, **body}, headers=headers, timeout=20)

    first, second = post(), post()
    assert (first.status_code, first.headers["x-ratelimit-remaining-requests"]) == (200, "0")
    assert Call.objects.get(outcome="ok").streamed == stream
    headers, error = second.headers, second.json()["error"]
    assert (second.status_code, error["type"]) == (429, "rate_limit_error")
    assert "The rate limit of 1 requests a minute for feature f is reached" in error["message"]
    if protocol != "messages":
        assert error["code"] == "rate_limit_exceeded"
    assert 50 <= int(headers["retry-after"]) <= 60
    assert 50_000 <= int(headers["retry-after-ms"]) <= 60_000
    assert headers["x-should-retry"] == "true"
    assert limits_of(headers)["x-ratelimit-remaining-requests"] == "0"
    assert len(provider.requests) == 1
    refused = Call.objects.get(outcome="refused_rate")
    assert (refused.cost_usd, refused.attempts, refused.total_tokens) == (0, 0, 0)
    assert refused.error_class == "RateLimited" and "1 requests a minute" in refused.reason
    assert headers["x-tollhouse-call-id"] == str(refused.id)


def test_embeddings_too(client):
    RateLimit.objects.create(**ONE)
    raw = client.embeddings.with_raw_response.create(model="f", input="hello")
    assert raw.headers["x-ratelimit-remaining-requests"] == "0"
    with pytest.raises(openai.RateLimitError):
        client.embeddings.create(model="f", input="hello")


def test_clients_wait_as_long_as_they_are_told_and_then_pass(client):
    """Two calls, and another every half second: a client that tries again passes, and no sooner."""
    RateLimit.objects.create(feature="f", requests_per_minute=120, burst_s=1)
    patient = client.with_options(max_retries=3)
    for _ in range(5):
        assert ask(patient).http_response.status_code == 200
    passed = Call.objects.filter(outcome="ok").order_by("id")
    assert passed.count() == 5 and Call.objects.filter(outcome="refused_rate").count() >= 3
    assert (passed.last().started_at - passed.first().started_at).total_seconds() >= 1.4


def test_a_call_that_can_never_fit_is_not_tried_again(client):
    RateLimit.objects.create(feature="f", tokens_per_minute=200)
    with pytest.raises(openai.RateLimitError, match="never lets more than 200 through at once") as raised:
        ask(client.with_options(max_retries=3))
    headers = raised.value.response.headers
    assert headers["x-should-retry"] == "false" and "retry-after" not in headers
    assert limits_of(headers)["x-ratelimit-remaining-tokens"] == "200"
    assert Call.objects.count() == 1
    client.chat.completions.create(model="f", messages=MESSAGES, max_tokens=20)


def test_input_is_counted_before_it_is_refused(client):
    """800 bytes are at most 800 tokens, and really a fifth of it: they fit when they are counted."""
    text = "word " * 160
    RateLimit.objects.create(feature="f", tokens_per_minute=600)
    client.chat.completions.create(model="f", messages=[{"role": "user", "content": text}])
    assert Call.objects.get().outcome == "ok"


def test_no_more_calls_at_a_time_than_the_limit_says(client, provider):
    RateLimit.objects.create(feature="f", concurrent=1)
    provider.pause_s = 0.3
    with client.chat.completions.create(model="f", messages=MESSAGES, stream=True) as stream:
        next(iter(stream))
        with pytest.raises(openai.RateLimitError, match="1 calls of feature f are under way") as raised:
            ask(client)
        assert raised.value.response.headers["retry-after"] == "1"
        assert limits_of(raised.value.response.headers) == {}
    # The stream was left in the middle; its place is free as soon as its row is there.
    wait_until(lambda: Bucket.objects.get().in_flight == 0)
    provider.pause_s = 0
    ask(client)
    assert provider.most_at_once == 1


def test_each_tenant_has_the_limit_for_itself(client):
    RateLimit.objects.create(**ONE, each="tenant")
    for tenant in ("a", "b"):
        ask(client, extra_headers={"X-Tollhouse-Tenant": tenant})
        with pytest.raises(openai.RateLimitError, match="each tenant"):
            ask(client, extra_headers={"X-Tollhouse-Tenant": tenant})
    assert sorted(Bucket.objects.values_list("value", flat=True)) == ["a", "b"]


def test_a_call_that_a_switch_refuses_takes_nothing(client):
    RateLimit.objects.create(**ONE)
    switch = Switch.objects.create(scope="everything", reason="maintenance")
    with pytest.raises(openai.InternalServerError):
        ask(client)
    switch.delete()
    ask(client)


def test_a_retry_and_a_fallback_are_one_request(world, server, provider):
    world.feature("f", "status:500", "echo", route={"retries": 1})
    key = world.key()
    server.catch_up()
    RateLimit.objects.create(**ONE, concurrent=1)
    with OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as client:
        ask(client)
    call = Call.objects.get()
    assert (call.outcome, call.attempts) == ("ok", 3)
    assert Bucket.objects.get().in_flight == 0 and Bucket.objects.get().requests_level < PARTS


def test_in_process_the_error_says_how_long_to_wait(world):
    world.feature("f", "echo")
    RateLimit.objects.create(**ONE)
    gateway.complete("f", messages=MESSAGES)
    with pytest.raises(errors.RateLimited) as raised:
        gateway.complete("f", messages=MESSAGES)
    assert 50 < raised.value.retry_after_s <= 60
    assert raised.value.rates.requests.remaining == 0 and raised.value.call_id
    RateLimit.objects.update(requests_per_minute=None, tokens_per_minute=10)
    with pytest.raises(errors.RateLimited) as raised:
        gateway.complete("f", messages=MESSAGES)
    assert raised.value.retry_after_s is None


def test_a_server_killed_in_mid_call_frees_its_place(world, provider):
    world.feature("f", "echo", "hang")
    key = world.key()
    RateLimit.objects.create(feature="f", concurrent=1)
    with ExitStack() as ended:
        dying, heir = (Server(TOLLHOUSE_OWNER_DEAD_AFTER_S="2") for _ in range(2))
        ended.callback(heir.stop)
        ended.callback(lambda: dying.process.poll() is None and dying.kill())
        waiting = threading.Thread(target=left_alone, args=(f"{dying.url}/v1/chat/completions", key))
        waiting.start()
        wait_until(lambda: Bucket.objects.filter(in_flight=1).exists())
        dying.kill()
        waiting.join()
        with OpenAI(base_url=f"{heir.url}/v1", api_key=key, max_retries=0) as client:
            with pytest.raises(openai.RateLimitError):
                ask(client)
            wait_until(lambda: Call.objects.filter(outcome="lost").exists())
            ask(client)


def left_alone(url, key):
    """A call that nobody answers."""
    body = {"model": "hang", "messages": MESSAGES}
    with suppress(httpx.HTTPError):
        httpx.post(url, json=body, headers={"Authorization": f"Bearer {key}", "X-Tollhouse-Feature": "f"}, timeout=60)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0s"), (0.00001, "1ms"), (0.02, "20ms"), (0.9991, "1s"), (1, "1s"), (1.5, "1.5s"), (8.64, "8.64s"),
        (59.9999, "1m0s"), (60, "1m0s"), (360, "6m0s"), (3600, "1h0m0s"), (3661.25, "1h1m1.25s"),
    ],
)  # fmt: skip
def test_times_are_written_as_openai_does(seconds, written):
    assert duration(seconds).decode() == written


def wait_until(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
