"""Which calls a query finds, and how a search over many goes on."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import connection
from django.db.models import Func, TextField, Value
from django.utils import timezone

import gateway
from gateway.explorer.conditions import conditions
from gateway.explorer.query import exactly, parse
from gateway.explorer.search import PAGE, Range, _Walk, search
from gateway.models import Call
from tests.rows import make_call, many_calls

pytestmark = pytest.mark.django_db


@pytest.fixture
def calls():
    """One call with a value in each column, and one with next to nothing."""
    full = make_call(
        feature="support.reply", tenant="Acme, Inc", user_ref="0f3a", cohort="beta", session_id="s-1", key="web", source="http",
        labels={"team": "check_out", "n": "1"}, prompt_version="ab" * 32, variant="b", route="fast", provider="openai",
        model_asked="gpt", model_served="gpt-4o-mini", attempts=2, fallback_from="a/b", streamed=True, cache_hit=True,
        input_tokens=100, cache_read_tokens=900, output_tokens=10, reasoning_tokens=40, cost_usd=Decimal("0.05"),
        overrun_usd=Decimal("0.01"), latency_ms=2500.0, first_token_ms=300.0, gate_ms=30.0, tool_calls=2, outcome="timeout",
        error_class="ProviderTimeout", reason="The rate limit of 100% was met.", http_status=504, finish_reason="length",
        entities={"PERSON": 2}, policy="strict", trace_id="4b" * 16, parent=UUID(int=7), operation="chat",
    )  # fmt: skip
    bare = make_call(
        feature="other", cost_usd=None, latency_ms=10.0, gate_ms=1.0, model_served="claude", provider="anthropic", http_status=None,
        input_tokens=0, output_tokens=0, attempts=0, policy="default", route="slow", finish_reason="", source="sdk",
        operation="embeddings",
    )  # fmt: skip
    return full, bare


def found(text, calls):
    now = timezone.now()
    within = Range(now - timedelta(days=1), now + timedelta(minutes=1))
    page = search(parse(text, now=now), within)
    assert page.searched_to is None
    return "".join(name for name, call in zip("fb", calls, strict=True) if call in page.calls)


@pytest.mark.parametrize(
    "text",
    [
        "feature:support.reply", "feature:support.*", "feature:*reply", "feature:s*.*y", 'tenant:"Acme, Inc"', "tenant:Acme*",
        "user:0f3a", "cohort:beta", "session:s-1", "key:web", "source:http", "label:team=check_out", "label:team",
        "label:team=check*", "prompt:ab", "prompt:support.reply@abababab", "variant:b", "route:fast", "provider:openai",
        "asked:gpt", "model:gpt-*", "attempts>1", "-fallback:\"\"", "streamed:yes", "cached:yes", "input>=1k", "input:1000",
        "input:900..1k", "output:50", "output>49", "cost:0.05", "cost>0.049", "cost:0.01..0.05", "overrun>0", "latency>2s",
        "first<1s", "gate:30ms", "tools:2", "outcome:timeout,lost", "error:ProviderTimeout", "status:500..599", "finish:length",
        "entity:PERSON", "policy:strict", f"trace:{'4b' * 16}", f"parent:{UUID(int=7)}", "operation:chat", '"rate limit"',
        "RATE 100%", "-cost:none", "-feature:other", "-latency<1s", "model:gpt-4o-mini,x", "label:team=x,n=1",
    ],
)  # fmt: skip
def test_a_condition_finds_the_calls_that_fit(text, calls):
    assert found(text, calls) == "f", text
    assert found(f"{text} feature:other", calls) == ""


@pytest.mark.parametrize(
    ("text", "which"),
    [
        ("", "fb"), ("tenant:\"\"", "b"), ('label:""', "b"), ("cost:none", "b"), ("-cost>1", "fb"), ("-status:504", "b"), ("-label:team=x", "fb"),
        ('feature:"support.*"', ""), ("label:team=check%", ""), ("feature:support_reply*", ""), ("label:team=checkXout", ""),
        ('"100%"', "f"), ('"100_"', ""), ("input:0", "b"), ("outcome:nothing", ""), ("status:99999999", ""), ("id:ffff", ""),
        ("latency<9999999h", "fb"), ("-x", "fb"),
    ],
)  # fmt: skip
def test_signs_that_mean_something_to_the_database_mean_themselves(text, which, calls):
    assert found(text, calls) == which


@pytest.mark.parametrize(
    ("text", "which"),
    [
        ("score:feedback<0", "f"), ("score:feedback>0", "b"), ("score:feedback=-1", "f"), ("score:feedback", "fb"), ("score:edit", "f"),
        ("score:edit>=.25", "f"), ("score:edit>0.25", ""), ("-score:edit", "b"), ("score:eval", "b"), ("score:grounded<1", "b"),
        ("score:Grounded=0", "b"), ("score:polite", ""), ("score:feedback<0,grounded<1", "fb"), ("score:feedback feature:other", "b"),
    ],
)  # fmt: skip
def test_calls_are_found_by_what_is_said_of_them_now(text, which, calls):
    full, bare = calls
    gateway.score(full.id, "feedback", True, user="1")
    gateway.score(full.id, "feedback", False, user="1")
    gateway.score(full.id, "edit", 0.25)
    gateway.score(bare.id, "feedback", True, user="2")
    gateway.score(bare.id, "eval", False, name="grounded")
    assert found(text, calls) == which


def test_scores_of_a_slice_are_read_by_the_index_of_their_calls():
    """However many other calls have some, no plan reads them all."""
    many_calls(4000)
    now = timezone.now()
    query, hour = parse("score:feedback<0", now=now), Range(now - timedelta(hours=9), now - timedelta(hours=8))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tollhouse_score (id, call_id, called_at, kind, name, value, source, author, number, feature, prompt_version,"
            " tenant, user_ref, cohort, key, provider, model, outcome, labels) SELECT uuidv7(), id, now(), 'feedback', '', -1, 'app', '',"
            " 1, 'f', '', '', '', '', '', '', '', 'ok', '{}' FROM tollhouse_call"
        )
        cursor.execute("ANALYZE tollhouse_score")
    fitting = Call.objects.filter(conditions(query, hour.low, hour.high), id__gte=hour.low, id__lt=hour.high)
    plan = fitting.explain()
    assert "tollhouse_score_once" in plan and "Seq Scan on tollhouse_score" not in plan, plan
    assert 100 < fitting.count() < 250


def test_ids_are_found_by_their_beginning(calls):
    full, bare = calls
    assert found(f"id:{full.id}", calls) == "f"
    assert found(f"id:{str(bare.id)[:8]}", calls) == "fb"


def test_only_calls_that_a_reader_may_see_are_found(calls):
    now = timezone.now()
    within = Range(now - timedelta(days=1), now + timedelta(minutes=1))
    for tenants, count in ((["", "Acme, Inc"], 2), (["Acme, Inc"], 1), ([], 0)):
        among = Call.objects.filter(tenant__in=tenants)
        assert len(search(parse("", now=now), within, among=among).calls) == count
        assert len(search(parse("feature:*", now=now), within, among=among).calls) == count


def test_a_search_that_has_no_time_stops_and_goes_on_until_all_is_found():
    now = timezone.now()
    many_calls(60, days=6)
    wanted = [make_call(at=now - timedelta(days=day, hours=1), tenant="rare") for day in range(5)]
    within = Range(now - timedelta(days=7), now + timedelta(minutes=1))
    query = exactly(tenant="rare")

    def walk(**first):
        seen, parts, page = [], 0, search(query, within, budget_s=0, **first)
        while True:
            parts += 1
            seen.append(page.calls)
            go = {"before": page.older} if "after" not in first else {"after": page.newer}
            if not next(iter(go.values())):
                return seen, parts
            page = search(query, within, budget_s=0, **{name: UUID(id) for name, id in go.items()})

    pages, parts = walk()
    assert [call for page in pages for call in page] == wanted and parts > 1
    pages, parts = walk(after=within.low)
    assert [call for page in reversed(pages) for call in page] == wanted and parts > 1
    stopped = search(query, within, budget_s=0)
    assert stopped.searched_to is not None and within.since < stopped.searched_to < within.until


def test_a_slice_that_takes_too_long_is_read_in_parts():
    many_calls(40, days=1)
    now = timezone.now()
    within = Range(now - timedelta(days=1), now)
    slow = Call.objects.annotate(slept=Func(Value(0.005), function="pg_sleep", output_field=TextField()))
    walk = _Walk(lambda start, end: slow, within.low, within.high, upwards=False, whole=True)
    seen = []
    while not walk.over:
        seen += walk.step(PAGE)
    assert [call.id for call in seen] == list(
        Call.objects.filter(id__lt=within.high).order_by("-id").values_list("id", flat=True)
    )


def test_pages_full_of_conditions_are_turned_in_both_directions():
    many_calls(2 * PAGE + 10)
    now = timezone.now()
    within = Range(now - timedelta(days=2), now + timedelta(minutes=1))
    query = parse("outcome:ok", now=now)
    first = search(query, within, budget_s=10)
    second = search(query, within, before=UUID(first.older), budget_s=10)
    third = search(query, within, before=UUID(second.older), budget_s=10)
    everything = list(Call.objects.order_by("-id"))
    assert [*first.calls, *second.calls, *third.calls] == everything and third.older == first.newer == ""
    assert search(query, within, after=UUID(third.newer), budget_s=10).calls == second.calls
