"""Rollups: the figures equal sums over the calls' rows, to the nano-dollar, whatever was counted when."""

import threading
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from random import Random

import numpy as np
import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from dashboards.filters import Filters
from dashboards.models import RollupState
from dashboards.rollups import Figures, TooMuchData, entities, figures, latencies, query, sketch
from dashboards.rollups.check import differences
from dashboards.rollups.erase import forget
from dashboards.rollups.job import count, holding
from dashboards.rollups.sets import block
from deploy.postgres import server_url
from gateway.models import Adjustment, Call
from gateway.models.calls import uuid7_time
from gateway.types import TOKEN_PARTS
from tests.rollups import count as counted
from tests.rows import make_call
from tests.server import EMBEDDED, environment

NOW = timezone.now()
ALL = Filters(NOW - timedelta(days=5), NOW + timedelta(hours=2))
DIMENSIONS = [
    (), ("feature",), ("tenant",), ("key",), ("user_ref",), ("provider", "model"), ("outcome", "cohort"),
    ("error_class", "model"),
]  # fmt: skip


def random_calls(number, seed=1):
    """Calls of the last days, of few values in each dimension."""
    random = Random(seed)
    made = []
    for _ in range(number):
        made.append(
            make_call(
                at=NOW - timedelta(seconds=random.randrange(4 * 86_400)), feature=random.choice("fg"),
                tenant=random.choice(["", "acme"]), key=random.choice(["", "k"]), user_ref=random.choice(["", "u"]),
                cohort=random.choice(["", "beta"]), model_served=random.choice(["m", "n"]), attempts=random.randrange(3),
                cost_usd=random.choice([None, Decimal(random.randrange(10**9)) / 10**9]), cache_hit=random.random() < 0.2,
                fallback_from=random.choice(["", "x/y"]), outcome=random.choice(["ok", "lost", "timeout"]),
                error_class=random.choice(["", "ProviderTimeout"]),
                labels=random.choice([{}, {"a": "1"}, {"a": "2", "b": "1"}]), entities=random.choice([{}, {"PERSON": 2}]),
                latency_ms=random.uniform(1, 9000), input_tokens=random.randrange(1000),
            )
        )  # fmt: skip
    return made


def same_as_rows(filters=ALL):
    """Whether figures by several dimensions are what the rows and their adjustments come to."""
    corrected, tokens, ended = Counter(), Counter(), {}
    for row in Adjustment.objects.all():
        corrected[row.call_id] += row.cost_usd
        tokens[row.call_id] += row.tokens
        ended[row.call_id] = row.outcome or ended.get(row.call_id, "")
    for by in DIMENSIONS:
        calls, usd, spent = Counter(), Counter(), Counter()
        for call in Call.objects.all():
            call.model, call.outcome = call.model_served, ended.get(call.id) or call.outcome
            values = tuple(getattr(call, name) for name in by)
            calls[values] += 1
            usd[values] += (call.cost_usd or 0) + corrected[call.id]
            spent[values] += sum(getattr(call, part) for part in TOKEN_PARTS) + tokens[call.id]
        found = figures(filters, by)
        assert {one.values: one.calls for one in found if one.calls} == calls
        assert {one.values: one.cost_usd for one in found if one.calls} == usd
        assert {one.values: one.tokens for one in found if one.calls} == spent
        for step in ("hour", "day"):
            stepped = figures(filters, by, step)
            assert sum(one.cost_nano for one in stepped) == sum(one.cost_nano for one in found)
            assert {one.at for one in stepped} <= {_start(call, step) for call in Call.objects.all()}
    return True


def _start(call, step):
    at = uuid7_time(call.id).replace(minute=0, second=0, microsecond=0)
    return at.replace(hour=0) if step == "day" else at


def test_figures_are_those_of_the_rows_counted_or_not(transactional_db):
    calls = random_calls(20)
    assert same_as_rows()
    count()
    assert same_as_rows() and not differences()
    # Later ones, and corrections of earlier ones: of cost, of tokens, of how they ended.
    more = random_calls(5, seed=2)
    lost = next(call for call in calls if call.outcome == "lost")
    adjustments = [
        Adjustment(call_id=lost.id, cost_usd=Decimal("-0.000000001"), tokens=-7, outcome="ok", actor="ledger", reason="late"),
        Adjustment(call_id=calls[3].id, cost_usd=Decimal("0.5"), actor="a", reason="repriced"),
        Adjustment(call_id=more[0].id, cost_usd=Decimal("0.25"), actor="a", reason="repriced"),
    ]  # fmt: skip
    Adjustment.objects.bulk_create(adjustments)
    assert same_as_rows()
    count()
    assert same_as_rows() and not differences()
    Adjustment.objects.bulk_create([Adjustment(call_id=lost.id, cost_usd=Decimal("1.5"), actor="b", reason="again")])
    assert same_as_rows()
    call_command("rollups", "rebuild", since=f"{NOW - timedelta(days=1):%Y-%m-%d}")
    count()
    assert same_as_rows() and not differences()
    call_command("rollups", "check")


def test_other_figures_and_conditions(transactional_db):
    made = random_calls(25, seed=3)
    for _ in range(2):
        labelled = {one.values[0]: one.calls for one in figures(ALL, ("label",))}
        assert labelled["a=1"] == sum(call.labels == {"a": "1"} for call in made)
        assert labelled[""] == sum(call.labels == {} for call in made)
        both = Filters(ALL.since, ALL.until, {"label": ("a=2", "b=1")})
        assert figures(both)[0].calls == labelled["b=1"], "a call that has both counts once"
        acme = [call for call in made if call.tenant == "acme" and call.feature == "f"]
        [one] = figures(ALL.only(tenant="acme", feature="f"))
        assert one.calls == len(acme) and one.lost_calls == sum(call.outcome == "lost" for call in acme)
        assert one.retried_calls == sum(call.attempts > 1 for call in acme)
        assert one.fallback_cost_usd == sum(call.cost_usd or 0 for call in acme if call.fallback_from)
        assert one.cached_calls == sum(call.cache_hit for call in acme)
        assert sum(found.count for found in entities(ALL, ("feature",), "day")) == sum(
            2 for call in made if call.entities
        )
        assert sum(found.count for found in entities(ALL.only(tenant="acme"))) == sum(
            2 for call in made if call.entities and call.tenant == "acme"
        )
        ones = [call for call in made if call.labels.get("a") == "1"]
        assert sum(found.count for found in entities(ALL.only(label="a=1"))) == sum(2 for call in ones if call.entities)
        timed = [call for call in ones if call.attempts or call.cache_hit]
        assert latencies(ALL.only(label="a=1"), ("latency",)).whole("latency").calls == len(timed)
        for by in ((), ("key",), ("tenant",)):
            for found in latencies(ALL, ("latency", "gate"), by).each("latency"):
                rows = [
                    call.latency_ms
                    for call in made
                    if (call.attempts or call.cache_hit) and tuple(getattr(call, name) for name in by) == found.values
                ]
                exact = np.quantile(rows, (0.5, 0.95, 0.99), method="lower")
                assert found.calls == len(rows) and found.ms == pytest.approx(exact, rel=sketch.ERROR)
        assert figures(ALL, ("tenant", "user_ref")), "no rollup has both: the rows are read"
        count()
    assert figures(ALL.only(feature="none")) == [Figures(None, ())]
    with pytest.raises(ValueError, match="No such dimension"):
        figures(ALL, ("colour",))


def test_too_many_calls_for_what_no_rollup_has(transactional_db, monkeypatch):
    random_calls(3)
    counted()
    monkeypatch.setattr(query, "MOST_CALLS", 2)
    with pytest.raises(TooMuchData, match="tenant and user_ref together"):
        figures(ALL, ("tenant", "user_ref"))
    assert figures(ALL, ("tenant",))


def test_a_call_that_commits_late_is_counted_once(transactional_db):
    make_call()
    written, go_on = threading.Event(), threading.Event()

    def slow():
        with transaction.atomic():
            make_call(feature="slow")
            written.set()
            go_on.wait(20)
        connections.close_all()

    thread = threading.Thread(target=slow)
    thread.start()
    assert written.wait(20)
    make_call(feature="quick")
    count()
    before = figures(ALL, ("feature",))
    go_on.set()
    thread.join()
    assert [one.values[0] for one in before] == ["quick", "support.reply"]
    for _ in range(2):
        assert {one.values[0]: one.calls for one in figures(ALL, ("feature",))} == {
            "quick": 1,
            "slow": 1,
            "support.reply": 1,
        }
        count()
    assert not differences()


def test_it_is_exact_while_others_write_and_count(transactional_db):
    make_call()
    count()
    made, failed = [], []

    def write(number):
        try:
            for _ in range(8):
                made.append(make_call(feature=f"f{number}").id)
                count()
        except Exception as error:  # noqa: BLE001 (told below)
            failed.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    seen = 0
    while any(thread.is_alive() for thread in threads):
        least = len(made)
        found = figures(ALL)[0].calls
        assert found >= max(seen, least)
        seen = found
    assert not failed and figures(ALL)[0].calls == 25
    count()
    assert figures(ALL)[0].calls == 25 and not differences()


def test_after_a_restore_into_another_cluster_nothing_is_lost_or_counted_twice(transactional_db):
    random_calls(5)
    count()
    with connection.cursor() as cursor:
        # As if the dump were of a cluster that had come further.
        cursor.execute("UPDATE tollhouse_call SET written = written + 1000000")
    RollupState.objects.update(cluster="1", watermark=1_000_000)
    make_call(feature="since")
    assert same_as_rows()
    try:
        count()
        assert RollupState.objects.get().offset >= 1_000_000
        make_call(feature="later")
        assert same_as_rows()
        count()
        assert same_as_rows() and not differences()
    finally:
        with connection.cursor() as cursor:
            for table in ("tollhouse_call", "tollhouse_adjustment"):
                cursor.execute(f"ALTER TABLE {table} ALTER COLUMN written SET DEFAULT txid_current()")


def test_days_follow_the_time_zone_and_days_whose_calls_are_gone_stay(transactional_db, settings):
    random_calls(12)
    counted()
    spent = figures(ALL)[0].cost_nano
    settings.TIME_ZONE = "Asia/Kolkata"
    assert figures(ALL)[0].cost_nano == spent
    count()
    assert {(one.at.hour, one.at.minute) for one in figures(ALL, step="day")} == {(18, 30)}
    assert figures(ALL)[0].cost_nano == spent and not differences()
    settings.TIME_ZONE = "America/New_York"
    count()
    assert figures(ALL)[0].cost_nano == spent
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM tollhouse_call")
    call_command("rollups", "rebuild", since=f"{NOW - timedelta(days=5):%Y-%m-%d}")
    assert figures(ALL)[0].cost_nano == spent
    call_command("rollups", "check")
    call_command("rollups", "rebuild", since=f"{NOW - timedelta(days=5):%Y-%m-%d}", force=True)
    assert figures(ALL)[0].calls == 0
    with pytest.raises(CommandError, match="is no day"):
        call_command("rollups", "rebuild", since="yesterday")


def test_an_erased_user_is_nobody_and_the_money_stays(transactional_db):
    make_call(user_ref="u")
    make_call(user_ref="")
    counted()
    with transaction.atomic():
        assert forget("u") == 2 and forget("") == 0
        Call.objects.filter(user_ref="u").update(user_ref="")
    assert [(one.values, one.calls) for one in figures(ALL, ("user_ref",))] == [(("",), 2)]
    make_call(user_ref="u")
    counted()
    assert {one.values[0]: one.calls for one in figures(ALL, ("user_ref",))} == {"": 2, "u": 1}
    assert not differences()


def test_a_sum_that_is_wrong_is_found(transactional_db):
    make_call()
    counted()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tollhouse_rollup SET cost_nano = cost_nano + 1 WHERE kind = 'tenant' AND grain = 'day'")
    with pytest.raises(CommandError, match="1 sums are wrong"):
        call_command("rollups", "check")
    call_command("rollups", "rebuild")
    call_command("rollups", "check")


@given(st.lists(st.floats(0.001, 1e7), min_size=1, max_size=200), st.floats(0, 1), st.integers(1, 5))
def test_a_quantile_is_within_the_error(values, q, parts):
    def entries(some):
        found = Counter(map(sketch.bucket_of, some))
        return np.array(list(found.items()), sketch.ENTRY).tobytes() if found else b""

    merged = b"".join(entries(values[n::parts]) for n in range(parts))
    for one in (merged, sketch.compact(merged)):
        number, [ms] = sketch.quantiles(one, [q])
        exact = sorted(values)[int(q * (len(values) - 1))]
        assert number == len(values) and abs(ms - exact) <= sketch.ERROR * exact * (1 + 1e-9)


@pytest.mark.skipif(not EMBEDDED, reason="The role of servers is made in the embedded database.")
def test_a_transaction_that_this_user_may_not_look_into_is_nothing_to_tell_of(transactional_db):
    with psycopg.connect(server_url(environment()["DATABASE_URL"])) as server:
        server.execute("SELECT txid_current()")
        found = holding()
        assert found is None or found[2] is not None
        count()


def test_keys_of_a_feature_are_together(transactional_db):
    make_call(feature="f")
    make_call(feature="ü")
    counted()
    with connection.cursor() as cursor:
        cursor.execute("SELECT feature, kind, id FROM tollhouse_rollup_values WHERE feature <> ''")
        rows = cursor.fetchall()
    assert {feature for feature, _, _ in rows} == {"f", "ü"}
    assert all(id in block(feature) for feature, _, id in rows)
    assert [one.calls for one in figures(ALL.only(feature="ü"))] == [1]
