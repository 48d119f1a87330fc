"""Every page of the admin: what it costs, who may see it, and that every change is an entry of the audit log."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from uuid_utils.compat import uuid7

from budgets.models import (
    Alert,
    AlertRoute,
    Bucket,
    Budget,
    BudgetRaise,
    Channel,
    Delivery,
    Forecast,
    Rate,
    RateLimit,
    Switch,
    SwitchTrigger,
    Window,
)  # fmt: skip
from budgets.rates import PARTS
from dashboards.models import Digest, DigestDelivery, RollupState
from gateway.admin.base import AuditedAdmin, PageAdmin
from gateway.models import (
    Adjustment,
    AuditEntry,
    Bill,
    BillLine,
    Call,
    CallSum,
    Dataset,
    DatasetItem,
    Export,
    Feature,
    Hold,
    Key,
    LegalHold,
    Owner,
    Price,
    Provider,
    RetentionKind,
    RetentionRule,
    Route,
    Target,
    TenantLimit,
    Worker,
)
from gateway.templatetags.tollhouse import ticked
from redaction.models import RedactionList, RedactionPolicy
from tests.rows import make_call

pytestmark = pytest.mark.django_db
#: Pages of our own; those of users and groups are Django's. Prompts have tests of their own.
MODELS = sorted(
    (m for m in admin.site._registry if m._meta.app_label.startswith("tollhouse_")
     and m._meta.model_name not in ("promptversion", "deployment")),
    key=str,
)  # fmt: skip

#: What lets somebody see rows, where that is not the permission to view them.
SEEN_BY = {Export: ["view_call", "export_call"]}


@pytest.fixture
def staff(client, django_user_model):
    """Logs somebody in with just these permissions."""

    def log_in(*codenames):
        user = django_user_model.objects.create_user(f"bob-{uuid4()}", password="x", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(user)
        return client

    return log_in


def address(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def rows(count, start=0):
    """So many rows of everything that the pages list, each with relations of its own."""
    now = timezone.now()
    for n in range(start, start + count):
        provider = Provider.objects.create(name=f"p{n}", kind="openai", base_url="https://x.example.com/v1")
        route = Route.objects.create(name=f"r{n}")
        for position in range(2):
            Target.objects.create(route=route, position=position, provider=provider, model=f"m{position}")
        policy = RedactionPolicy.objects.create(name=f"policy{n}")
        RedactionList.objects.create(policy=policy, tenant="acme", deny=["Falcon"])
        Feature.objects.create(slug=f"f{n}", route=route, policy=policy)
        Key.objects.create(name=f"k{n}", prefix="th_abcde", digest=str(n), features=["*"])
        Price.objects.create(provider="p", model=f"m{n}", rates={"input": "1"}, source="catalog")
        budget = Budget.objects.create(feature=f"f{n}", limit=10)
        for day in range(3):
            at = now - timedelta(days=day)
            window = Window.objects.create(budget=budget, starts_at=at, ends_at=at + timedelta(days=1), spent=1, held=1)
            Forecast.objects.create(window=window, made_at=now, expected=2, low=1, high=3, note="x")
        BudgetRaise.objects.create(budget=budget, amount=1, reason="x", expires_at=now + timedelta(days=1), by="ada")
        Rate.objects.create(currency="EUR", per_usd=1, effective_from=now.date(), source=f"x {n}")
        limit = RateLimit.objects.create(feature=f"f{n}", each="tenant", requests_per_minute=60, concurrent=5)
        for tenant in ("a", "b"):
            Bucket.objects.create(rate_limit=limit, value=tenant, requests_level=30 * PARTS, in_flight=2)
        Switch.objects.create(scope="model", value=f"m{n}", reason="x")
        SwitchTrigger.objects.create(name=f"t{n}", value="f*", condition="error_percent", above=5)
        alert = Alert.objects.create(kind="k", severity="info", dedup_key=str(n), summary="x")
        channels = [Channel.objects.create(name=f"c{n}-{i}", kind="webhook") for i in range(2)]
        AlertRoute.objects.create(name=f"a{n}").channels.set(channels)
        Delivery.objects.bulk_create([Delivery(alert=alert, channel=c, event="trigger") for c in channels])
        AuditEntry.objects.create(actor="ada", action="x.y", subject=f"x {n}")
        call = make_call(feature=f"f{n}")
        ada, _ = User.objects.get_or_create(username="ada")
        Export.objects.create(asked_by=ada, format="csv", since=now, until=now, columns=["id"], query=f"feature:f{n}")
        dataset = Dataset.objects.create(name=f"d{n}")
        messages = [{"role": "user", "content": "x"}]
        DatasetItem.objects.create(dataset=dataset, call_id=call.id, feature=f"f{n}", messages=messages)
        bill = Bill.objects.create(
            provider="p", files="x", fingerprint=str(n), since=now, until=now, ledger_usd=1, tolerance_percent=1,
            matches=False, made_by="ada",
        )  # fmt: skip
        line = BillLine.objects.create(
            bill=bill, day=now, provider="p", model="m", billed_usd=3, ledger_usd=1, ledger_tokens=1, calls=1,
            differs=True, causes=["Batch: <b>so it is</b>."],
        )  # fmt: skip
        Adjustment.objects.bulk_create([Adjustment(bill_line=line, cost_usd=Decimal(2), reason="x", actor="ada")])
        Adjustment.objects.bulk_create([Adjustment(call_id=call.id, cost_usd=Decimal(1), reason="x", actor="ada")])
        RetentionKind.objects.create(kind=f"k{n}", keep_days=3, removed_at=now, removed={"rows": 3})
        RetentionRule.objects.create(kind=f"k{n}", feature=f"f{n}", keep_days=3)
        LegalHold.objects.create(tenant=f"t{n}", reason="x", set_by="ada")
        TenantLimit.objects.create(group=Group.objects.create(name=f"g{n}"), tenants=["acme"])
        CallSum.objects.bulk_create(
            [CallSum(day=now, feature=f"f{n}", source="http", outcome="ok", calls=1, cost_usd=1, tokens=1)]
        )
        owner = uuid7()
        Owner.objects.bulk_create([Owner(id=owner, host="h", pid=n)])
        Worker.objects.create(id=owner, host="h", pid=n)
        digest = Digest.objects.create(name=f"d{n}", emails=["ada@example.com"], channel=channels[0])
        DigestDelivery.objects.bulk_create(
            [DigestDelivery(digest=digest, way=way, due_at=now) for way in ("email", "slack")]
        )
        RollupState.objects.get_or_create(
            defaults={"watermark": 1, "cluster": "x", "time_zone": "UTC", "hours_since": timezone.now()}
        )
        Hold.objects.bulk_create(
            [
                Hold(
                    call_id=uuid7(),
                    owner=owner,
                    expires_at=now,
                    windows=[1],
                    amounts=[Decimal(1)],
                    draft={"feature": "f"},
                )
            ]
        )


def queries(client, path):
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(path)
    assert answer.status_code == 200, path
    return len(captured), answer.content.decode()


def test_pages_cost_the_same_number_of_queries_whatever_they_show(admin_client):
    rows(2)
    admin_client.get("/admin/")  # content types are read once
    pages = {
        model: [address(model, "changelist"), address(model, "change", model.objects.first().pk)] for model in MODELS
    }
    before = {path: queries(admin_client, path)[0] for paths in pages.values() for path in paths}
    rows(25, start=2)
    for path, count in before.items():
        after, _ = queries(admin_client, path)
        assert after <= count <= 16, path


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
def test_every_page_says_what_it_is_and_can_be_searched(admin_client, model):
    rows(1)
    page = admin.site._registry[model]
    assert isinstance(page, PageAdmin) and page.about.endswith(".")
    if model is Call:
        return  # its list is ours, see test_calls
    assert page.search_fields and page.search_help_text
    listed = admin_client.get(address(model, "changelist"), {"q": "nothing like this"})
    assert listed.status_code == 200 and ticked(page.about)[:40] in listed.content.decode()
    assert (
        ticked(page.about)[:40] in admin_client.get(address(model, "change", model.objects.first().pk)).content.decode()
    )
    for spec in listed.context["cl"].filter_specs:
        for choice in spec.choices(listed.context["cl"]):
            assert admin_client.get(f"{address(model, 'changelist')}{choice['query_string']}").status_code == 200


@pytest.mark.parametrize("wrong", ["owner=%00", "phase__exact=%00", "q=%00", "o=%00", "p=%00"])
def test_what_no_row_can_hold_is_no_error_of_the_server(admin_client, wrong):
    """Whoever looks for security holes tries it first, and every 500 wakes somebody."""
    for page in (address(Feature, "changelist"), address(Feature, "changelist") + "export/"):
        assert admin_client.get(f"{page}?{wrong}").status_code in (200, 302, 400), page


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
def test_who_may_nothing_sees_nothing_and_who_may_view_changes_nothing(staff, model):
    rows(1)
    row = model.objects.first()
    listed, change = address(model, "changelist"), address(model, "change", row.pk)
    others = [address(model, "add"), address(model, "delete", row.pk)]
    nobody = staff()
    assert {nobody.get(path).status_code for path in (listed, change, *others)} == {403}
    viewer = staff(*SEEN_BY.get(model, [f"view_{model._meta.model_name}"]))
    assert {viewer.get(path).status_code for path in (listed, change)} == {200}
    assert {viewer.get(path).status_code for path in others} == {403}
    # The page of a call takes a POST to show its payload, and nothing else.
    posted = others if model is Call else [change, *others]
    assert {viewer.post(path, {"name": "x", "post": "yes"}).status_code for path in posted} == {403}
    for action in ("delete_selected", "revoke", "lift", "acknowledge", "send_test"):
        viewer.post(listed, {"action": action, "_selected_action": [row.pk], "post": "yes"})
    assert model.objects.filter(pk=row.pk).exists() and not AuditEntry.objects.exclude(actor="ada").exists()
    assert not Alert.objects.exclude(acknowledged_at=None).exists()
    assert not Switch.objects.exclude(lifted_at=None).exists() and not Key.objects.exclude(revoked_at=None).exists()


def test_whatever_can_be_changed_is_audited():
    """Rows that are only added (switches, prices) are audited where they are written, see below."""
    changeable = {
        m
        for m in MODELS
        if type(admin.site._registry[m]).has_change_permission is admin.ModelAdmin.has_change_permission
    }
    assert changeable == {
        AlertRoute,
        Budget,
        Channel,
        Dataset,
        DatasetItem,
        Feature,
        Key,
        Provider,
        RateLimit,
        RedactionList,
        RedactionPolicy,
        RetentionRule,
        Route,
        SwitchTrigger,
        TenantLimit,
    }
    assert all(isinstance(admin.site._registry[model], AuditedAdmin) for model in changeable)


def test_a_change_notes_old_and_new_values_and_rows_within(admin_client):
    rows(2)
    route, provider = Route.objects.get(name="r0"), Provider.objects.get(name="p1")
    first, second = route.targets.all()
    form = {
        "timeout_s": "60", "connect_timeout_s": "5", "first_token_timeout_s": "30", "retries": "3",
        "targets-TOTAL_FORMS": "3", "targets-INITIAL_FORMS": "2",
        "targets-0-id": first.pk, "targets-0-route": route.pk, "targets-0-position": "0", "targets-0-provider": first.provider_id,
        "targets-0-model": "other",
        "targets-1-id": second.pk, "targets-1-route": route.pk, "targets-1-position": "1", "targets-1-provider": second.provider_id,
        "targets-1-model": "m1", "targets-1-DELETE": "on",
        "targets-2-route": route.pk, "targets-2-position": "2", "targets-2-provider": provider.pk, "targets-2-model": "new",
    }  # fmt: skip
    assert admin_client.post(address(Route, "change", route.pk), form).status_code == 302
    noted = {entry.action: entry for entry in AuditEntry.objects.exclude(actor="ada")}
    assert noted["route.change"].detail == {"changes": {"retries": [1, 3]}} and noted["route.change"].actor == "admin"
    assert noted["target.change"].detail == {"of": "r0", "values": {"model": "other"}}
    assert noted["target.create"].detail == {"of": "r0"} and noted["target.create"].subject == "target p1/new"
    assert noted["target.delete"].subject == "target p0/m1"
    admin_client.post(
        address(Route, "change", route.pk), {**form, "targets-TOTAL_FORMS": "0", "targets-INITIAL_FORMS": "0"}
    )
    assert AuditEntry.objects.filter(action="route.change").count() == 1


def test_deleting_is_audited_from_the_page_and_from_the_list(admin_client):
    rows(3)
    Feature.objects.all().delete()
    RedactionList.objects.all().delete()
    one, *others = RedactionPolicy.objects.all()
    admin_client.post(address(RedactionPolicy, "delete", one.pk), {"post": "yes"})
    chosen = {"action": "delete_selected", "_selected_action": [row.pk for row in others], "post": "yes"}
    admin_client.post(address(RedactionPolicy, "changelist"), chosen)
    subjects = AuditEntry.objects.filter(action="redactionpolicy.delete").values_list("subject", flat=True)
    assert sorted(subjects) == ["redactionpolicy policy0", "redactionpolicy policy1", "redactionpolicy policy2"]
    assert not RedactionPolicy.objects.exists()


def test_names_that_others_refer_to_stay(admin_client):
    rows(1)
    feature = Feature.objects.get()
    form = {
        "slug": "renamed",
        "route": feature.route_id,
        "policy": feature.policy_id,
        "max_output_tokens": "7",
        "unpriced": "flag",
        "phase": "beta",
        "rollout_percent": "10",
        "rollout_tenants": "acme\numbrella",
        "cache_ttl_s": "60",
        "on_ledger_away": "spool",
        "spool_limit_usd": "2.5",
        "on_disconnect": "drain",
    }
    assert admin_client.post(address(Feature, "change", feature.pk), form).status_code == 302
    feature.refresh_from_db()
    assert (feature.slug, feature.max_output_tokens) == ("f0", 7)
    assert (feature.phase, feature.rollout_tenants) == ("beta", ["acme", "umbrella"])


def test_a_switch_of_something_unknown_is_a_mistake(admin_client):
    rows(1)
    Switch.objects.all().delete()
    add = address(Switch, "add")
    text = admin_client.post(add, {"scope": "feature", "value": "f00", "reason": "x"}).content.decode()
    assert "No feature is named f00. Did you mean f0?" in text
    assert (
        admin_client.post(add, {"scope": "feature", "value": "f0", "reason": "wild", "running": "finish"}).status_code
        == 302
    )
    switch = Switch.objects.get()
    asked = admin_client.post(address(Switch, "changelist"), {"action": "lift", "_selected_action": [switch.pk]})
    assert not Switch.objects.exclude(lifted_at=None).exists()
    assert "Say why it is lifted" in admin_client.post(asked.headers["location"]).content.decode()
    admin_client.post(asked.headers["location"], {"reason": "mended"})
    entries = AuditEntry.objects.filter(action__startswith="switch.").order_by("id")
    assert [(e.action, e.subject, e.reason) for e in entries] == [
        ("switch.set", "switch feature f0", "wild"), ("switch.lift", "switch feature f0", "mended"),
    ]  # fmt: skip


def test_an_empty_list_says_so_and_what_to_do(admin_client):
    address = "/admin/tollhouse_budgets/budget/"
    text = admin_client.get(address).content.decode()
    assert "<h2>No budget yet</h2>" in text and f'<a href="{address}add/">Add budget</a>' in text
    text = admin_client.get(f"{address}?q=nothing").content.decode()
    assert "<h2>No budget fits</h2>" in text and '<a href="?">Clear search and filters</a>' in text


def test_a_budget_is_made_and_moved(admin_client):
    rows(1)
    form = {"feature": "f0", "tenant": "acme", "metric": "usd", "limit": "25", "period": "day", "timezone": "UTC", "soft_percent": "70",
            "on_hard": "route:r0", "active": "on", "windows-TOTAL_FORMS": "0", "windows-INITIAL_FORMS": "0"}  # fmt: skip
    assert admin_client.post(address(Budget, "add"), form).status_code == 302
    budget = Budget.objects.get(tenant="acme")
    admin_client.post(address(Budget, "change", budget.pk), {**form, "limit": "30"})
    assert AuditEntry.objects.get(action="budget.change").detail == {"changes": {"limit": ["25", "30"]}}
    text = admin_client.post(address(Budget, "change", budget.pk), {**form, "limit": "-1"}).content.decode()
    assert "greater than or equal to 0" in text


def test_a_price_is_added_and_says_by_whom(admin_client):
    form = {"provider": "openai", "model": "m", "rates": '{"input": "2.50"}', "source_url": ""}
    assert admin_client.post(address(Price, "add"), {**form, "rates": '{"input": "-1"}'}).status_code == 200
    added = admin_client.post(address(Price, "add"), form, follow=True)
    assert "The price openai/m has no rate for output, so what the model writes is free" in added.content.decode()
    assert Price.objects.get().source == "admin admin"
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.detail) == ("price.create", {"rates": {"input": "2.50"}})


def test_the_overview_shows_each_part_to_those_who_may_see_it(staff):
    rows(1)
    texts = {"view_window": "<h2>Budgets</h2>", "view_switch": "Kill switches in force", "view_alert": "Alerts, the open ones first",
             "view_call": "Latest calls"}  # fmt: skip
    for permission, text in texts.items():
        page = staff(permission).get("/admin/").content.decode()
        assert [t for t in texts.values() if t in page] == [text]
    assert "Switch something off" not in staff("view_switch").get("/admin/").content.decode()
