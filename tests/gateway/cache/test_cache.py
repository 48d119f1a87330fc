"""The response cache: the same request of the same tenant gets the same reply, for nothing."""

import json
import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from fakeredis import TcpFakeServer

import gateway
from budgets.models import Budget, Switch, Window
from gateway import errors
from gateway.cache.stores import store
from gateway.models import CachedReply, Call

MESSAGES = [{"role": "user", "content": "hello there"}]
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]


def ask(feature="f", **options):
    reply = gateway.complete(feature, **{"messages": MESSAGES, **options})
    # What is kept is kept in the background.
    gateway.engine.stop()
    return reply


def streamed(feature="f", **options):
    with gateway.stream(feature, **{"messages": MESSAGES, **options}) as stream:
        text = "".join(delta.text for delta in stream)
    gateway.engine.stop()
    return text, stream.reply


def hits():
    return list(Call.objects.order_by("id").values_list("cache_hit", flat=True))


@pytest.fixture
def cached(world):
    world.feature("f", "echo", "tool", "truncated", cache_ttl_s=60)
    return world


def test_it_is_off_by_default(world, provider):
    world.feature("f")
    ask()
    ask()
    assert len(provider.requests) == 2 and not CachedReply.objects.exists()


def test_a_hit_is_a_row_that_costs_nothing(cached, provider):
    first, second = ask(), ask()
    assert (second.text, second.finish_reason, second.outcome) == (first.text, "stop", "ok")
    assert len(provider.requests) == 1
    assert (first.cost_usd, second.cost_usd) == (Decimal("0.0004"), 0) and second.usage.total_tokens == 0
    miss, hit = Call.objects.order_by("id")
    assert (miss.cache_hit, hit.cache_hit, hit.attempts, hit.provider, hit.model_served) == (
        False,
        True,
        0,
        "mock",
        "echo",
    )
    assert hit.cost_usd == 0 and hit.price_id is None and hit.overrun_usd == 0


def test_plain_and_streamed_requests_share_their_replies(cached, provider):
    assert streamed()[0] == "hello there"
    assert ask().text == "hello there"
    text, reply = streamed()
    assert (text, reply.text, reply.cost_usd) == ("hello there", "hello there", 0)
    ask(model="tool", tools=TOOLS)
    _, again = streamed(model="tool", tools=TOOLS)
    assert json.loads(again.tool_calls[0]["function"]["arguments"]) == {"query": "hello there"}
    assert hits() == [False, True, True, False, True] and len(provider.requests) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "acme"},
        {"messages": [{"role": "user", "content": "hello there "}]},
        {"temperature": 0.5},
        {"model": "echo"},
        {"max_tokens": 5},
        {"tools": TOOLS},
    ],
    ids=lambda other: next(iter(other)),
)
def test_whatever_the_reply_depends_on_makes_another_place(cached, provider, other):
    ask()
    ask(**other)
    assert hits() == [False, False] and len(provider.requests) == 2


def test_another_feature_or_prompt_version_is_another_place(cached, provider):
    cached.feature("g", cache_ttl_s=60)
    ask("f", messages=[{"role": "system", "content": "a"}, *MESSAGES])
    ask("g", messages=[{"role": "system", "content": "a"}, *MESSAGES])
    ask("f", messages=[{"role": "system", "content": "b"}, *MESSAGES])
    assert hits() == [False] * 3


def test_users_of_a_tenant_share_and_tenants_do_not(cached):
    ask(tenant="acme", user=1)
    ask(tenant="acme", user=2)
    ask(tenant="umbrella", user=1)
    ask()
    assert hits() == [False, True, False, False]


def test_a_reply_is_forgotten_in_time(cached, provider):
    ask()
    CachedReply.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    ask()
    assert hits() == [False, False]
    CachedReply.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    call_command("worker", once=True)
    assert not CachedReply.objects.exists()


def test_replies_that_are_not_complete_are_not_kept(cached, provider):
    ask(model="truncated")
    cached.feature("g", "status:400", cache_ttl_s=60)
    with pytest.raises(errors.ProviderError):
        ask("g")
    with gateway.stream("f", messages=MESSAGES) as stream:
        next(stream)
    gateway.engine.stop()
    assert not CachedReply.objects.exists()


@pytest.mark.parametrize("more", [{"logprobs": True}, {"modalities": ["text", "audio"], "audio": {"voice": "alloy"}}])
def test_a_reply_with_more_to_it_than_what_is_kept_comes_from_the_provider(cached, provider, more):
    ask(**more)
    ask(**more)
    assert hits() == [False, False] and not CachedReply.objects.exists()


def test_switches_and_budgets_of_calls_hold_for_hits_too(cached, provider):
    Budget.objects.create(feature="f", metric="calls", limit=2)
    ask()
    ask()
    with pytest.raises(errors.BudgetExceeded):
        ask()
    Budget.objects.all().update(limit=100)
    Switch.objects.create(scope="feature", value="f", reason="stop it", set_by="x")
    with pytest.raises(errors.FeatureDisabled, match="stop it"):
        ask()


def test_a_hit_passes_where_the_money_is_spent(cached, provider):
    ask()
    Budget.objects.create(feature="f", limit=0)
    assert ask().text == "hello there"
    with pytest.raises(errors.BudgetExceeded):
        ask(messages=[{"role": "user", "content": "other"}])
    assert Window.objects.get().spent == 0


def test_nothing_personal_can_be_read_from_the_table_and_pseudonyms_are_the_callers_own(cached, provider):
    policy = cached.policy("p", outbound="pseudonymise", stored="redacted", entities=["EMAIL_ADDRESS"])
    cached.feature("g", cache_ttl_s=60, policy=policy)
    cached.feature("h", cache_ttl_s=60)
    mail = [{"role": "user", "content": "Write to jane.doe@example.com"}]
    assert ask("g", messages=mail).text == "Write to jane.doe@example.com"
    other = [{"role": "user", "content": "Write to john.roe@example.com"}]
    assert ask("g", messages=other).text == "Write to john.roe@example.com"
    assert streamed("g", messages=mail)[0] == "Write to jane.doe@example.com"
    ask("h", messages=mail)
    assert hits() == [False, True, True, False], "the provider would have got the very same request"
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(encode(key, 'escape') || value, ' ') FROM tollhouse_cached_reply")
        assert "jane" not in cursor.fetchone()[0]


def test_a_cache_that_cannot_be_read_is_an_empty_one(cached, provider, settings):
    ask()
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "ENCRYPTION_KEYS": ("another",)}
    assert ask().text == "hello there"
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "CACHE_URL": "redis://127.0.0.1:1/0"}
    assert ask().text == "hello there"
    assert hits() == [False] * 3


def test_redis(cached, provider, settings):
    server = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "CACHE_URL": f"redis://127.0.0.1:{server.server_address[1]}/0"}
    try:
        ask()
        ask()
        ask(tenant="acme")
    finally:
        server.shutdown()
        server.server_close()
    assert hits() == [False, True, False] and not CachedReply.objects.exists()


def test_an_unknown_store_is_told():
    with pytest.raises(ImproperlyConfigured, match="redis://"):
        store("memcached://x", {})
