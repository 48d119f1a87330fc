"""Costs after a price correction: to the nano-dollar, once, in the windows that are open, and never in the rows."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.db.models import Sum
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from budgets.models import Alert, Budget, Window
from gateway.ledger.partitions import first_id
from gateway.models import Adjustment, AuditEntry, Call, Price, Provider, Route, Target
from gateway.prices.book import PriceBook
from gateway.prices.cost import cost_usd, most_usd
from gateway.prices.rates import Rates
from gateway.prices.reprice import Priced, new_cost
from gateway.prompts.figures import figures
from gateway.repricing import LOCK
from gateway.types import Usage
from tests.rows import make_call, make_partitions

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
OLD = {"input": "3", "output": "12", "cache_read": "0.3", "variants": {"batch": {"input": "1.5", "output": "6"}}}
NEW = {"input": "2.5", "output": "10", "cache_read": "0.25", "variants": {"batch": {"input": "1.25", "output": "5"}}}
SINCE = (timezone.now() - timedelta(days=3)).isoformat()

COUNTS = st.integers(0, 2_000_000)
USAGES = st.builds(Usage, input_tokens=COUNTS, cache_read_tokens=COUNTS, output_tokens=COUNTS, reasoning_tokens=COUNTS)
RATES = st.fixed_dictionaries(
    {part: st.decimals("0.001", "600", places=3).map(str) for part in ("input", "output", "cache_read", "reasoning")}
)


def book_of(*rates):
    """A book whose later rows correct the earlier ones."""
    rows = [(n, "p", "m", None, "catalog", None, given) for n, given in enumerate(rates, 1)]
    return PriceBook.from_rows(rows)


def priced(usage, cost, **values):
    given = {"provider": "p", "models": ["m"], "at": NOON, "usage": usage, "price_id": 1, "cost_usd": cost}
    return Priced(**{**given, **values})


@given(USAGES, RATES, RATES)
def test_a_reported_usage_costs_what_the_new_price_says_to_the_nano_dollar(usage, old, new):
    row = cost_usd(usage, Rates.parse(old))
    found = new_cost(priced(usage, row), book_of(old, new))
    assert found.usd == cost_usd(usage, Rates.parse(new)) and found.price_id == 2
    assert row + (found.usd - row) == cost_usd(usage, Rates.parse(new))


@given(USAGES)
def test_the_service_tier_is_known_by_the_old_cost(usage):
    old, new = Rates.parse(OLD), Rates.parse(NEW)
    found = new_cost(priced(usage, cost_usd(usage, old.variant("batch"))), book_of(OLD, NEW))
    assert found.usd == cost_usd(usage, new.variant("batch"))


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_what_was_held_is_held_again_and_the_rest_grows_in_proportion(input_tokens, output_tokens):
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    most = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    held = most_usd(**most, rates=Rates.parse({"input": "3", "output": "12", "reasoning": "20"}))
    old, new = {"input": "3", "output": "12", "reasoning": "20"}, {"input": "6", "output": "24", "reasoning": "40"}
    assert new_cost(priced(usage, held), book_of(old, new)).usd == most_usd(**most, rates=Rates.parse(new))
    odd = cost_usd(usage, Rates.parse(old)) * 3 + Decimal("0.000000001")
    assert abs(new_cost(priced(usage, odd), book_of(old, new)).usd - 2 * odd) <= Decimal("1e-9")


def test_without_a_correction_nothing_changes_and_without_a_price_nothing_is_said():
    usage = Usage(input_tokens=10)
    assert new_cost(priced(usage, Decimal("0.5")), book_of(OLD)).usd == Decimal("0.5")
    assert new_cost(priced(usage, None, price_id=None, models=["other"]), book_of(OLD)) is None
    assert new_cost(priced(usage, None, price_id=None), book_of(OLD)).usd == cost_usd(usage, Rates.parse(OLD))


@pytest.fixture
def world(db):
    return an_old_price()


def an_old_price():
    """The price that calls were made at, with its provider and a route there."""
    provider = Provider.objects.create(
        name="openai-eu", kind="openai", base_url="https://x.example.com/v1", price_provider="openai"
    )
    route = Route.objects.create(name="fast")
    Target.objects.create(route=route, position=0, provider=provider, model="gpt-x")
    return Price.objects.create(provider="openai", model="gpt-x", rates=OLD, source="catalog")


def a_call(price, *, usage=None, tier="", **values):
    """A call at the old price, served under a dated name."""
    usage = usage or Usage(input_tokens=1000, cache_read_tokens=100, output_tokens=200)
    cost = cost_usd(usage, Rates.parse(price.rates).variant(tier))
    given = {
        "provider": "openai-eu", "model_served": "gpt-x-2026-01-01", "price_id": price.id, "cost_usd": cost, "held_usd": 1,
        "input_tokens": usage.input_tokens, "cache_read_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens, "reasoning_tokens": usage.reasoning_tokens,
    }  # fmt: skip
    return make_call(**{**given, **values})


def correct(rates=NEW):
    return Price.objects.create(provider="openai", model="gpt-x", rates=rates, source="catalog")


def run(*args, since=SINCE, **options):
    out = StringIO()
    call_command("reprice", *args, since=since, actor="ada", stdout=out, **options)
    return out.getvalue()


def costs():
    """Each call's row and adjustments together, as everything adds them up."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, sum(cost_usd) FROM tollhouse_cost_entry GROUP BY id")
        return dict(cursor.fetchall())


@pytest.mark.django_db
def test_a_correction_is_shown_first_then_booked_and_the_second_run_finds_nothing(world):
    calls = [a_call(world), a_call(world, tier="batch"), a_call(world, feature="other")]
    rows = list(Call.objects.order_by("id").values())
    new = correct()
    shown = run(dry_run=True)
    assert "openai-eu/gpt-x-2026-01-01" in shown and "In all: 3 calls" in shown and "Nothing was done" in shown
    assert not Adjustment.objects.exists() and not AuditEntry.objects.exists()
    run(feature="support.reply")
    assert Adjustment.objects.count() == 2
    run(reason="typo in the price")
    expected = [cost_usd(Usage(input_tokens=1000, cache_read_tokens=100, output_tokens=200), Rates.parse(NEW).variant(t))
                for t in ("", "batch", "")]  # fmt: skip
    assert [costs()[call.id] for call in calls] == expected
    assert set(Adjustment.objects.values_list("price_id", "actor")) == {(new.id, "ada")}
    assert "In all: 0 calls" in run()
    assert Adjustment.objects.count() == 3 and list(Call.objects.order_by("id").values()) == rows
    audited = AuditEntry.objects.first()
    assert (audited.action, audited.reason, audited.detail["calls"]) == ("calls.reprice", "typo in the price", 1)


@pytest.mark.django_db
def test_figures_of_a_version_count_its_corrections(world):
    a_call(world, prompt_version="a")
    correct()
    run()
    found = figures("support.reply", ["a"], 7)["a"]
    assert (found.calls, found.cost_usd) == (1, Call.objects.get().cost_usd + Adjustment.objects.get().cost_usd)


@pytest.mark.django_db
def test_a_second_correction_corrects_the_first_one(world):
    call = a_call(world)
    correct({"input": "100", "output": "100"})
    run()
    correct()
    run()
    usage = Usage(input_tokens=1000, cache_read_tokens=100, output_tokens=200)
    assert costs()[call.id] == cost_usd(usage, Rates.parse(NEW)) and Adjustment.objects.count() == 2


@pytest.mark.django_db
def test_a_call_without_a_price_gets_its_cost_once_free_or_not(world):
    call = a_call(world, price_id=None, cost_usd=None, held_usd=None)
    Target.objects.create(route=Route.objects.get(), position=1, provider=Provider.objects.get(), model="free")
    free = a_call(world, price_id=None, cost_usd=None, held_usd=None, model_served="free")
    assert "(1 without a price so far)" in run() and "1 calls were left alone" in run(dry_run=True)
    Price.objects.create(provider="openai", model="free", rates={"input": "0"}, source="catalog")
    run()
    assert "In all: 0 calls" in run()
    assert costs()[call.id] == cost_usd(
        Usage(input_tokens=1000, cache_read_tokens=100, output_tokens=200), Rates.parse(OLD)
    )
    assert costs()[free.id] == 0 and Adjustment.objects.count() == 2


@pytest.mark.django_db
def test_open_windows_move_with_their_calls_and_past_ones_do_not(world):
    now = timezone.now()
    usd = {"limit": 10, "period": "day"}
    mine = Budget.objects.create(feature="support.reply", model="gpt-x", **usd)
    others = [
        Budget.objects.create(feature="other", **usd), Budget.objects.create(metric="calls", limit=10),
        Budget.objects.create(tenant="t", on_hard="route:fast", **usd), Budget.objects.create(active=False, **usd),
    ]  # fmt: skip

    def window(budget, ago=0.0, **values):
        starts = now - timedelta(hours=12) - timedelta(days=ago)
        return Window.objects.create(
            budget=budget,
            starts_at=starts,
            ends_at=starts + timedelta(days=1),
            spent=Decimal("0.5"),
            made_at=starts,
            **values,
        )

    open_now, past = window(mine), window(mine, ago=1)
    still = [past, *(window(budget) for budget in others)]
    at = now - timedelta(hours=1)
    young = Budget.objects.create(feature="support.reply", tenant="t", limit=10)
    still.append(
        Window.objects.create(budget=young, starts_at=at, ends_at=now + timedelta(hours=1), spent=Decimal("0.5"))
    )
    a_call(world, at=now - timedelta(minutes=30), tenant="t")
    a_call(world, at=now - timedelta(minutes=20), held_usd=None)
    a_call(world, at=now - timedelta(days=1), tenant="t")
    correct()
    run()
    open_now.refresh_from_db()
    change = (
        Adjustment.objects.filter(call_id__gte=first_id(now - timedelta(minutes=31)))
        .order_by("call_id")
        .first()
        .cost_usd
    )
    assert change < 0 and open_now.spent == Decimal("0.5") + change
    for window in still:
        window.refresh_from_db()
        assert window.spent == Decimal("0.5"), window


@pytest.mark.django_db
def test_a_correction_that_crosses_the_soft_threshold_is_told(world):
    now = timezone.now()
    budget = Budget.objects.create(feature="support.reply", limit=1)
    Window.objects.create(
        budget=budget, starts_at=now - timedelta(hours=1), ends_at=now + timedelta(hours=1), spent=Decimal("0.69"),
        made_at=now - timedelta(hours=1),
    )  # fmt: skip
    a_call(world, at=now - timedelta(minutes=5))
    correct({"input": "30", "output": "30"})
    run()
    assert Alert.objects.get().kind == "budget_threshold"


@pytest.mark.django_db
def test_lost_calls_that_may_be_settled_yet_and_those_that_were_are_left_alone(world):
    a_call(world, outcome="lost")
    late = a_call(world, outcome="lost", at=timezone.now() - timedelta(days=2))
    Adjustment.objects.bulk_create([Adjustment(call_id=late.id, cost_usd=1, reason="late", actor="ledger")])
    old = a_call(world, outcome="lost", at=timezone.now() - timedelta(days=2))
    correct()
    assert "2 calls were left alone" in run()
    assert set(Adjustment.objects.exclude(price_id=None).values_list("call_id", flat=True)) == {old.id}


@pytest.mark.django_db
def test_a_range_has_its_ends_and_a_wrong_one_says_so(world):
    a_call(world, at=timezone.now() - timedelta(days=2))
    correct()
    assert "In all: 0 calls" in run(since=(timezone.now() - timedelta(days=1)).isoformat())
    assert "In all: 1 calls" in run(model="gpt-x-2026-01-01", dry_run=True)
    for options in ({"since": "yesterday"}, {"since": "2026-02-01", "until": "2026-01-01"}):
        with pytest.raises(CommandError, match=r"write 2026-09-01|comes before"):
            run(**options)


@pytest.mark.django_db(transaction=True)
def test_a_run_that_breaks_off_is_taken_up_where_it_stopped_and_two_do_not_run_at_once(world):
    """The second of three batches cannot be written; what the first booked stays, and the next run books the rest."""
    make_partitions(timezone.now() - timedelta(hours=30))
    start = first_id(timezone.now() - timedelta(hours=30)).int
    template = a_call(world)
    columns = {field.attname: getattr(template, field.attname) for field in Call._meta.concrete_fields}
    ids = [UUID(int=start + n) for n in range(1, 2101)]
    Call.objects.bulk_create(Call(**{**columns, "id": id}) for id in ids)
    new = correct()
    stop = ids[1500]
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.call_id = "
            f"'{stop}' THEN RAISE EXCEPTION 'killed'; END IF; RETURN NEW; END $$;"
            "CREATE TRIGGER stop BEFORE INSERT ON tollhouse_adjustment FOR EACH ROW EXECUTE FUNCTION stop()"
        )
    try:
        with pytest.raises(Exception, match="killed"):
            run()
        assert Adjustment.objects.count() == 1000
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER stop ON tollhouse_adjustment; DROP FUNCTION stop()")
    run()
    assert Adjustment.objects.filter(price_id=new.id).count() == 2101
    total = Adjustment.objects.aggregate(sum=Sum("cost_usd"))["sum"]
    assert total == 2101 * Adjustment.objects.first().cost_usd
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        with pytest.raises(CommandError, match="Another run"):
            run()
    finally:
        other.close()
