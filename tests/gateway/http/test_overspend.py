"""A cap is a cap over HTTP too, from several servers, plain and streamed; a killed server's call is a `lost` row."""

import asyncio
from decimal import Decimal

import httpx
import pytest
from asgiref.sync import async_to_sync

from budgets.models import Budget, Window
from gateway.models import Call, Hold
from tests.gateway.ledger.test_overspend import Sampler, wait_until
from tests.server import Server


@pytest.fixture
def second_server(world):
    other = Server()
    yield other
    if other.process.poll() is None:
        other.kill()


@pytest.fixture
def impatient_server(world):
    """One that soon takes the silent for dead; those that are only slow, like other tests' engines, must not meet it."""
    impatient = Server(TOLLHOUSE_OWNER_DEAD_AFTER_S="2")
    yield impatient
    impatient.stop()


def test_two_servers_share_one_cap(world, provider, server, second_server):
    world.feature("f", max_output_tokens=50)
    Budget.objects.create(feature="f", limit=Decimal("0.02"))
    key = world.key()
    server.catch_up()
    second_server.catch_up()
    provider.pause_s = 0.002
    with Sampler() as sampler:
        outcomes = async_to_sync(_storm)([server.url, second_server.url], key)
    assert sampler.samples > 10 and sampler.broken == []
    assert set(outcomes) == {200, 429}
    assert Call.objects.count() == len(outcomes) == 200
    assert Call.objects.filter(outcome="ok").count() == outcomes.count(200) == len(provider.requests)
    window = Window.objects.get()
    assert window.held == 0
    # Each call costs 0.0004; it is held with more, so the last ones are refused although some would have fitted.
    assert window.spent == Decimal("0.0004") * outcomes.count(200) <= Decimal("0.02")
    assert window.spent > Decimal("0.01")


async def _storm(urls, key):
    headers = {"authorization": f"Bearer {key}"}
    limits = httpx.Limits(max_connections=40)

    async with httpx.AsyncClient(headers=headers, limits=limits, timeout=30) as client:

        async def call(number):
            body = {"model": "f", "messages": [{"role": "user", "content": "hello"}], "stream": number % 2 == 0}
            answer = await client.post(f"{urls[number % len(urls)]}/v1/chat/completions", json=body)
            assert answer.status_code == 429 or answer.text.endswith("[DONE]\n\n") or answer.json()["choices"]
            return answer.status_code

        return list(await asyncio.gather(*(call(number) for number in range(200))))


@pytest.mark.parametrize("stream", [False, True])
def test_kill_9_in_mid_call_leaves_one_lost_row(world, provider, impatient_server, second_server, stream):
    world.feature("f", "hang")
    Budget.objects.create(feature="f", limit=1)
    key = world.key()
    second_server.catch_up()
    body = {"model": "f", "messages": [{"role": "user", "content": "hello"}], "stream": stream}
    async_to_sync(_kill_in_mid_call)(second_server, key, body, provider)
    assert Hold.objects.count() == 1
    # The other server sees that the owner is silent.
    wait_until(lambda: Call.objects.exists())
    lost = Call.objects.get()
    assert (lost.outcome, lost.feature, lost.key, lost.usage_estimated) == ("lost", "f", "test", True)
    window = Window.objects.get()
    assert (window.held, window.spent) == (0, lost.cost_usd)
    assert lost.cost_usd == lost.held_usd > 0


async def _kill_in_mid_call(server, key, body, provider):
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=30) as client:
        call = asyncio.create_task(client.post(f"{server.url}/v1/chat/completions", json=body))
        async with asyncio.timeout(10):
            while not provider.requests:
                await asyncio.sleep(0.01)
        await asyncio.to_thread(server.kill)
        with pytest.raises(httpx.HTTPError):
            await call
