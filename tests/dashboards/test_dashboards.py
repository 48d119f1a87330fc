"""The dashboards: whose they are, that their figures are those of the rows, and where their points lead."""

import json
from datetime import timedelta
from decimal import Decimal
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import RequestFactory
from django.utils import timezone
from uuid_utils.compat import uuid7

from budgets.models import Alert, Budget, Forecast, Rate, Window, WindowSample
from dashboards.currency import Currency
from dashboards.filters import parse
from dashboards.pages import frame
from dashboards.pages.headline import headline
from dashboards.pages.prompts import MOST_OFFERED
from dashboards.pages.registry import PAGES
from dashboards.pages.sums import read as sums
from gateway.ledger.partitions import first_id
from gateway.models import Adjustment, AuditEntry, BreakerTrip, Feature, Owner, Prompt
from tests.rows import make_call
from tests.world import World

pytestmark = pytest.mark.django_db
ROOT = "/admin/dashboards/"


@pytest.fixture
def staff(client, django_user_model):
    """Logs somebody in with just these permissions."""

    def log_in(*codenames):
        user = django_user_model.objects.create_user("bob", password="x", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def world_of_targets():
    """A target that is configured, and a process that makes calls."""
    World("http://127.0.0.1:9/v1").feature("f")
    return Owner.objects.bulk_create([Owner(id=uuid7(), host="h", pid=1, seen_at=hours(-1))])[0]


def hours(number):
    return timezone.now() - timedelta(hours=number)


def traffic():
    """Calls of two features and three tenants, today and a week before, of every kind that a page tells apart."""
    for feature, tenant, cost, more in (
        ("support.reply", "acme", "0.015000001", {}),
        ("support.reply", "acme", "0.25", {"attempts": 2}),
        ("support.reply", "globex", "0.033333333", {"fallback_from": "openai/gpt-4o", "provider": "anthropic", "model_served": "claude"}),
        ("search.answer", "", "1.5", {"outcome": "lost"}),
        ("search.answer", "initech", "0", {"cache_hit": True, "attempts": 0}),
        ("search.answer", "initech", "0.1", {"outcome": "timeout", "first_token_ms": 90}),
    ):  # fmt: skip
        make_call(feature=feature, tenant=tenant, cost_usd=Decimal(cost), at=hours(1), **more)
    make_call(feature="support.reply", tenant="acme", cost_usd=Decimal("0.5"), at=hours(8 * 24))


def sql(query, *values):
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()


def chart(client, address, status=200):
    answer = client.get(ROOT + address)
    assert answer.status_code == status and answer["Content-Type"] == "application/json", answer.content
    return json.loads(answer.content)


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: page.name)
def test_each_page_and_chart_needs_its_permission(client, staff, page):
    addresses = [page.url, *(f"{page.url}data/{name}/" for name in page.charts)]
    assert [client.get(address).status_code for address in addresses] == [302] * len(addresses)
    nobody = staff("view_alert")
    assert [nobody.get(address).status_code for address in addresses] == [403] * len(addresses)
    assert page.url not in nobody.get("/admin/").content.decode()
    bob = Permission.objects.get(codename="view_alert").user_set.get()
    bob.user_permissions.add(Permission.objects.get(codename=page.permission.partition(".")[2]))
    assert nobody.get(page.url).status_code == 200
    assert page.url in nobody.get("/admin/").content.decode()
    assert nobody.post(page.url).status_code == 405
    assert nobody.get(f"{page.url}data/nothing/").status_code == 404


def test_there_is_no_other_page(admin_client):
    assert admin_client.get(f"{ROOT}nothing/").status_code == 404


def test_spend_is_that_of_the_rows_to_the_last_digit(admin_client):
    traffic()
    late = make_call(cost_usd=Decimal("0.2"), at=hours(1), tenant="acme")
    Adjustment.objects.bulk_create([Adjustment(call_id=late.id, cost_usd=Decimal("-0.05"), reason="late", actor="x")])
    context = admin_client.get(f"{ROOT}spend/?range=7d&by=tenant").context
    filters = context["reading"].filters
    of_rows = dict(
        sql(
            "SELECT tenant, sum(cost_usd + coalesce((SELECT sum(a.cost_usd) FROM tollhouse_adjustment a WHERE a.call_id = c.id), 0))"
            " FROM tollhouse_call c WHERE id >= %s AND id < %s GROUP BY tenant",
            first_id(filters.since), first_id(filters.until),
        )
    )  # fmt: skip
    shown = {row.name: row.now.cost for row in context["rows"]}
    assert shown == {tenant or "no tenant": cost for tenant, cost in of_rows.items()}
    assert context["whole"].cost == sum(of_rows.values()) == Decimal("2.048333334")
    assert context["whole_before"].cost == Decimal("0.5")
    tiles = {tile.label: (tile.now, tile.change) for tile in context["tiles"]}
    assert tiles["Spend"] == ("$2.05", "×4.1") and tiles["Calls"][0] == "7"
    assert tiles["Lost calls"][0] == "$1.50" and tiles["Retries"][0] == "$0.25" and tiles["Fallbacks"][0] == "$0.0333"
    assert tiles["From the cache"][0] == "14.3%"
    found = chart(admin_client, "spend/data/over-time/?range=7d&by=tenant")
    assert sum(sum(series["values"]) for series in found["series"]) == pytest.approx(2.048333334)
    assert found["series"][0]["name"] == "no tenant" and len(found["times"]) == len(found["spans"]) == 7


def test_every_point_leads_to_its_calls(admin_client):
    traffic()
    found = chart(admin_client, "spend/data/over-time/?range=7d&by=tenant&feature=search.answer&label=a%3Db+c")
    assert found["series"] == []
    found = chart(admin_client, "spend/data/over-time/?range=7d&by=tenant&feature=search.answer")
    urls = {series["name"]: urlsplit(series["url"]) for series in found["series"]}
    assert urls["initech"].path == "/admin/tollhouse_gateway/call/"
    assert parse_qs(urls["initech"].query) == {"q": ["feature:search.answer tenant:initech"]}
    assert parse_qs(urls["no tenant"].query) == {"q": ['feature:search.answer tenant:""']}
    page = admin_client.get(f"{ROOT}spend/?range=7d&tenant=%22Acme%22+Inc").context["calls_url"]
    query = parse_qs(urlsplit(page).query)
    assert query["q"] == [r'tenant:"\"Acme\" Inc"'] and query["since"][0].endswith("Z") and "until" in query


def test_whom_calls_were_for_is_shown_to_those_who_may_view_calls(staff):
    traffic()
    member = staff("view_feature")
    answer = member.get(f"{ROOT}spend/?range=7d&by=tenant&tenant=acme")
    assert answer.context["by"] == "feature" and answer.context["whole"].calls == 6
    text = answer.content.decode()
    assert "Tenant was left out of the filters" in text and "By tenant" not in text and "/call/" not in text
    assert all(not series["url"] for series in chart(member, "spend/data/over-time/?range=7d&by=tenant")["series"])


def test_a_reader_of_some_tenants_sees_no_other_s_calls():
    traffic()
    request = RequestFactory().get("/", {"range": "7d", "tenant": ["acme", "globex"]})
    limited = frame.Reading(request, parse(request.GET), frozenset({"acme"}))
    assert limited.filters.where == limited.before.where == {"tenant": ("acme",)}
    other = frame.Reading(request, parse(request.GET), frozenset({"initech"}))
    assert other.filters.where == {"tenant": ()}
    assert sums(other.filters, ("feature",), Currency()) == {}
    assert sums(limited.filters, ("tenant",), Currency()).keys() == {("acme",)}


def test_more_values_than_can_be_told_apart_are_one(admin_client):
    for number in range(60):
        make_call(tenant=f"t{number:02}", cost_usd=Decimal(number + 1), at=hours(1))
    found = chart(admin_client, "spend/data/over-time/?range=24h&by=tenant")
    assert [series["name"] for series in found["series"]][:2] == ["t59", "t58"]
    assert found["series"][-1]["name"] == "all others" and len(found["series"]) == 9
    rows = admin_client.get(f"{ROOT}spend/?range=24h&by=tenant").context["rows"]
    assert len(rows) == 51 and rows[-1].name == "10 others" and rows[-1].now.cost == sum(range(1, 11))
    assert sum(row.now.cost for row in rows) == sum(range(1, 61))


def test_amounts_are_in_the_reporting_currency_by_the_rate_of_their_day(admin_client, settings):
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "REPORTING_CURRENCY": "EUR"}
    make_call(cost_usd=Decimal("1"), at=hours(1))
    make_call(cost_usd=Decimal("1"), at=hours(4 * 24))
    assert "There is no rate for EUR" in admin_client.get(f"{ROOT}spend/?range=30d").content.decode()
    today = timezone.localdate()
    for days, rate in ((30, "0.5"), (2, "0.8")):
        Rate.objects.create(currency="EUR", per_usd=rate, effective_from=today - timedelta(days=days), source="ECB")
    context = admin_client.get(f"{ROOT}spend/?range=30d").context
    assert context["whole"].cost == Decimal("1.3") and context["tiles"][0].now == "€1.30"
    assert chart(admin_client, "spend/data/over-time/?range=30d")["prefix"] == "€"


def test_latency_is_told_apart_from_the_gate_s_own(admin_client):
    for number in range(20):
        make_call(at=hours(1), latency_ms=1000 + number, gate_ms=5, first_token_ms=100, streamed=True)
    failed = {
        "outcome": "provider_error",
        "error_class": "ProviderError",
        "provider": "anthropic",
        "model_served": "claude",
    }
    make_call(at=hours(1), latency_ms=70, **failed)
    make_call(
        at=hours(1), outcome="refused_budget", error_class="BudgetExceeded", provider="", model_served="", latency_ms=0
    )
    context = admin_client.get(f"{ROOT}reliability/?range=24h").context
    rows = {row.model: row for row in context["rows"]}
    assert rows["gpt-4o-mini"].p50 == pytest.approx(1009, rel=0.02)
    assert rows["claude"].sums.error_share == 1 and "ended%3A" in rows["claude"].failed_url
    classes = {(row.name, row.provider): row for row in context["classes"]}
    assert classes.keys() == {("ProviderError", "anthropic"), ("BudgetExceeded", "")}
    broken = classes["ProviderError", "anthropic"]
    assert (broken.calls, broken.share) == (1, 1.0)
    q = parse_qs(urlsplit(broken.calls_url).query)["q"]
    assert q == ["error_class:ProviderError provider:anthropic model:claude"]
    query = urlencode({"q": q[0], "range": "24h"})
    assert len(admin_client.get(f"/admin/tollhouse_gateway/call/?{query}").context["page"].calls) == 1
    for name in PAGES["reliability"].charts:
        found = chart(admin_client, f"reliability/data/{name}/?range=24h")
        assert len(found["times"]) == 24 and all(len(series["values"]) == 24 for series in found["series"])
    gate = chart(admin_client, "reliability/data/gate/?range=24h")["series"][0]["values"]
    assert max(value for value in gate if value is not None) == pytest.approx(5, rel=0.02)
    outcomes = chart(admin_client, "reliability/data/outcomes/?range=24h")["series"]
    assert [(series["name"], sum(series["values"])) for series in outcomes] == [
        ("provider_error", 1),
        ("refused_budget", 1),
    ]
    errors = chart(admin_client, "reliability/data/errors/?range=24h&provider=anthropic")["series"]
    assert [(series["name"], sum(series["values"])) for series in errors] == [("ProviderError", 1)]


def test_breakers_are_told_to_who_may_see_everybody_s_alerts(admin_client, staff, world_of_targets):
    (trip,) = BreakerTrip.objects.bulk_create([
        BreakerTrip(
            id=uuid7(), process=world_of_targets.pk, provider="mock", model="gone", opened_at=hours(2), retry_at=hours(1),
            failures=5, error_class="ProviderTimeout",
        )
    ])  # fmt: skip
    shown = admin_client.get(f"{ROOT}reliability/?range=24h")
    assert [(one.provider, one.model, one.state) for one in shown.context["breakers"]] == [
        ("mock", "gone", "half open"), ("mock", "echo", "closed"),
    ]  # fmt: skip
    assert "No calls in this time" in shown.content.decode() and "1 of " in shown.content.decode()
    found = chart(admin_client, "reliability/data/trips/?range=24h")["series"]
    assert [(series["name"], sum(series["values"])) for series in found] == [("mock/gone", 1)]
    assert parse_qs(urlsplit(found[0]["url"]).query)["q"][0].startswith("provider:mock ended:provider_error")
    assert admin_client.get(f"{ROOT}reliability/?provider=other").context["breakers"] == []
    assert chart(admin_client, "reliability/data/trips/?model=other")["series"] == []
    BreakerTrip.objects.filter(pk=trip.pk).update(closed_at=hours(1))
    assert admin_client.get(f"{ROOT}reliability/").context["breakers"][0].state == "closed"
    viewer = staff("view_feature")
    assert viewer.get(f"{ROOT}reliability/").context["breakers"] is None
    assert chart(viewer, "reliability/data/trips/?range=24h")["series"] == []


def test_a_window_burns_down_to_what_is_left(admin_client):
    now = timezone.now()
    budget = Budget.objects.create(feature="support.reply", limit=100, soft_percent=[70])
    window = Window.objects.create(
        budget=budget, starts_at=now - timedelta(hours=4), ends_at=now + timedelta(hours=4), spent=40
    )
    WindowSample.objects.create(window=window, at=now - timedelta(hours=2), spent=15)
    Forecast.objects.create(window=window, made_at=now, expected=90, low=80, high=110, note="x")
    [shown] = admin_client.get(f"{ROOT}budgets/").context["windows"]
    found = json.loads(admin_client.get(shown.url).content)
    lines = {series["name"]: series["values"] for series in found["series"]}
    assert lines["left"] == [100, 85, 60, None] and lines["alert at 70%"] == [30] * 4
    assert lines["expected"] == [None, None, 60, 10] and lines["at most"][-1] == -10
    assert admin_client.get(f"{ROOT}budgets/?feature=another").context["nothing"]
    assert "No window is open" in admin_client.get(f"{ROOT}budgets/?feature=another").content.decode()
    for number in ("0", "x", "9" * 30):
        assert admin_client.get(f"{ROOT}budgets/data/window/?window={number}").status_code == 404


def test_versions_are_beside_each_other_with_what_is_proven(admin_client):
    world = World("http://127.0.0.1:9/v1")
    contents = [{"messages": [{"role": "user", "content": text}]} for text in ("one", "two")]
    one, two = world.prompt(world.feature("support.reply"), *contents)
    for hour in range(1, 9):
        for number in range(6):
            for version, cost in ((one, "0.010"), (two, "0.008")):
                cost_usd = Decimal(cost) * (100 + hour % 3 + number) / 100
                make_call(at=hours(hour), prompt_version=version.address, cost_usd=cost_usd)
    context = admin_client.get(f"{ROOT}prompts/?range=24h").context
    first, other = context["versions"]
    assert (first.address, other.address) == (one.address, two.address) and not first.said
    assert other.said == f"{two.short} is 20% (19–21%) cheaper; quality difference not proven."
    assert other.success == "100.0%" and other.success_range == "92.6% to 100.0%" and other.tally.calls == 48
    for name in PAGES["prompts"].charts:
        assert [s["name"] for s in chart(admin_client, f"prompts/data/{name}/?range=24h")["series"]] == sorted(
            (one.short, two.short)
        )

    like = one.prompt.feature
    features = [Feature(slug=f"a.{number:03}", policy=like.policy, route=like.route) for number in range(MOST_OFFERED)]
    Feature.objects.bulk_create(features)
    Prompt.objects.bulk_create(Prompt(feature=feature) for feature in features)
    for query in ("prompt=support.reply", "feature=support.reply", ""):
        assert admin_client.get(f"{ROOT}prompts/?range=24h&{query}").context["slug"] == "support.reply"
    for asked in ("support.rply", "%00"):
        answer = admin_client.get(f"{ROOT}prompts/?range=24h&prompt={asked}")
        assert "There is no prompt “" in answer.content.decode() and answer.context["slug"] == "support.reply"
    without = admin_client.get(f"{ROOT}prompts/?range=24h&prompt=a.007").content.decode()
    assert "No version of a.007 was called" in without and '<option value="a.008">' in without


def test_what_was_found_is_counted_and_who_read(admin_client, staff):
    make_call(at=hours(1), entities={"PERSON": 2, "EMAIL_ADDRESS": 1})
    make_call(at=hours(1), entities={"PERSON": 1}, outcome="refused_policy", cost_usd=0)
    AuditEntry.objects.create(actor="ada", action="payload.read", subject=f"payload {uuid7()}")
    context = admin_client.get(f"{ROOT}privacy/?range=24h").context
    assert [row[:2] for row in context["rows"]] == [("PERSON", 3), ("EMAIL_ADDRESS", 1)]
    assert [(reader.actor, reader.reads) for reader in context["readers"]] == [("ada", 1)]
    assert {tile.label: tile.now for tile in context["tiles"]} == {
        "Entities found": "4",
        "Refused by policy": "1",
        "Payloads read": "1",
    }
    assert [s["name"] for s in chart(admin_client, "privacy/data/refusals/?range=24h")["series"]] == ["support.reply"]
    assert "ada" not in staff("view_redactionpolicy").get(f"{ROOT}privacy/?range=24h").content.decode()


def test_the_overview_begins_with_spend_beside_budgets_and_what_moved(admin_client):
    traffic()
    now = timezone.now()
    start = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    budget = Budget.objects.create(limit=10)
    window = Window.objects.create(budget=budget, starts_at=start, ends_at=start + timedelta(days=1), spent="2.5")
    Forecast.objects.create(window=window, made_at=now, expected=5, low=4, high=6, note="x")
    context = admin_client.get("/admin/?range=7d").context
    tiles = {tile.label: tile for tile in context["tiles"]}
    assert tiles["Spend today"].note == "25.0% of $10; expected $5 (4–6)"
    assert tiles["Calls"].now == "6" and tiles["Error rate"].now == "33.3%"
    assert [row.name for row in context["moved"]] == ["search.answer", "support.reply"]


def test_the_first_minutes_of_a_day_are_beside_no_whole_hour():
    admin, now = RequestFactory().get("/"), timezone.localtime().replace(hour=0, minute=5)
    admin.user = User(is_superuser=True, is_active=True)
    make_call(at=now - timedelta(days=1), cost_usd=Decimal(5))
    make_call(at=now - timedelta(minutes=2), cost_usd=Decimal(1))
    for minutes, said in ((0, ""), (60, "−80%")):
        shown = headline(frame.Reading.of(admin, now + timedelta(minutes=minutes)))["tiles"][0]
        assert (shown.label, shown.now, shown.change) == ("Spend today", "$1.00", said)


def test_alerts_that_are_over_do_not_hide_open_ones(admin_client):
    for number in range(9):
        over = None if number in (0, 2) else timezone.now()
        Alert.objects.create(
            kind="x",
            severity="info",
            dedup_key=str(number),
            summary=f"alert {number}",
            resolved_at=over,
            created_at=hours(9 - number),
        )
    shown = [alert.summary for alert in admin_client.get("/admin/").context["alerts"]]
    assert shown == [f"alert {number}" for number in (2, 0, 8, 7, 6, 5)]


def test_without_calls_pages_say_so(admin_client):
    for name in ("spend", "reliability", "prompts", "privacy"):
        answer = admin_client.get(f"{ROOT}{name}/?tenant=nobody")
        assert answer.context["nothing"] and "clear the filters" in answer.content.decode()


def test_what_is_hostile_is_text(admin_client):
    evil = "<script>alert(1)</script>\"'=x"
    make_call(tenant=evil, cost_usd=Decimal(1), at=hours(1), model_served=evil, provider=evil)
    for address in (
        f"{ROOT}spend/?by=tenant",
        f"{ROOT}reliability/",
        f"{ROOT}spend/?tenant={evil}&range={evil}&label={evil}",
    ):
        assert "<script>alert" not in admin_client.get(address).content.decode()
