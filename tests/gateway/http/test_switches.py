"""Kill switches over HTTP: refusals in the words that were typed, and calls under way that are cut off in every server."""

import json
import threading
import time
from datetime import timedelta

import httpx
import pytest
from django.utils import timezone

from budgets.models import Budget, Switch, Window
from gateway.models import Call, Hold
from gateway.switches import lift, switch_off
from tests.server import Server

LONG = "word " * 400
BODIES = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": LONG}]},
    "/v1/responses": {"input": LONG},
    "/v1/messages": {"messages": [{"role": "user", "content": LONG}], "max_tokens": 100},
}


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return found


@pytest.fixture
def second_server(world):
    other = Server()
    yield other
    other.stop()


@pytest.fixture
def key(world, provider, server):
    world.feature("f")
    world.feature("g", "other")
    made = world.key()
    server.catch_up()
    return made


def post(server, key, path="/v1/chat/completions", body=None, **headers):
    content = {"model": "f", **(body or BODIES[path])}
    return httpx.post(
        f"{server.url}{path}",
        json=content,
        timeout=30,
        headers={"authorization": f"Bearer {key}"} | {f"x-tollhouse-{name}": value for name, value in headers.items()},
    )


class Caller(threading.Thread):
    """A client of its own thread. `begun` when some words of the answer have come; `text` is all of it, when it has ended."""

    def __init__(self, server, key, path="/v1/chat/completions", *, stream=True, model="f", **headers):
        super().__init__(daemon=True)
        self.begun, self.status, self.text = threading.Event(), 0, ""
        self._ask = {
            "url": f"{server.url}{path}",
            "json": {"model": model, "stream": stream, **BODIES[path]},
            "headers": {
                "authorization": f"Bearer {key}",
                **{f"x-tollhouse-{name}": value for name, value in headers.items()},
            },
        }
        self.start()

    def run(self):
        with httpx.stream("POST", timeout=60, **self._ask) as answer:
            self.status = answer.status_code
            for part in answer.iter_text():
                self.text += part
                if self.text.count("delta") > 8:
                    self.begun.set()

    def ended(self):
        self.join(20)
        assert not self.is_alive(), "the answer did not end"
        return self.text

    def last_event(self):
        lines = [line for line in self.ended().splitlines() if line.startswith("data: ")]
        return json.loads(lines[-1].removeprefix("data: "))


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_says_what_was_typed_and_when_it_lifts(world, server, key, path, stream):
    until = timezone.now() + timedelta(hours=2)
    switch_off(
        Switch(scope="feature", value="f", reason="It invents refunds, see incident 17", expires_at=until), actor="ada"
    )
    answer = post(server, key, path, {**BODIES[path], "stream": stream})
    assert answer.status_code == 503 and answer.headers["x-should-retry"] == "false"
    assert 7100 < int(answer.headers["retry-after"]) <= 7200
    error = answer.json()["error"]
    assert (
        f"feature f is switched off until {until:%Y-%m-%d %H:%M:%S} UTC: It invents refunds, see incident 17"
        == error["message"]
    )
    lift(Switch.objects.all(), actor="ada", reason="mended")
    switch_off(Switch(scope="everything", reason="Nothing works"), actor="ada")
    answer = post(server, key, path)
    assert answer.json()["error"]["message"] == "everything is switched off: Nothing works"
    assert "retry-after" not in answer.headers
    assert set(Call.objects.values_list("outcome", "error_class")) == {("refused_switch", "FeatureDisabled")}


@pytest.mark.parametrize("path", BODIES)
def test_streams_in_two_servers_are_cut_with_an_error_event(world, provider, server, second_server, key, path):
    second_server.catch_up()
    Budget.objects.create(feature="f", limit=100)
    provider.pause_s = 0.05
    callers = [Caller(one, key, path) for one in (server, second_server)]
    assert all(caller.begun.wait(20) for caller in callers)
    switch_off(Switch(scope="feature", value="f", reason="It leaks names", running="cut"), actor="ada")
    words = "This call was cut off, as feature f is switched off: It leaks names"
    for caller in callers:
        event = caller.last_event()
        error = event if path == "/v1/responses" else event["error"]
        assert error["message"] == words and caller.status == 200
        assert event.get("type") == (None if path == "/v1/chat/completions" else "error")
    wait_for(lambda: provider.cancelled == 2 and not provider.serving)
    calls = Call.objects.all()
    assert {(c.outcome, c.error_class, c.reason) for c in calls} == {("cancelled", "CallCut", words)}
    for call in calls:
        # What was written until then, counted, and not all that was held.
        assert call.usage_estimated and 0 < call.output_tokens < 100 and 0 < call.cost_usd < call.held_usd
    window = Window.objects.get()
    assert (window.held, window.spent) == (0, sum(call.cost_usd for call in calls))
    assert not Hold.objects.exists()


def test_a_plain_call_is_cut_with_an_error(world, provider, server, key):
    world.feature("h", "hang")
    server.catch_up()
    caller = Caller(server, key, stream=False, model="h")
    wait_for(lambda: provider.serving == 1)
    switch_off(Switch(scope="provider", value="mock", reason="Its key leaked", running="cut"), actor="ada")
    error = json.loads(caller.ended())["error"]
    assert (caller.status, error["code"], error["type"]) == (503, "call_cut", "feature_disabled")
    assert "provider mock is switched off: Its key leaked" in error["message"]
    wait_for(lambda: provider.cancelled == 1)
    call = Call.objects.get()
    # The provider may charge for all of it, so all that was held counts.
    assert (call.outcome, call.cost_usd, call.usage_estimated) == ("cancelled", call.held_usd, True)


def test_only_the_switch_s_own_calls_are_cut_and_those_that_may_finish_do(world, provider, server, key):
    provider.pause_s = 0.02
    others = [
        Caller(server, key, model="g", tenant="acme"),
        Caller(server, key, tenant="umbrella"),
        Caller(server, key),
    ]
    cut = Caller(server, key, tenant="acme")
    assert all(caller.begun.wait(20) for caller in (*others, cut))
    switch_off(Switch(scope="feature", value="f", tenant="acme", reason="x", running="cut"), actor="ada")
    assert "cut off" in cut.last_event()["error"]["message"]
    switch_off(Switch(scope="everything", reason="y", running="finish"), actor="ada")
    assert post(server, key).status_code == 503
    # What is left of them comes at once: word by word it would take the most part of their route's time.
    provider.pause_s = 0
    for caller in others:
        assert caller.ended().rstrip().endswith("data: [DONE]")
    assert provider.saw_leave(1)
    assert sorted(Call.objects.values_list("outcome", flat=True)) == ["cancelled", "ok", "ok", "ok", "refused_switch"]


def test_a_client_that_reads_nothing_does_not_keep_the_provider_writing(world, provider, server, key):
    """The pieces wait for the client, so nobody waits for the provider; it is cut off all the same."""
    world.feature("much", "flood")
    server.catch_up()
    with httpx.stream(
        "POST",
        f"{server.url}/v1/chat/completions",
        timeout=30,
        headers={"authorization": f"Bearer {key}"},
        json={"model": "much", "stream": True, "messages": [{"role": "user", "content": "x" * 300_000}]},
    ) as answer:
        assert answer.status_code == 200
        wait_for(lambda: provider.serving == 1)
        switch_off(Switch(scope="feature", value="much", reason="x", running="cut"), actor="ada")
        wait_for(lambda: not provider.serving)
        call = wait_for(lambda: Call.objects.first())
    assert (call.outcome, call.error_class) == ("cancelled", "CallCut") and call.output_tokens < 100_000
