"""The calls that a point of a chart leads to are those that it counts, by every clock."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.contrib.auth.models import Permission, User
from django.http import QueryDict
from django.utils import timezone
from uuid_utils.compat import uuid7

from budgets.models import Budget, Window
from dashboards.digests.pictures import _moment
from dashboards.filters import parse
from dashboards.pages.charts import MOST, OTHERS, Chart, Slices
from gateway.models import Adjustment, BreakerTrip, Owner, TenantLimit
from tests.rows import make_call

ROOT = "/admin/dashboards/"


def ago(hours):
    return timezone.now() - timedelta(hours=hours)


def chart(client, address):
    return json.loads(client.get(ROOT + address).content)


def behind(client, series, span):
    """The calls that the list shows for a point, as the page's script leads there."""
    url = urlsplit(series["url"])
    asked = {name: values[0] for name, values in parse_qs(url.query).items()} | {"since": span[0], "until": span[1]}
    context = client.get(f"{url.path}?{urlencode(asked)}").context
    assert context["filters"].problem is None
    return context["page"].calls


def counted(client, address, amount=lambda calls, name: len(calls)):
    """What each point says, beside what comes to of the calls that it leads to; for each series' name."""
    found = chart(client, address)
    return {
        series["name"]: [
            (value, amount(behind(client, series, span), series["name"]))
            for value, span in zip(series["values"], found["spans"], strict=True) if value
        ]
        for series in found["series"]
    }  # fmt: skip


@pytest.mark.django_db
def test_every_point_leads_to_just_the_calls_that_it_counts(admin_client):
    for number in range(MOST + 3):
        own = {"feature": f"f{number:02}", "at": ago(1)}
        make_call(**own, cost_usd=Decimal(100 - number))
        make_call(
            **own, cost_usd=0, outcome="refused_policy", error_class=f"E{number:02}", entities={f"T{number:02}": 2}
        )
    make_call(at=ago(1), fallback_from="openai/x", provider="anthropic", entities={"PERSON": 3, "T00": 1})
    make_call(at=ago(1), provider="anthropic", outcome="timeout", cost_usd=Decimal(0))

    def spent(calls, name):
        return sum(float(call.cost_usd) for call in calls)

    def named(calls, name):
        assert all(name == OTHERS or name in call.entities for call in calls)
        hidden = {f"T{number:02}" for number in range(MOST + 3)} - {*types}
        return sum(
            sum(n for type, n in call.entities.items() if type in (hidden if name == OTHERS else {name}))
            for call in calls
        )

    types = [series["name"] for series in chart(admin_client, "privacy/data/entities/?range=24h")["series"]]
    for address, amount in (
        ("spend/data/over-time/", spent), ("reliability/data/errors/", None), ("reliability/data/fallbacks/", None),
        ("privacy/data/refusals/", None), ("privacy/data/entities/", named),
    ):  # fmt: skip
        found = counted(admin_client, f"{address}?range=24h", *filter(None, [amount]))
        assert found and all(said == there for points in found.values() for said, there in points), (address, found)
        assert address.endswith("fallbacks/") or OTHERS in found, address
    # What is filtered by counts in all of it.
    assert chart(admin_client, "privacy/data/refusals/?range=24h&outcome=ok")["series"] == []
    row = next(
        row for row in admin_client.get(f"{ROOT}reliability/?range=24h&outcome=timeout").context["rows"]
        if row.provider == "anthropic"
    )  # fmt: skip
    assert (row.sums.errors, parse_qs(urlsplit(row.failed_url).query)["q"][0].split()[0]) == (1, "ended:timeout")


@pytest.mark.django_db
def test_a_lost_call_that_was_settled_late_is_behind_the_outcome_that_it_counts_as(admin_client):
    late, _ = (make_call(at=ago(1), outcome="lost") for _ in range(2))
    make_call(at=ago(1), outcome="timeout")
    Adjustment.objects.bulk_create([
        Adjustment(call_id=late.id, cost_usd=0, outcome="timeout", reason="late", actor="ledger")
    ])  # fmt: skip
    found = counted(admin_client, "reliability/data/outcomes/?range=24h")
    assert found == {"timeout": [(2, 2)], "lost": [(1, 1)]}
    others = admin_client.get("/admin/tollhouse_gateway/call/?since=7d&q=-ended:timeout").context["page"].calls
    assert [call.outcome for call in others] == ["lost"] and late not in others


@pytest.mark.django_db
def test_streams_are_behind_their_first_tokens(admin_client):
    make_call(at=ago(1), streamed=True, first_token_ms=80)
    make_call(at=ago(1))
    found = chart(admin_client, "reliability/data/first-token/?range=24h")
    [place] = [place for place, value in enumerate(found["series"][0]["values"]) if value is not None]
    assert [call.streamed for call in behind(admin_client, found["series"][0], found["spans"][place])] == [True]


@pytest.mark.django_db
def test_a_window_leads_to_all_calls_that_count_in_it(admin_client):
    now = timezone.now()
    budget = Budget.objects.create(feature="f", limit=100)
    window = Window.objects.create(
        budget=budget, starts_at=now - timedelta(hours=4), ends_at=now + timedelta(hours=4), spent=40
    )
    found = chart(admin_client, f"budgets/data/window/?window={window.pk}&model=gpt-4o&outcome=ok")
    assert parse_qs(urlsplit(found["series"][0]["url"]).query) == {"q": ["feature:f"]}


@pytest.mark.django_db
def test_who_is_limited_to_many_tenants_comes_to_their_calls(client):
    tenants = [f"customer-of-ours-{number:03}" for number in range(120)]
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    TenantLimit.objects.create(user=user, tenants=tenants)
    client.force_login(user)
    for tenant in (tenants[0], tenants[1], "another"):
        make_call(at=ago(1), tenant=tenant)
    assert counted(client, "reliability/data/outcomes/?range=24h") == {}
    make_call(at=ago(1), tenant=tenants[0], outcome="timeout")
    assert counted(client, "reliability/data/outcomes/?range=24h") == {"timeout": [(1, 1)]}
    assert counted(client, f"reliability/data/outcomes/?range=24h&tenant={tenants[1]}") == {}


@pytest.mark.parametrize(
    "zone, now, preset, hours",
    [
        ("Europe/Berlin", "2026-10-25T01:30Z", "today", 4),
        ("Europe/Berlin", "2026-10-25T01:00Z", "today", 3),
        ("Europe/Berlin", "2026-10-25T12:10Z", "24h", 24),
        ("Europe/Berlin", "2026-03-29T12:10Z", "24h", 24),
        ("America/New_York", "2026-11-01T23:10Z", "today", 20),
        ("Asia/Kolkata", "2026-10-25T12:10Z", "24h", 24),
        ("Asia/Kathmandu", "2026-10-25T12:10Z", "24h", 24),
        # Its clocks go by half an hour.
        ("Australia/Lord_Howe", "2026-04-05T10:00Z", "today", 21),
    ],
)
def test_each_hour_has_a_place_of_its_own_when_clocks_change(zone, now, preset, hours):
    with timezone.override(zone):
        filters = parse(QueryDict(f"range={preset}"), datetime.fromisoformat(now)).filters
        slices = Slices(filters)
    assert len(slices.spans) == hours
    assert all(since < until for since, until in slices.spans)
    assert [until for _, until in slices.spans[:-1]] == [since for since, _ in slices.spans[1:]]
    middles = [since + (until - since) / 2 for since, until in slices.spans]
    with timezone.override(zone):
        assert [slices.place(at) for at in middles] == [*range(hours)]
    assert (slices.spans[0][0], slices.spans[-1][1]) == (filters.since.astimezone(UTC), filters.until.astimezone(UTC))


@pytest.mark.django_db
def test_breakers_trip_in_the_hour_that_they_did_when_a_clock_goes_back(admin_client):
    process = Owner.objects.bulk_create([Owner(id=uuid7(), host="h", pid=1)])[0].pk
    at = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)
    BreakerTrip.objects.bulk_create([
        BreakerTrip(id=uuid7(), process=process, provider="p", model="m", opened_at=at, retry_at=at, failures=5)
    ])  # fmt: skip
    with timezone.override("Europe/Berlin"):
        found = chart(admin_client, "reliability/data/trips/?since=2026-10-25T00:00&until=2026-10-25T06:00")
    [series] = found["series"]
    assert found["spans"][series["values"].index(1)] == ["2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"]


def test_the_hour_that_a_clock_shows_twice_is_told_apart_in_charts_and_images():
    hours = [datetime(2026, 10, 24, 23, tzinfo=UTC) + timedelta(hours=n) for n in range(5)]
    drawn = Chart(kind="bars", unit="count", spans=[(at, at + timedelta(hours=1)) for at in hours], series=[])
    day, names = "2026-10-25", ["01:00", "02:00 CEST", "02:00 CET", "03:00", "04:00"]
    with timezone.override("Europe/Berlin"):
        found = drawn.as_json()
        assert [_moment(drawn, at) for at in hours] == names
    assert found["names"] == [f"{day} {name}" for name in names] and found["twice"]
    assert found["times"] == [f"{day}T{hour:02}:00:00" for hour in range(1, 6)], "each has a place of its own"
    with timezone.override("Asia/Kolkata"):
        found = drawn.as_json()
    assert found["names"][0] == f"{day} 04:30" and found["times"][0] == f"{day}T04:30:00" and not found["twice"]
