"""Calls leave nothing behind in the process: no task, thread, connection, open generator, nor any object for each call.

Counted, not timed. `TOLLHOUSE_LEAK_CALLS=10000 TOLLHOUSE_LEAK_STREAMS=1000` makes the long run; without them it is a tenth of the
calls and half of the streams. Calls go through the data plane's application in this process, so that its objects can be seen.
"""

import asyncio
import gc
import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable

import psutil
import pytest
from asgiref.sync import sync_to_async

from gateway import engine, settle
from gateway.http.app import data_plane
from gateway.models import Call, Hold

CALLS = int(os.environ.get("TOLLHOUSE_LEAK_CALLS", "1000"))
STREAMS = int(os.environ.get("TOLLHOUSE_LEAK_STREAMS", "500"))
WARM = 100
MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "a text that comes in many pieces"}]

application = data_plane(None)  # type: ignore[arg-type]  # nothing here is Django's to answer


class Client:
    """One request to the application, as a server makes it; with `leaves` the client goes away after the first piece."""

    def __init__(self, key: str, feature: str, *, stream: bool, leaves: bool = False) -> None:
        body = {"model": feature, "messages": MESSAGES, "stream": stream}
        self._events = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
        self._headers = [(b"authorization", f"Bearer {key}".encode())]
        self._leaves = leaves
        self._gone = asyncio.Event()
        self.status = 0

    async def receive(self) -> dict:
        if self._events:
            return self._events.pop()
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, event: dict) -> None:
        self.status = event.get("status", self.status)
        if self._leaves and event["type"] == "http.response.body":
            self._gone.set()

    async def ask(self) -> int:
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": self._headers}
        await application(scope, self.receive, self.send)
        return self.status


def census() -> Counter[str]:
    """What lives in this process now: everything by type, and what has to be closed."""
    gc.collect()
    found = Counter(type(thing).__qualname__ for thing in gc.get_objects())
    found["all objects"] = found.total()
    found["tasks"] = len(asyncio.all_tasks())
    found["threads"] = threading.active_count()
    found["open files and connections"] = psutil.Process().num_fds()
    return found


async def in_turn(calls: int, provider, make: Callable[[int], Client]) -> None:
    for number in range(calls):
        assert await make(number).ask() == 200
    await settle.settled()
    # The provider lives in this process too: its memory of what it was asked is not ours, nor are its last handlers.
    while provider.serving:
        await asyncio.sleep(0.01)
    provider.requests.clear()
    provider.headers.clear()


def grown(before: Counter[str], after: Counter[str], calls: int) -> dict[str, str]:
    """What is more than it may be: its name → how many there were and are."""
    # One object for each call, or for each of one half of them, would be more; caches that fill up are less.
    most = {name: before[name] + calls // 3 for name in after}
    for name in ("tasks", "threads", "async_generator", "generator", "coroutine", "Task", "ClientResponse", "Entry"):
        most[name] = before[name]
    # A connection to the provider may be kept for the next call, at either end.
    most["open files and connections"] = before["open files and connections"] + 4
    return {name: f"{before[name]} → {after[name]}" for name in most if after[name] > most[name]}


async def assert_nothing_stays(calls: int, provider, make: Callable[[int], Client]) -> None:
    await in_turn(WARM, provider, make)
    before = census()
    await in_turn(calls, provider, make)
    # What runs now and then beside calls (the catalog's watch, a heartbeat) may be at a step; what stays is there each time.
    for _ in range(30):
        if not (left := grown(before, census(), calls)):
            return
        await asyncio.sleep(0.2)
    assert not left


@pytest.fixture
async def key(world, settings):
    # Providers that always fail are asked all the same.
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "BREAKER_FAILURES": 1_000_000}

    def configured() -> str:
        world.feature("plain")
        world.feature("cut", "cut")
        return world.key()

    made = await sync_to_async(configured)()
    # The test runner keeps what is logged.
    logging.disable(logging.CRITICAL)
    await engine.adopt()
    yield made
    await engine.release()
    logging.disable(logging.NOTSET)


async def test_calls_in_sequence_leave_nothing(key, provider):
    await assert_nothing_stays(CALLS, provider, lambda _: Client(key, "plain", stream=False))
    assert await Call.objects.filter(outcome="ok").acount() == CALLS + WARM
    assert await Hold.objects.acount() == 0


async def test_broken_streams_leave_nothing(key, provider):
    """Half of them are left by their client, half are cut by the provider."""
    provider.pause_s = 0.002

    def broken(number: int) -> Client:
        return Client(key, "cut" if number % 2 else "plain", stream=True, leaves=number % 2 == 0)

    await assert_nothing_stays(STREAMS, provider, broken)
    rows = Counter([outcome async for outcome in Call.objects.values_list("outcome", flat=True)])
    half = (STREAMS + WARM) // 2
    # On a machine that stalls, a whole stream may come at once, before its client can leave.
    assert rows["provider_error"] == half and rows["cancelled"] + rows["ok"] == half and rows["cancelled"] > half / 2
    assert await Hold.objects.acount() == 0
