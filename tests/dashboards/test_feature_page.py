"""The page of a feature's spend: who may see what of it, whose figures it shows, and what it says where it cannot."""

from datetime import timedelta
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from budgets.models import Alert, Budget, Switch, Window
from dashboards import spend
from dashboards.spend import MOST
from gateway.ledger.partitions import EXISTING, SPANS, make_ahead, missing
from gateway.models import Adjustment, Call, Feature, TenantLimit
from tests.rows import make_call
from tests.world import World

PAGE = "/admin/tollhouse_gateway/feature/support.reply/spend/"
HOSTILE = """<script>alert(1)</script>"><img src=x onerror=alert(2)>"""
pytestmark = pytest.mark.django_db


@pytest.fixture
def configured(db):
    return World("http://127.0.0.1:9/v1")


@pytest.fixture
def feature(configured):
    return configured.feature("support.reply")


@pytest.fixture
def staff(client, django_user_model):
    """Logs somebody in with just these permissions."""

    def log_in(*codenames):
        user = django_user_model.objects.create_user("bob", password="x", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(user)
        return client

    return log_in


def ago(**length):
    return timezone.now() - timedelta(**length)


def make_partition(at):
    with connection.cursor() as cursor:
        cursor.execute(EXISTING, [list(SPANS)])
        for statement in missing([at], {name for (name,) in cursor.fetchall()}):
            cursor.execute(statement.as_string(cursor.connection))


def make_past(*, times=1, tenants=("",), **values):
    """So many calls that long ago, of the tenants in turn, each with the partition that it needs."""
    length = {name: values.pop(name) for name in ("hours", "minutes") if name in values}
    make_partition(ago(**length))
    for number in range(times):
        make_call(at=ago(**length), tenant=tenants[number % len(tenants)], **values)


def a_rise(**values):
    """Ten calls of two tenants the day before, and many more of one of them today."""
    make_past(hours=30.5, times=10, tenants=("acme", "b"), cost_usd=Decimal("0.1"), **values)
    make_past(hours=2.5, times=25, tenants=("acme", "acme", "acme", "acme", "b"), cost_usd=Decimal("0.1"), **values)


def told(client, query=""):
    answer = client.get(PAGE + query)
    assert answer.status_code == 200
    return answer


def text_of(client, query=""):
    return told(client, query).content.decode()


def test_strangers_see_nothing(client, staff, feature):
    a_rise()
    assert client.get(PAGE).status_code == 302
    nobody = staff("view_call", "view_window", "view_alert")
    assert nobody.get(PAGE).status_code == 403
    assert nobody.get(PAGE.replace("support.reply", "nowhere")).status_code == 403


def test_whom_calls_were_for_is_told_to_those_who_may_view_calls(staff, feature):
    a_rise(user_ref="0f3a", key="web", cohort="beta")
    make_call(cost_usd=Decimal(0), user_ref="77aa", key="cron")
    member = staff("view_feature")
    text = text_of(member)
    for shown in (
        "By cohort",
        "beta",
        "openai/gpt-4o-mini",
        "$2.50",
        "Tenants, keys and users are shown to those who may",
    ):
        assert shown in text
    for secret in ("acme", "0f3a", "77aa", "web", "cron", "By tenant", "By API key", "By user", "/call/"):
        assert secret not in text


def test_each_part_needs_its_own_permission(staff, feature):
    a_rise()
    now = timezone.now()
    budget = Budget.objects.create(feature="support.reply", limit=25)
    Window.objects.create(budget=budget, starts_at=now - timedelta(hours=3), ends_at=now + timedelta(hours=21), spent=7)
    Alert.objects.create(kind="x", severity="critical", dedup_key="x", summary="It runs wild", feature="support.reply")
    Switch.objects.create(scope="feature", value="support.reply", reason="It went wild", set_by="ada")
    parts = {
        "view_window": "$7.00", "view_alert": "It runs wild", "view_switch": "It went wild", "view_call": "By tenant",
        "add_switch": "?scope=feature&amp;value=support.reply",
    }  # fmt: skip
    member = staff("view_feature")
    user = Permission.objects.get(codename="view_feature").user_set.get()
    assert not any(words in text_of(member) for words in parts.values())
    for codename, words in parts.items():
        user.user_permissions.set(Permission.objects.filter(codename__in=["view_feature", codename]))
        text = text_of(member)
        assert [other for other in parts.values() if other in text] == [words]


def test_it_only_shows(admin_client, feature):
    for method in ("post", "put", "delete"):
        assert getattr(admin_client, method)(PAGE).status_code == 405


def test_it_says_who_made_the_spend_rise(admin_client, feature):
    a_rise()
    make_call(at=ago(hours=2), feature="another", tenant="b", cost_usd=Decimal(99))
    answer = told(admin_client)
    text = answer.content.decode()
    assert "All of the rise comes from tenant acme: 4 times as many calls at the same cost per call." in text
    assert [(f.label, f.now, f.before, f.change) for f in answer.context["figures"]] == [
        ("Spend", "$2.50", "$1.00", "×2.5"), ("Calls", "25", "10", "×2.5"), ("Cost per call", "$0.10", "$0.10", "±0%"),
        ("Errors", "0 (0.0%)", "0 (0.0%)", ""), ("Tokens", "36,000", "14,400", "×2.5"),
    ]  # fmt: skip
    bars = answer.context["bars"]
    assert sum(bar.spend.now.usd for bar in bars) == Decimal("2.5")
    assert sum(bar.spend.before.usd for bar in bars) == Decimal(1)
    # 2½ hours ago; and 30½ hours ago, which is at the place of 6½ hours ago.
    made = Call.objects.filter(feature="support.reply").latest("id").started_at
    place = max(number for number, bar in enumerate(bars) if bar.start <= made)
    assert {n: (b.now, b.before) for n, b in enumerate(bars) if b.now or b.before} == {
        place: (100, 0), place - 4: (0, 40),
    }  # fmt: skip
    assert text.count('<rect class="slot"') == 24 and 'role="img"' in text and "As a table" in text


def test_a_row_leads_to_its_calls_in_that_time(admin_client, feature):
    a_rise(prompt_version="ab" * 32)
    context = told(admin_client).context
    rows = {row.name: row for _, rows, _ in context["dimensions"] for row in rows} | {
        row.name: row for _, row in context["alike"]
    }
    assert {"support.reply@abababab", "openai/gpt-4o-mini", "acme", "b"} <= rows.keys()
    for name, calls in (("acme", 20), ("b", 5), ("openai/gpt-4o-mini", 25), ("support.reply@abababab", 25)):
        query = parse_qs(urlsplit(rows[name].url).query)
        assert query["feature"] == ["support.reply"] and rows[name].cause.spend.now.calls == calls
        page = admin_client.get(rows[name].url, follow=True).content.decode()
        assert page.count('<td data-label="Time">') == calls


def test_a_version_leads_to_its_page(admin_client, configured, feature):
    [version] = configured.prompt(feature, {"messages": [{"role": "user", "content": "x"}]})
    make_call(prompt_version=version.address)
    text = text_of(admin_client)
    assert f'href="/admin/tollhouse_gateway/promptversion/{version.pk}/change/"' in text
    assert f'href="/admin/tollhouse_gateway/deployment/{version.prompt.deployment.pk}/change/"' in text


def test_values_beyond_the_biggest_are_one_row_and_all_adds_up(admin_client, feature):
    for number in range(MOST + 5):
        make_call(tenant=f"t{number:02}", cost_usd=Decimal("0.000000001") * (100 + number))
    [(_, rows, kind)] = [found for found in told(admin_client).context["dimensions"] if found[2].name == "tenant"]
    assert len(rows) == MOST + 1 and rows[-1].name == "5 others" and rows[0].name == "t12"
    assert sum(row.cause.spend.now.usd for row in rows) == Decimal("0.000000001") * sum(range(100, 113))
    assert kind.others.spend.now.calls == 5


def test_corrections_count_with_their_calls(admin_client, feature):
    lost = make_call(outcome="lost", cost_usd=Decimal("1"), input_tokens=0, output_tokens=0)
    Adjustment.objects.bulk_create(
        [Adjustment(call_id=lost.id, cost_usd=Decimal("-0.75"), tokens=12, outcome="ok", reason="late", actor="ledger")]
    )
    other = make_call(outcome="timeout", cost_usd=None)
    whole = told(admin_client).context["whole"]
    assert (whole.now.usd, whole.now.tokens, whole.now.errors) == (Decimal("0.25"), 12 + other.total_tokens, 1)
    assert whole.now.unpriced == 1 and "1 call now and 0 before have no price" in text_of(admin_client)


@pytest.mark.parametrize("period, now, before", [("1h", 1, 2), ("24h", 3, 4), ("7d", 7, 8), ("nonsense", 3, 4)])
def test_periods_are_beside_the_same_length_before(admin_client, feature, period, now, before):
    for hours, count in ((0.5, 1), (1.5, 2), (30, 4), (24 * 10, 8)):
        make_past(hours=hours, times=count)
    whole = told(admin_client, f"?period={period}").context["whole"]
    assert (whole.now.calls, whole.before.calls) == (now, before)


def test_a_window_is_beside_the_same_part_of_the_one_before(admin_client, feature):
    now = timezone.now()
    budget = Budget.objects.create(feature="support.reply", limit=25)
    live = Window.objects.create(budget=budget, starts_at=now - timedelta(hours=3), ends_at=now + timedelta(hours=21))
    past = Window.objects.create(budget=budget, starts_at=now - timedelta(hours=27), ends_at=live.starts_at, spent=1)
    other = Window.objects.create(
        budget=Budget.objects.create(feature="another", limit=1), starts_at=live.starts_at, ends_at=live.ends_at
    )
    for hours, count in ((1, 3), (10, 5), (25, 2)):
        make_past(hours=hours, times=count)
    answer = told(admin_client, f"?period=window-{live.pk}")
    assert (answer.context["whole"].now.calls, answer.context["whole"].before.calls) == (3, 2)
    assert "the same part of the day before" in answer.content.decode()
    assert told(admin_client, f"?period=window-{past.pk}").context["whole"].now.calls == 7
    for unknown in (f"window-{other.pk}", "window-0", "window-x", f"window-{10**30}"):
        assert told(admin_client, f"?period={unknown}").context["span"].key == "24h"


def test_windows_switches_and_alerts_are_those_of_the_feature(admin_client, feature):
    now = timezone.now()
    for number, scope in enumerate(("support.reply", "", "another")):
        budget = Budget.objects.create(feature=scope, tenant="" if scope else "acme", limit=25)
        Window.objects.create(budget=budget, starts_at=now - timedelta(hours=1), ends_at=now + timedelta(hours=1))
        Alert.objects.create(kind="x", severity="info", dedup_key=f"{number}", summary=f"alert {number}", feature=scope)
    Alert.objects.create(
        kind="x", severity="info", dedup_key="over", summary="over", feature="support.reply", resolved_at=now
    )
    target = feature.route.targets.select_related("provider").first()
    for scope, value, lifted in (
        ("everything", "", None), ("feature", "support.reply", None), ("feature", "another", None),
        ("model", target.model, None), ("model", "unknown", None), ("provider", target.provider.name, None),
        ("feature", "support.reply", now),
    ):  # fmt: skip
        Switch.objects.create(scope=scope, value=value, reason="x", lifted_at=lifted)
    context = told(admin_client).context
    assert {item.window.budget.feature for item in context["windows"]} == {"support.reply", ""}
    assert [alert.summary for alert in context["alerts"]] == ["alert 0"]
    assert {(switch.scope, switch.value) for switch in context["switches"]} == {
        ("everything", ""), ("feature", "support.reply"), ("model", target.model), ("provider", target.provider.name),
    }  # fmt: skip


def test_without_calls_it_says_so(admin_client, feature):
    text = text_of(admin_client)
    assert "No calls in this time" in text and '<svg class="th-chart"' not in text and "What changed" not in text


def test_a_feature_that_is_gone_is_shown_while_it_has_calls(admin_client):
    make_ahead(1)
    assert admin_client.get(PAGE).status_code == 404
    make_call()
    text = text_of(admin_client)
    assert "no longer configured" in text and "Switch off" not in text
    assert not Feature.objects.exists()


def test_what_clients_write_is_escaped(admin_client, feature):
    make_past(hours=30, tenants=("b",), cost_usd=Decimal("0.1"))
    for _ in range(5):
        make_call(
            tenant=HOSTILE, user_ref=HOSTILE[:15], cohort=HOSTILE, key=HOSTILE, provider="p", model_served=HOSTILE
        )
    make_call(tenant=HOSTILE, cost_usd=Decimal(1))
    text = text_of(admin_client)
    assert "&lt;script&gt;alert(1)" in text
    for raw in ("<script>alert", "<img src=x"):
        assert raw not in text


def test_it_costs_the_same_number_of_queries_whatever_it_shows(admin_client, feature, django_assert_num_queries):
    make_call(prompt_version="cd" * 32)
    with CaptureQueriesContext(connection) as few:
        text_of(admin_client)
    a_rise(prompt_version="ab" * 32, cohort="beta")
    with django_assert_num_queries(len(few)):
        text_of(admin_client)


def test_who_is_limited_to_tenants_sees_the_spend_of_these(staff, feature):
    a_rise()
    make_call(tenant="b", user_ref="0f3a", key="cron", cohort="beta", provider="p", cost_usd=Decimal(9))
    member = staff("view_feature", "view_call")
    TenantLimit.objects.create(user=Permission.objects.get(codename="view_call").user_set.get(), tenants=["acme"])
    for period in ("24h", "7d", "1h"):
        text = text_of(member, f"?period={period}")
        for other in ("tenant b", "By tenant", "0f3a", "cron", "beta", "p/gpt", "$9"):
            assert other not in text
    assert "4 times as many calls" in text_of(member) and "$2.00" in text_of(member)


def test_other_pages_lead_to_it(admin_client, feature):
    call = make_call()
    Alert.objects.create(kind="x", severity="info", dedup_key="x", summary="wild", feature="support.reply")
    budget = Budget.objects.create(feature="support.reply", limit=25)
    window = Window.objects.create(budget=budget, starts_at=ago(hours=1), ends_at=timezone.now() + timedelta(hours=1))
    overview = admin_client.get("/admin/").content.decode()
    assert f'href="{PAGE}"' in overview and f'href="{PAGE}?period=window-{window.pk}"' in overview
    for page in (f"call/{call.id}", f"feature/{feature.pk}"):
        assert f'href="{PAGE}"' in admin_client.get(f"/admin/tollhouse_gateway/{page}/change/").content.decode()


def test_links_to_it_are_for_those_who_may_see_it(staff, feature):
    call = make_call()
    text = staff("view_call").get(f"/admin/tollhouse_gateway/call/{call.id}/change/").content.decode()
    assert "support.reply" in text and PAGE not in text


@pytest.mark.django_db(transaction=True)
def test_what_takes_too_long_is_given_up_and_said(admin_client, feature, monkeypatch):
    """Somebody else holds the table, so the query cannot end in time."""
    monkeypatch.setattr(spend, "TIMEOUT_MS", 200)
    settings = connection.get_connection_params()
    wanted = {name: settings[name] for name in ("host", "port", "user", "password", "dbname") if name in settings}
    with psycopg.connect(**wanted) as other:
        other.execute("LOCK TABLE tollhouse_call IN ACCESS EXCLUSIVE MODE")
        text = text_of(admin_client, "?period=1h")
    assert "Too much data for this view" in text and "Choose a shorter time" in text
