"""What a budget's refusal says over HTTP: until when, and to whom it belongs."""

import re
from datetime import datetime

import httpx
import pytest

from budgets.models import Budget, Window


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_a_refusal_says_when_the_budget_resets(world, server, path):
    world.feature("f")
    Budget.objects.create(each=["tenant"], limit=0, period="hour")
    key = world.key()
    server.catch_up()
    body = {"model": "f", "max_tokens": 10, "messages": [{"role": "user", "content": "hello"}]}
    if path == "/v1/responses":
        body = {"model": "f", "input": "hello"}
    headers = {"authorization": f"Bearer {key}", "x-tollhouse-tenant": "acme"}
    answer = httpx.post(server.url + path, json=body, headers=headers, timeout=30)
    window = Window.objects.get()
    assert (answer.status_code, window.value) == (429, "acme")
    told = answer.headers["x-tollhouse-budget-resets"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told)
    assert datetime.fromisoformat(told) == window.ends_at
    assert answer.headers["x-should-retry"] == "false"
    message = answer.json()["error"]["message"]
    assert "the hour's budget of 0 USD for tenant acme" in message and f"{window.ends_at:%Y-%m-%d %H:%M} UTC" in message
    if path == "/v1/chat/completions":
        assert answer.json()["error"]["resets_at"] == told
