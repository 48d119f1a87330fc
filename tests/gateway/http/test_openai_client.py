"""The official client, unmodified, against the product's own server."""

import asyncio
import json
from decimal import Decimal

import openai
import pydantic
import pytest
from openai import AsyncOpenAI, OpenAI

from budgets.models import Budget, Switch
from gateway.models import Call

MESSAGES = [{"role": "user", "content": "hello there"}]


@pytest.fixture
def client(world, server):
    """An OpenAI client with a key for everything; connects when the server knows the world."""
    world.feature("f", "echo", "tool", "json", "cached", "nousage")
    key = world.key()
    server.catch_up()
    with OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, timeout=20) as found:
        yield found


def test_chat(client):
    raw = client.chat.completions.with_raw_response.create(
        model="f", messages=MESSAGES, extra_headers={"X-Tollhouse-User": "u1"}
    )
    reply = raw.parse()
    assert reply.choices[0].message.content == "hello there"
    assert reply.usage.total_tokens == 30
    assert reply.model_extra["x_vendor"] == {"kept": True}
    call = Call.objects.get()
    assert raw.headers["x-tollhouse-call-id"] == str(call.id)
    assert Decimal(raw.headers["x-tollhouse-cost-usd"]) == call.cost_usd == Decimal("0.0004")
    assert (call.source, call.key, call.outcome) == ("http", "test", "ok")
    assert call.user_ref and "u1" not in call.user_ref


def test_unknown_fields_reach_the_provider(client, provider):
    client.chat.completions.create(model="f", messages=MESSAGES, extra_body={"grammar": "root ::= x"}, temperature=0)
    assert (provider.requests[0]["grammar"], provider.requests[0]["temperature"]) == ("root ::= x", 0)


def test_a_stream(client, provider):
    provider.pause_s = 0.005
    chunks = list(client.chat.completions.create(model="f", messages=MESSAGES, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "hello there"
    assert all(c.choices for c in chunks), "nobody asked for the usage event"
    assert provider.requests[0]["stream_options"] == {"include_usage": True}
    call = Call.objects.get()
    assert (call.outcome, call.streamed, call.usage_estimated, call.cost_usd) == ("ok", True, False, Decimal("0.0004"))


def test_a_stream_with_usage(client):
    chunks = list(
        client.chat.completions.create(
            model="f", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == 30


def test_tools_plain_and_streamed(client):
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
    asked = {"model": "mock/tool", "messages": MESSAGES, "tools": tools, "extra_headers": {"X-Tollhouse-Feature": "f"}}
    reply = client.chat.completions.create(**asked)
    assert json.loads(reply.choices[0].message.tool_calls[0].function.arguments) == {"query": "hello there"}
    with client.chat.completions.stream(**asked) as stream:
        final = stream.get_final_completion()
    assert json.loads(final.choices[0].message.tool_calls[0].function.arguments) == {"query": "hello there"}
    assert [c.tool_calls for c in Call.objects.all()] == [1, 1]


def test_structured_output(client):
    class Person(pydantic.BaseModel):
        name: str
        age: int

    reply = client.chat.completions.parse(
        model="json", messages=MESSAGES, response_format=Person, extra_headers={"X-Tollhouse-Feature": "f"}
    )
    assert reply.choices[0].message.parsed == Person(name="Ada", age=36)


def test_several_choices_are_held_and_heard(client):
    reply = client.chat.completions.create(model="f", messages=MESSAGES, n=3)
    assert [c.index for c in reply.choices] == [0, 1, 2]
    one, three = client.chat.completions.create(model="f", messages=MESSAGES), None
    three, one = (c.held_usd for c in Call.objects.order_by("id"))
    assert three > 2 * one


def test_images_pass_through(client, provider):
    parts = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]
    client.chat.completions.create(model="f", messages=[{"role": "user", "content": parts}])
    assert provider.requests[0]["messages"][0]["content"] == parts


@pytest.mark.parametrize("encoding", ["float", "base64", openai.NOT_GIVEN])
def test_embeddings(client, encoding):
    found = client.embeddings.create(model="f", input=["a", "b"], encoding_format=encoding)
    assert [len(item.embedding) for item in found.data] == ([16, 16] if encoding == "base64" else [3, 3])
    if encoding != "base64":
        assert found.data[0].embedding == [0.5, -0.25, 2.0]


def test_the_prompt_of_the_feature_over_http(client, world):
    from gateway.models import Feature

    world.prompt(Feature.objects.get(slug="f"), {"messages": [{"role": "user", "content": "Say {{ word }}"}]})
    wait_for_catalog(client)
    reply = client.chat.completions.create(model="f", messages=[], extra_body={"variables": {"word": "yes"}})
    assert reply.choices[0].message.content == "Say yes"


def test_models(client):
    assert [m.id for m in client.models.list()] == [
        "f",
        "mock/echo",
        "mock/tool",
        "mock/json",
        "mock/cached",
        "mock/nousage",
    ]


async def test_async(client):
    async with AsyncOpenAI(base_url=client.base_url, api_key=client.api_key, max_retries=0) as found:
        replies = await asyncio.gather(
            *(found.chat.completions.create(model="f", messages=MESSAGES) for _ in range(20))
        )
        assert {r.choices[0].message.content for r in replies} == {"hello there"}
        stream = await found.chat.completions.create(model="f", messages=MESSAGES, stream=True)
        assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "hello there"
    assert await Call.objects.acount() == 21


def test_a_client_that_goes_away_cancels_upstream(client, provider):
    provider.pause_s = 0.05
    stream = client.chat.completions.create(
        model="f", messages=[{"role": "user", "content": "word " * 100}], stream=True
    )
    for _ in range(3):
        next(stream)
    stream.close()
    call = wait_for(lambda: Call.objects.first())
    assert call.outcome == "cancelled" and call.usage_estimated and call.output_tokens < 30
    wait_for(lambda: provider.cancelled == 1)


def test_bad_keys(client, world):
    for key in ("th_wrong", "x" * 200):
        with pytest.raises(openai.AuthenticationError, match="unknown, revoked or expired"):
            client.with_options(api_key=key).chat.completions.create(model="f", messages=MESSAGES)
    narrow = world.key("other.*", name="narrow", tenant="acme")
    wait_for_catalog(client)
    with pytest.raises(openai.PermissionDeniedError, match="may not use the feature f"):
        client.with_options(api_key=narrow).chat.completions.create(model="f", messages=MESSAGES)
    assert Call.objects.count() == 0


def test_a_key_of_a_tenant_speaks_for_no_other(client, world):
    bound = client.with_options(api_key=world.key(name="bound", tenant="acme"))
    wait_for_catalog(client)
    with pytest.raises(openai.PermissionDeniedError, match="bound to the tenant acme"):
        bound.chat.completions.create(model="f", messages=MESSAGES, extra_headers={"X-Tollhouse-Tenant": "other"})
    bound.chat.completions.create(model="f", messages=MESSAGES)
    assert Call.objects.get().tenant == "acme"


def test_unknown_features_and_models(client):
    with pytest.raises(openai.NotFoundError, match="no feature 'gpt-4o'"):
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    with pytest.raises(openai.NotFoundError, match="no model 'gpt-4o'"):
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES, extra_headers={"X-Tollhouse-Feature": "f"})


def test_a_spent_budget_is_a_429_that_is_not_retried(client, provider):
    Budget.objects.create(feature="f", limit=0)
    with pytest.raises(openai.RateLimitError) as raised:
        client.with_options(max_retries=3).chat.completions.create(model="f", messages=MESSAGES)
    assert raised.value.code == "budget_exceeded"
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert provider.requests == [] and Call.objects.count() == 1
    assert raised.value.response.headers["x-tollhouse-call-id"] == str(Call.objects.get().id)


def test_a_switch_is_a_503_that_is_not_retried(client):
    Switch.objects.create(scope="everything", reason="maintenance until noon")
    with pytest.raises(openai.InternalServerError, match="maintenance until noon") as raised:
        client.with_options(max_retries=3).chat.completions.create(model="f", messages=MESSAGES, stream=True)
    assert (raised.value.status_code, raised.value.code, Call.objects.count()) == (503, "feature_disabled", 1)


@pytest.mark.parametrize(
    "status, kind", [(400, openai.BadRequestError), (401, openai.AuthenticationError), (429, openai.RateLimitError)]
)
def test_a_provider_s_error_keeps_its_status(client, world, status, kind):
    world.feature("g", f"status:{status}")
    wait_for_catalog(client)
    with pytest.raises(kind, match=f"mock {status}"):
        client.chat.completions.create(model="g", messages=MESSAGES)


def test_an_error_in_mid_stream_is_an_event(client, world):
    world.feature("g", "error-event")
    wait_for_catalog(client)
    with pytest.raises(openai.APIError, match="mock overload"):
        list(
            client.chat.completions.create(model="g", messages=[{"role": "user", "content": "word " * 20}], stream=True)
        )
    assert Call.objects.get().outcome == "provider_error"


def wait_for_catalog(client):
    """The server's catalog follows the database's by itself, within a second; until then the test waits."""
    import urllib.request

    from gateway.models import Revision

    def current():
        with urllib.request.urlopen(str(client.base_url).replace("/v1/", "/readyz")) as answer:
            return json.load(answer)["revisions"] == dict(Revision.objects.values_list("name", "value"))

    wait_for(current)


def wait_for(condition):
    import time

    for _ in range(400):
        if found := condition():
            return found
        time.sleep(0.02)
    raise TimeoutError
