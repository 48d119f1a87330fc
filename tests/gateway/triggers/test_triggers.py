"""Switch rules: what they measure, when they fire, what they leave alone, and what it costs."""

import threading
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.utils import timezone

import gateway
from budgets.models import Alert, Switch, SwitchFiring, SwitchTrigger
from gateway import errors
from gateway.jobs.switches import fire_rules
from gateway.ledger.database import connection_parameters
from gateway.ledger.partitions import first_id, missing
from gateway.models import AuditEntry, Feature, Price, Route
from gateway.switches import lift
from gateway.triggers.measure import SQL, measure
from tests.rows import make_call, many_calls

pytestmark = pytest.mark.django_db(transaction=True)
MESSAGES = [{"role": "user", "content": "hello"}]


def rule(**values):
    defaults = {"name": "r", "value": "f", "condition": "error_percent", "above": 30, "min_calls": 4}
    made = SwitchTrigger.objects.create(**{**defaults, **values})
    made.refresh_from_db()
    return made


def calls(count, *, outcome="ok", minutes=1.0, **values):
    at = timezone.now() - timedelta(minutes=minutes)
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits")
        for statement in missing([at], {name for (name,) in cursor.fetchall()}):
            cursor.execute(statement.as_string(cursor.connection))
    for number in range(count):
        defaults = {
            "feature": "f",
            "provider": "mock",
            "model_served": "echo",
            "http_status": 200 if outcome == "ok" else 500,
        }
        make_call(at=at + timedelta(milliseconds=number), outcome=outcome, **{**defaults, **values})


def age(firing, minutes):
    SwitchFiring.objects.filter(pk=firing.pk).update(at=timezone.now() - timedelta(minutes=minutes))


def words(trigger):
    return {one.value: one.words for one in measure(trigger)}


def fired(trigger):
    fire_rules()
    return list(trigger.firings.order_by("id").values_list("value", flat=True))


def test_failing_calls_switch_their_feature_off_for_a_time_and_say_why(world, provider):
    """From real calls through the gate to the refusal, the alert and the audit entry."""
    world.feature("f", "echo", "status:500")
    world.feature("g")
    trigger = rule(value="*", off_minutes=10, running="cut", name="errors")
    for model in ("echo", "echo", "status:500", "status:500"):
        with suppress(errors.ProviderError):
            gateway.complete("f", messages=MESSAGES, model=model)
    call_command("worker", once=True)
    switch = Switch.objects.get()
    assert (switch.scope, switch.value, switch.set_by, switch.running) == ("feature", "f", "rule errors", "cut")
    left = switch.expires_at - timezone.now()
    assert timedelta(minutes=9) < left <= timedelta(minutes=10)
    with pytest.raises(
        errors.FeatureDisabled, match=r"50.0 % of 4 calls failed in 5 min \(rule errors: more than 30 % errors"
    ):
        gateway.complete("f", messages=MESSAGES)
    gateway.complete("g", messages=MESSAGES)
    alert = Alert.objects.get(kind="switch")
    assert (alert.severity, alert.feature, alert.ends_at) == ("critical", "f", switch.expires_at)
    assert AuditEntry.objects.get(action="switch.set").actor == "rule errors"
    assert trigger.firings.get().switch == switch


def test_what_counts_as_an_error_of_a_feature(world):
    world.feature("f")
    trigger = rule(min_calls=1, above=99)
    calls(3)
    calls(1, outcome="provider_error")
    calls(1, outcome="timeout", http_status=None)
    calls(2, outcome="provider_error", http_status=400)
    calls(2, outcome="refused_budget", http_status=None)
    calls(2, outcome="cancelled", http_status=None)
    calls(2, cache_hit=True)
    calls(2, outcome="provider_error", feature="other")
    calls(2, outcome="provider_error", minutes=6)
    assert words(trigger) == {"f": "40.0 % of 5 calls failed in 5 min"}
    everything = rule(name="all", scope="everything", value="", min_calls=1)
    assert words(everything) == {"": "57.1 % of 7 calls failed in 5 min"}


def test_too_few_calls_tell_nothing(world):
    world.feature("f")
    trigger = rule(min_calls=4)
    calls(3, outcome="provider_error")
    assert (
        words(trigger)["f"] == "100.0 % of 3 calls failed in 5 min, too few to tell (at least 4)"
        and fired(trigger) == []
    )
    calls(1, outcome="provider_error")
    assert fired(trigger) == ["f"]


def test_a_provider_s_failed_attempts_count_where_another_one_answered(world):
    world.feature("f", "echo", (world.kind("openai", name="backup"), "echo"))
    trigger = rule(scope="provider", value="*")
    failed = {"target": "mock/echo", "outcome": "provider_error", "ms": 5, "status": 503}
    calls(4, provider="backup", trace={"stages": {}, "attempts": [failed]})
    calls(2)
    assert words(trigger) == {"backup": "0.0 % of 4 calls failed in 5 min", "mock": "66.7 % of 6 calls failed in 5 min"}
    assert fired(trigger) == ["mock"]
    assert Switch.objects.get().scope == "provider"


def test_a_model_answers_under_its_own_name_or_a_snapshot_s(world):
    world.feature("f", "gpt-4o", "gpt-4o-mini")
    trigger = rule(scope="model", value="gpt-*", condition="latency_p95_ms", above=2000)
    for served, latency in (("gpt-4o-2024-08-06", 9000.0), ("gpt-4o-mini-2024-07-18", 100.0), ("gpt-4o", 8000.0)):
        calls(4, model_served=served, latency_ms=latency)
    assert words(trigger) == {"gpt-4o": "95 % of 8 calls took up to 9000 ms in 5 min",
                              "gpt-4o-mini": "95 % of 4 calls took up to 100 ms in 5 min"}  # fmt: skip
    assert fired(trigger) == ["gpt-4o"]


def test_latency_is_that_of_replies_and_of_patience_that_ended(world):
    world.feature("f")
    trigger = rule(condition="latency_p95_ms", above=1000)
    calls(19, latency_ms=100.0)
    calls(1, latency_ms=5000.0)
    calls(9, latency_ms=1.0, outcome="provider_error")
    assert words(trigger)["f"] == "95 % of 20 calls took up to 100 ms in 5 min" and fired(trigger) == []
    calls(2, latency_ms=60_000.0, outcome="timeout")
    assert fired(trigger) == ["f"]


def test_spend_is_compared_with_the_same_time_of_the_last_weeks(world):
    world.feature("f")
    world.feature("g")
    trigger = rule(condition="spend_times", above=3, minutes=60, value="*", min_usd=2)
    week = 7 * 24 * 60
    for number, usd in enumerate(("1", "2", "300"), 1):
        calls(1, minutes=number * week + 30, cost_usd=Decimal(usd))
    calls(1, minutes=week + 90, cost_usd=Decimal(500))
    calls(1, minutes=30, cost_usd=Decimal(6))
    calls(1, minutes=30, cost_usd=Decimal(50), feature="g")
    assert words(trigger) == {
        "f": "$6.00 spent in 60 min, 3.0 times the usual $2.00",
        "g": "$50.00 spent in 60 min; nothing to compare with yet (0 of the last 4 weeks)",
    }
    assert fired(trigger) == []
    calls(1, minutes=10, cost_usd=Decimal("0.5"))
    assert fired(trigger) == ["f"]
    small = rule(name="small", condition="spend_times", above=3, minutes=60, min_usd=100)
    assert "too little to tell (at least $100)" in words(small)["f"]


def test_a_price_that_changes_much_fires_once_for_that_price(world):
    world.feature("f")
    world.price("echo", {"input": "1", "output": "100"})
    trigger = rule(
        condition="price_change_percent", above=20, name="price", cooldown_minutes=1, off_minutes=1, minutes=1
    )
    assert measure(trigger) == [] and fired(trigger) == []
    world.price("echo", {"input": "1.1", "output": "100"})
    assert fired(trigger) == []
    world.price("echo", {"input": "1.1", "output": "75"})
    assert fired(trigger) == ["f"]
    reason = Switch.objects.get().reason
    assert "price of mock/echo: output from $100 to $75 a million tokens, 25 %" in reason
    lift(Switch.objects.all(), actor="ada", reason="it is right")
    age(trigger.firings.get(), 100)
    assert fired(trigger) == ["f"]
    world.price("echo", {"input": "9", "output": "75"})
    assert fired(trigger) == ["f", "f"]


def test_a_price_of_before_the_rule_or_of_later_is_no_change(world):
    world.feature("f")
    Price.objects.create(
        provider="mock",
        model="echo",
        rates={"input": "1"},
        source="catalog",
        effective_from=timezone.now() + timedelta(days=1),
    )
    world.price("echo", {"input": "100"})
    trigger = rule(condition="price_change_percent", above=20)
    assert measure(trigger) == []


def test_it_leaves_a_name_alone_until_it_measures_only_calls_from_after_the_switch(world):
    world.feature("f")
    trigger = rule(off_minutes=30, cooldown_minutes=10, minutes=5)
    calls(4, outcome="provider_error")
    assert fired(trigger) == fired(trigger) == ["f"]
    lift(Switch.objects.all(), actor="ada", reason="we looked")
    age(trigger.firings.get(), 34)
    assert fired(trigger) == ["f"]
    age(trigger.firings.get(), 36)
    assert fired(trigger) == ["f", "f"]


def test_what_is_switched_off_already_stays_as_it_is(world):
    world.feature("f")
    Switch.objects.create(scope="feature", value="f", reason="by hand")
    trigger = rule()
    calls(4, outcome="provider_error")
    assert fired(trigger) == [] and Switch.objects.get().reason == "by hand"


def test_a_rule_that_only_alerts_does_that_once(world):
    world.feature("f")
    trigger = rule(action="alert")
    calls(4, outcome="provider_error")
    assert fired(trigger) == fired(trigger) == ["f"]
    assert not Switch.objects.exists()
    alert = Alert.objects.get()
    assert (alert.kind, alert.severity, alert.feature) == ("switch_rule", "warning", "f")
    assert alert.summary == "feature f: 100.0 % of 4 calls failed in 5 min (rule r)" and alert.ends_at is not None


def test_an_inactive_rule_does_nothing(world):
    world.feature("f")
    trigger = rule(active=False)
    calls(4, outcome="provider_error")
    assert fired(trigger) == []


def test_workers_that_look_at_the_same_time_fire_once(world):
    world.feature("f")
    calls(4, outcome="provider_error")
    triggers = [rule(name=f"r{n}", action="alert") for n in range(3)]
    at_once = threading.Barrier(6)

    def work():
        try:
            at_once.wait(20)
            fire_rules()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [trigger.firings.count() for trigger in triggers] == [1, 1, 1]
    assert Alert.objects.count() == 3


def test_a_rule_that_takes_too_long_says_so_once_and_goes_on_later(world):
    world.feature("f")
    trigger = rule(action="alert")
    calls(4, outcome="provider_error")
    with psycopg.connect(**connection_parameters()) as blocking:
        blocking.execute("LOCK TABLE tollhouse_call IN ACCESS EXCLUSIVE MODE")
        for _ in range(2):
            assert fired(trigger) == []
    alert = Alert.objects.get()
    assert alert.kind == "switch_rule_blind" and "r could not be measured in 2 seconds" in alert.summary
    assert fired(trigger) == ["f"]


def test_a_rule_reads_the_newest_rows_by_an_index_and_nothing_else(world):
    feature = world.feature("f1")
    for number in range(2, 20):
        Feature.objects.create(slug=f"f{number}", route=Route.objects.get(), policy=feature.policy)
    many_calls(200_000, days=6)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE tollhouse_call")
        since = first_id(timezone.now() - timedelta(minutes=5))
        common = {
            "since": since,
            "until": first_id(timezone.now()),
            "whole": False,
            "by_provider": True,
            "scope": "provider",
        }
        for query, names in (("feature_calls", ["f1"]), ("target_calls", ["openai"]), ("spend", ["openai"])):
            cursor.execute(f"EXPLAIN (FORMAT JSON, ANALYZE) {SQL[query]}", {**common, "names": names})
            [(plan,)] = cursor.fetchall()
            for node in scans(plan[0]["Plan"]):
                assert node["Node Type"] != "Seq Scan" or node["Plan Rows"] <= 1, (query, node)
                assert node["Actual Rows"] + node.get("Rows Removed by Filter", 0) < 2_000, (query, node)


def scans(node):
    if node.get("Relation Name", "").startswith("tollhouse_call"):
        yield node
    for inner in node.get("Plans", ()):
        yield from scans(inner)
