"""For whom calls are made: context, middleware, rollout; and clients of SDKs that pass through the gate."""

import asyncio
import contextvars
import json
import os
import signal
import threading
import time

import openai
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

import gateway
from budgets.models import Budget
from gateway import errors, keys
from gateway.middleware import ContextMiddleware
from gateway.models import Call, Feature, Hold
from gateway.rollout import Rollout

MESSAGES = [{"role": "user", "content": "hello there"}]


def view(request):
    return HttpResponse(gateway.complete("f", messages=MESSAGES).text)


async def async_view(request):
    return HttpResponse((await gateway.acomplete("f", messages=MESSAGES)).text)


def idle_view(request):
    return HttpResponse()


def inside_view(request):
    with gateway.context(tenant="umbrella"):
        return view(request)


urlpatterns = [path("sync", view), path("async", async_view), path("idle", idle_view), path("inside", inside_view)]


def whose(request):
    return {"tenant": request.headers.get("x-organisation", ""), "labels": {"page": request.path}}


def test_a_context_counts_where_a_call_says_nothing_else(world):
    world.feature("f")
    with gateway.context(user=7, tenant="acme", session="s1", labels={"a": "1"}):
        gateway.complete("f", messages=MESSAGES)
        with gateway.context(tenant="umbrella", cohort="beta", labels={"b": "2"}):
            gateway.complete("f", messages=MESSAGES, session="s2", labels={"a": "3"})
    gateway.complete("f", messages=MESSAGES)
    first, second, third = Call.objects.order_by("id")
    assert (first.user_ref, first.tenant, first.session_id, first.labels) == (
        keys.user_ref("7"),
        "acme",
        "s1",
        {"a": "1"},
    )
    assert (second.user_ref, second.tenant, second.cohort, second.session_id) == (
        first.user_ref,
        "umbrella",
        "beta",
        "s2",
    )
    assert second.labels == {"a": "3", "b": "2"}
    assert (third.user_ref, third.tenant, third.labels) == ("", "", {})


@pytest.mark.parametrize("labels", [["a"], "a"])
def test_labels_that_are_none_are_refused(labels):
    with pytest.raises(errors.InvalidRequest, match="`labels` must be a dict"), gateway.context(labels=labels):
        pass


def test_a_context_in_a_generator_may_be_closed_elsewhere():
    """As servers do with the body of a response whose reader went away."""

    def body():
        with gateway.context(tenant="acme"):
            yield

    opened = body()
    contextvars.copy_context().run(next, opened)
    contextvars.copy_context().run(opened.close)


async def test_contexts_of_tasks_do_not_mix(world):
    await sync_to_async(world.feature)("f")

    async def ask(tenant):
        with gateway.context(tenant=tenant):
            await asyncio.sleep(0.01)
            await gateway.acomplete("f", messages=MESSAGES)

    await asyncio.gather(*(ask(f"t{n}") for n in range(5)))
    assert {call.tenant async for call in Call.objects.all()} == {f"t{n}" for n in range(5)}


@pytest.fixture
def site(world, settings):
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "gateway.middleware.ContextMiddleware"]
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "REQUEST_CONTEXT": f"{__name__}.whose"}
    world.feature("f")
    return User.objects.create_user("jane")


def test_the_middleware_says_whose_a_requests_calls_are(site):
    client = Client()
    client.force_login(site)
    assert client.get("/sync", headers={"x-organisation": "acme"}).content == b"hello there"
    call = Call.objects.get()
    assert (call.user_ref, call.tenant, call.labels) == (keys.user_ref(str(site.pk)), "acme", {"page": "/sync"})


async def test_the_middleware_in_asynchronous_views(site):
    client = AsyncClient()
    await client.aforce_login(site)
    assert (await client.get("/async", headers={"x-organisation": "acme"})).content == b"hello there"
    call = await Call.objects.aget()
    assert (call.user_ref, call.tenant) == (keys.user_ref(str(site.pk)), "acme")


def whose_by_user(request):
    return {"tenant": request.user.get_username(), "cohort": "staff"}


@pytest.mark.parametrize("page", ["/sync", "/async"])
@pytest.mark.parametrize("client", [Client, AsyncClient])
async def test_what_a_request_knows_may_ask_the_database(site, settings, client, page):
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "REQUEST_CONTEXT": f"{__name__}.whose_by_user"}
    browser = client()
    await browser.aforce_login(site)
    if client is Client:
        await sync_to_async(browser.get)(page)
    else:
        await browser.get(page)
    call = await Call.objects.aget()
    assert (call.user_ref, call.tenant, call.cohort) == (keys.user_ref(str(site.pk)), "jane", "staff")


def test_what_a_request_knows_is_found_out_only_where_a_call_is_made(site, settings, django_assert_num_queries):
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "REQUEST_CONTEXT": f"{__name__}.whose_by_user"}
    client = Client()
    client.force_login(site)
    with django_assert_num_queries(0):
        assert client.get("/idle").content == b""


def test_a_block_inside_of_a_request_counts_before_what_the_request_knows(site):
    Client().get("/inside", headers={"x-organisation": "acme"})
    call = Call.objects.get()
    assert (call.tenant, call.labels) == ("umbrella", {"page": "/inside"})


def test_nobody_is_logged_in(site):
    Client().get("/sync")
    assert Call.objects.get().user_ref == ""


def nothing_much(request):
    return {"tenant": None, "cohort": None, "labels": None}


def test_what_a_request_does_not_know_is_nothing(site, settings):
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "REQUEST_CONTEXT": f"{__name__}.nothing_much"}
    assert Client().get("/sync").status_code == 200
    call = Call.objects.get()
    assert (call.tenant, call.cohort, call.labels) == ("", "", {})


def misspelt(request):
    return {"organisation": "acme"}


def forgotten(request):
    return None


@pytest.mark.parametrize("name, words", [("misspelt", "not one with organisation"), ("forgotten", "of type NoneType")])
def test_a_function_that_says_something_else_is_told(site, settings, name, words):
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "REQUEST_CONTEXT": f"{__name__}.{name}"}
    with pytest.raises(ImproperlyConfigured, match=f"must return a dict with any of cohort, .*{words}"):
        Client().get("/sync")
    assert not Call.objects.exists()


def test_a_wrong_function_is_told(settings):
    settings.TOLLHOUSE = {"REQUEST_CONTEXT": "nowhere.at_all"}
    with pytest.raises(ImproperlyConfigured, match=r"nowhere\.at_all"):
        ContextMiddleware(lambda request: HttpResponse())


def test_a_feature_in_its_internal_phase_is_for_those_named(world, provider):
    world.feature("f", phase="internal", rollout_tenants=["acme"], rollout_cohorts=["staff"], rollout_percent=100)
    assert gateway.enabled("f", tenant="acme") and gateway.enabled("f", cohort="staff", user=1)
    assert not gateway.enabled("f", tenant="umbrella") and not gateway.enabled("f")
    with gateway.context(tenant="acme"):
        assert gateway.enabled("f")
    gateway.complete("f", messages=MESSAGES, tenant="acme")
    with pytest.raises(errors.FeatureDisabled, match="internal phase"):
        gateway.complete("f", messages=MESSAGES, tenant="umbrella")
    assert len(provider.requests) == 1
    assert set(Call.objects.values_list("tenant", "outcome")) == {("acme", "ok"), ("umbrella", "refused_switch")}


def test_a_beta_grows_by_percent_and_keeps_whom_it_has():
    tenants = [f"tenant-{n}" for n in range(4000)]

    def included(percent):
        rollout = Rollout(phase="beta", percent=percent)
        return {t for t in tenants if rollout.includes("f", tenant=t, cohort="", unit=t)}

    few, many = included(10), included(30)
    assert few < many and 300 < len(few) < 500 and 1050 < len(many) < 1350
    assert included(100) == set(tenants) and included(0) == set()
    assert not Rollout(phase="beta", percent=100).includes("f", tenant="", cohort="", unit="")


def test_a_disclosure_is_there_to_be_shown(world):
    world.feature("f", disclosure="Drafted by a machine, sent by a person.")
    assert gateway.disclosure("f") == "Drafted by a machine, sent by a person."
    with pytest.raises(errors.NotFound, match="there are: f"):
        gateway.disclosure("g")


@pytest.fixture
def wrapped(world):
    world.feature("f", "echo", "tool", "json", "embedder", "hang")
    return gateway.wrap(openai.OpenAI(api_key="sk-not-used", base_url="http://nowhere.invalid/v1"), feature="f")


def test_a_wrapped_client_passes_through_the_gate(wrapped, provider):
    with gateway.context(user=7, tenant="acme"):
        reply = wrapped.chat.completions.create(model="echo", messages=MESSAGES)
    assert reply.choices[0].message.content == "hello there"
    call = Call.objects.get()
    assert (call.feature, call.tenant, call.user_ref, call.source) == ("f", "acme", keys.user_ref("7"), "sdk")
    assert call.model_served == "echo" and call.cost_usd > 0
    assert "sk-not-used" not in json.dumps(provider.headers)


def test_a_wrapped_client_streams_and_does_all_that_it_did(wrapped):
    chunks = list(wrapped.chat.completions.create(model="f", messages=MESSAGES, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "hello there"
    assert wrapped.responses.create(model="echo", input="hello there").output_text == "hello there"
    assert wrapped.embeddings.create(model="embedder", input=["a"]).data[0].embedding == [0.5, -0.25, 1.0]
    raw = wrapped.chat.completions.with_raw_response.create(model="f", messages=MESSAGES)
    assert raw.headers["x-tollhouse-call-id"]
    assert Call.objects.count() == 4


def test_a_wrapped_client_raises_what_it_always_raised(wrapped, provider):
    with pytest.raises(openai.NotFoundError, match="has no model 'gpt-9'"):
        wrapped.chat.completions.create(model="gpt-9", messages=MESSAGES)
    Budget.objects.create(feature="f", limit=0)
    with pytest.raises(openai.RateLimitError, match="budget"):
        wrapped.chat.completions.create(model="echo", messages=MESSAGES)
    assert provider.requests == []


def test_leaving_a_wrapped_stream_cancels_the_call(wrapped, provider):
    provider.pause_s = 0.02
    stream = wrapped.chat.completions.create(
        model="echo", messages=[{"role": "user", "content": "word " * 200}], stream=True
    )
    next(iter(stream))
    stream.close()
    gateway.engine.stop()
    assert Call.objects.get().outcome == "cancelled"


async def test_an_asynchronous_client(wrapped, provider):
    client = gateway.wrap(openai.AsyncOpenAI(api_key="sk-not-used"), feature="f")
    replies = await asyncio.gather(*(client.chat.completions.create(model="echo", messages=MESSAGES) for _ in range(3)))
    assert {reply.choices[0].message.content for reply in replies} == {"hello there"}
    stream = await client.chat.completions.create(model="echo", messages=MESSAGES, stream=True)
    assert "".join([c.choices[0].delta.content or "" async for c in stream if c.choices]) == "hello there"
    hanging = asyncio.create_task(client.chat.completions.create(model="hang", messages=MESSAGES))
    while len(provider.requests) < 5:
        await asyncio.sleep(0.01)
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
    await sync_to_async(gateway.engine.stop)()
    assert await Call.objects.filter(outcome="cancelled").acount() == 1


def test_a_client_of_another_address_is_wrapped_all_the_same(wrapped):
    elsewhere = openai.OpenAI(
        api_key="sk-not-used", base_url="https://generativelanguage.googleapis.com/v1beta/openai/"
    )
    azure = openai.AzureOpenAI(api_key="no", azure_endpoint="https://x.openai.azure.com", api_version="2024-10-21")
    for client in (elsewhere, azure, wrapped):
        client = gateway.wrap(client, feature="f")
        reply = client.chat.completions.create(model="echo", messages=MESSAGES)
        assert reply.choices[0].message.content == "hello there"
        assert client.responses.create(model="echo", input="hello there").output_text == "hello there"
        assert client.embeddings.create(model="embedder", input=["a"]).data[0].embedding == [0.5, -0.25, 1.0]


async def test_a_client_that_waits_no_longer_than_it_says_cancels_the_call(wrapped, provider):
    with pytest.raises(openai.APITimeoutError):
        await sync_to_async(wrapped.with_options(timeout=0.5).chat.completions.create)(model="hang", messages=MESSAGES)
    client = gateway.wrap(openai.AsyncOpenAI(api_key="sk-not-used", timeout=0.5), feature="f")
    with pytest.raises(openai.APITimeoutError):
        await client.chat.completions.create(model="hang", messages=MESSAGES)
    with pytest.raises(openai.APITimeoutError):
        await client.chat.completions.create(model="hang", messages=MESSAGES, stream=True)
    await sync_to_async(gateway.engine.stop)()
    assert await Call.objects.filter(outcome="cancelled").acount() == 3


def test_only_clients_of_known_sdks_are_wrapped():
    with pytest.raises(TypeError, match="packages openai and anthropic"):
        gateway.wrap(object(), feature="f")


async def test_rollout_in_a_coroutine(site):
    await Feature.objects.aupdate(phase="internal", rollout_tenants=["acme"])
    with gateway.context(tenant="acme"):
        assert await gateway.aenabled("f")
    assert not await gateway.aenabled("f", tenant="umbrella")


@pytest.mark.parametrize(
    "whose",
    [{"tenant": "x" * 201}, {"session": "a\0b"}, {"cohort": "x" * 101}, {"tenant": 5}, {"user": "x" * 201}],
)
def test_what_a_row_cannot_hold_is_refused_before_anything_is_held(world, provider, settings, whose):
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "USER_REF": "plain"}
    world.feature("f")
    with pytest.raises(errors.InvalidRequest, match="printable characters"):
        gateway.complete("f", messages=MESSAGES, **whose)
    assert provider.requests == [] and Hold.objects.count() == Call.objects.count() == 0


@pytest.mark.parametrize("value", ["\ud800", 2**70])
def test_labels_that_no_row_can_hold_are_the_callers_mistake(world, provider, value):
    world.feature("f", "echo")
    with pytest.raises(errors.InvalidRequest, match="labels"):
        gateway.complete("f", messages=[{"role": "user", "content": "hi"}], labels={"x": value})
    assert provider.requests == []


def test_whoever_waits_for_a_wrapped_client_may_be_interrupted(world, provider):
    world.feature("f", "hang")
    client = gateway.wrap(openai.OpenAI(api_key="x"), feature="f")

    def interrupt(*_):
        raise KeyboardInterrupt

    def when_it_was_asked():
        while not provider.requests:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, interrupt)
    threading.Thread(target=when_it_was_asked).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            client.chat.completions.create(model="hang", messages=MESSAGES)
    finally:
        signal.signal(signal.SIGALRM, before)
    gateway.engine.stop()
    assert Call.objects.get().outcome == "cancelled" and provider.saw_leave(1)
