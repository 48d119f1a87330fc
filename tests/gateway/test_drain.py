"""A client that goes away: its call is cancelled, or read on to its usage, as the feature says; the row tells which."""

import asyncio
import json
import socket
import time
from urllib.parse import urlsplit

import pytest

import gateway
from gateway import engine
from gateway.models import Call
from tests.server import Server

#: What the mock provider reports, whatever it says.
USAGE = (20, 10)
LONG = "word " * 60


def used(call):
    return call.input_tokens, call.output_tokens


def ended(count=1):
    """The calls' rows, once there are so many."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if len(found := list(Call.objects.order_by("id"))) >= count:
            return found
        time.sleep(0.02)
    raise TimeoutError("the row did not come")


def leave(url, key, model, *, stream=True, path="/v1/chat/completions"):
    """A client that hangs up after the first bytes of its answer, or right after its request."""
    address = urlsplit(url)
    body = {"model": model, "stream": stream, "max_tokens": 100, "messages": [{"role": "user", "content": LONG}]}
    data = json.dumps(body).encode()
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(
            f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n".encode()
            + data
        )
        if stream:
            assert b"200" in client.recv(100)
        else:
            time.sleep(0.3)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_a_drained_stream_has_its_real_usage(world, provider, server, path):
    world.feature("drains", on_disconnect="drain")
    key = world.key()
    server.catch_up()
    provider.pause_s = 0.01
    body = {"input": LONG} if path == "/v1/responses" else None
    if body is None:
        leave(server.url, key, "drains", path=path)
    else:
        leave_responses(server.url, key)
    [call] = ended()
    assert (call.outcome, call.error_class, call.usage_estimated) == ("cancelled", "ClientGone", False)
    assert used(call) == USAGE and call.reason == "The caller left; the provider's reply was read to its end."
    assert provider.cancelled == 0 and call.finish_reason == "stop"


def leave_responses(url, key):
    address = urlsplit(url)
    data = json.dumps({"model": "drains", "stream": True, "input": LONG}).encode()
    with socket.create_connection((address.hostname, address.port)) as client:
        head = f"POST /v1/responses HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {len(data)}\r\n\r\n"
        client.sendall(head.encode() + data)
        assert b"200" in client.recv(100)


def test_by_default_the_providers_reply_is_cancelled(world, provider, server):
    world.feature("cancels")
    key = world.key()
    server.catch_up()
    provider.pause_s = 0.01
    leave(server.url, key, "cancels")
    [call] = ended()
    assert (call.outcome, call.usage_estimated) == ("cancelled", True)
    assert call.reason == "The caller left; the provider's reply was cancelled."


def test_a_plain_reply_is_read_to_its_end_too(world, provider, server):
    world.feature("drains", on_disconnect="drain")
    key = world.key()
    server.catch_up()
    provider.pause_s = 1.0
    leave(server.url, key, "drains", stream=False)
    [call] = ended()
    assert (call.outcome, used(call), call.usage_estimated) == ("cancelled", USAGE, False)


def test_beyond_the_most_drains_the_reply_is_cancelled(world, provider):
    world.feature("drains", on_disconnect="drain")
    key = world.key()
    provider.pause_s = 0.02
    server = Server(TOLLHOUSE_MAX_DRAINS="1")
    try:
        for _ in range(3):
            leave(server.url, key, "drains")
        calls = ended(3)
    finally:
        server.stop()
    assert sorted(call.usage_estimated for call in calls) == [False, True, True]
    assert sum("MAX_DRAINS others" in call.reason for call in calls) == 2


def test_a_server_that_stops_does_not_wait_for_drains(world, provider):
    world.feature("drains", on_disconnect="drain")
    key = world.key()
    server = Server()
    try:
        provider.pause_s = 0.5
        leave(server.url, key, "drains")
    finally:
        server.stop()
    [call] = ended()
    assert (call.outcome, call.usage_estimated) == ("cancelled", True)


def test_a_drained_call_whose_provider_fails_says_so(world, provider, server):
    world.feature("drains", "cut", on_disconnect="drain")
    key = world.key()
    server.catch_up()
    provider.pause_s = 0.01
    leave(server.url, key, "drains")
    [call] = ended()
    assert call.outcome == "provider_error"


def test_a_whole_reply_is_as_without_draining(world, provider):
    world.feature("drains", on_disconnect="drain")
    said = gateway.complete("drains", messages=[{"role": "user", "content": "hello"}])
    with gateway.stream("drains", messages=[{"role": "user", "content": "hello there"}]) as deltas:
        text = "".join(delta.text for delta in deltas)
    assert (said.text, text, deltas.reply.text) == ("hello", "hello there", "hello there")
    assert [c.outcome for c in ended(2)] == ["ok", "ok"]


def test_errors_are_raised_as_without_draining(world, provider):
    world.feature("drains", "status:400", on_disconnect="drain")
    with pytest.raises(gateway.errors.ProviderError, match="mock 400"):
        gateway.complete("drains", messages=[{"role": "user", "content": "hello"}])
    [call] = ended()
    assert call.outcome == "provider_error"


def test_an_iterator_that_is_closed_early_is_drained(world, provider):
    world.feature("drains", on_disconnect="drain")
    provider.pause_s = 0.01
    with gateway.stream("drains", messages=[{"role": "user", "content": LONG}]) as deltas:
        next(deltas)
    [call] = ended()
    assert (call.outcome, used(call), call.usage_estimated) == ("cancelled", USAGE, False)


def test_an_asynchronous_iterator_that_is_cancelled_is_drained(world, provider):
    world.feature("drains", on_disconnect="drain")
    provider.pause_s = 0.01

    async def leaves():
        async for _ in gateway.astream("drains", messages=[{"role": "user", "content": LONG}]):
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(leaves())
    engine.running()
