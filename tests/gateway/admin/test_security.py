"""The admin: who gets in, what a form needs, and that nothing that somebody wrote is ever run."""

import re
import uuid

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse
from django.utils import timezone

from budgets.models import Alert, AlertRoute, Budget, Channel, Delivery, Switch, SwitchFiring, SwitchTrigger
from gateway.admin.base import audit
from gateway.models import (
    AuditEntry,
    Call,
    Deployment,
    Feature,
    Key,
    Price,
    Prompt,
    PromptVersion,
    Provider,
    Route,
    Target,
)
from redaction.models import RedactionPolicy
from tests.rows import make_call
from tests.world import World

pytestmark = pytest.mark.django_db

#: Pages that have to answer everybody: how one gets in, and the texts of Django's own scripts.
OPEN = {"login", "logout", "jsi18n"}
HOSTILE = """<script>alert(1)</script>"><img src=x onerror=alert(2)>'{{ 7*7 }}{% now %}javascript:alert(3)"""
RAW = ("<script>alert(1)", "<img src=x", "onerror=alert(2)>'")


def urls(patterns, prefix=""):
    """Every URL of the admin as (path, name), with ids that fit no row."""
    for pattern in patterns:
        route = prefix + str(pattern.pattern).removeprefix("^").removesuffix("$")
        if isinstance(pattern, URLResolver):
            yield from urls(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            # `<path:object_id>` becomes 1, as does what is left of them in the address of an app's own page.
            path = route.replace("(?P<app_label>", "(").replace("(?P<url>.*)", "nowhere")
            path = re.sub(r"<(\w+:)?\w+>", "1", path)
            yield "/admin/" + re.sub(r"\((\w+)(\|\w+)*\)", r"\1", path), pattern.name or ""


ALL = sorted(set(urls(admin.site.get_urls())))
CLOSED = [path for path, name in ALL if name not in OPEN]
#: What any of the staff may see: the first page, which shows them nothing, and their own password.
STAFF = {"/admin/", "/admin/password_change/", "/admin/password_change/done/"}


def test_the_walk_finds_every_page():
    names = {name for _, name in ALL}
    for model in admin.site._registry:
        assert {
            f"{model._meta.app_label}_{model._meta.model_name}_{page}" for page in ("changelist", "add", "change")
        } <= names


@pytest.mark.parametrize("path", CLOSED)
def test_nobody_gets_in_without_logging_in(path):
    for method in ("get", "post"):
        answer = getattr(Client(), method)(path)
        assert answer.status_code in (302, 403, 404)
        if answer.status_code == 302:
            assert answer.headers["location"].startswith("/admin/login/?next=") or path == "/admin/logout/"


@pytest.fixture
def staff(django_user_model):
    """A client of somebody on the staff who has just these permissions."""

    def log_in(**filters):
        user = django_user_model.objects.create_user(uuid.uuid4().hex, password="x", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(**filters))
        client = Client()
        client.force_login(user)
        return client

    return log_in


def test_staff_without_permissions_see_nothing(staff):
    client = staff(codename="none")
    for path in set(CLOSED) - STAFF:
        for method in ("get", "post"):
            answer = getattr(client, method)(path)
            assert answer.status_code in (302, 403, 404, 405), (method, path, answer.status_code)
            # A page about a row that does not exist sends back to the first page; the short address of one to the long.
            if answer.status_code == 302:
                assert answer.headers["location"] in ("/admin/", f"{path}change/"), path
    assert not AuditEntry.objects.exists()


@pytest.fixture
def rows(world: World) -> dict[type[Model], Model]:
    """A row of every kind that has a page, with hostile texts wherever people or clients write."""
    feature = world.feature("f", description=HOSTILE, owner=HOSTILE[:90], disclosure=HOSTILE)
    (version,) = world.prompt(feature, {"messages": [{"role": "user", "content": HOSTILE}]})
    Deployment.objects.update(reason=HOSTILE, moved_by=HOSTILE[:90])
    Provider.objects.create(
        name="p2",
        kind="openai",
        base_url="https://x.example.com/v1",
        api_key_env=HOSTILE[:90],
        options={HOSTILE: HOSTILE},
    )
    Budget.objects.create(
        feature=HOSTILE[:90], tenant=HOSTILE, key=HOSTILE[:90], user=HOSTILE, metric="usd", period="day", limit=1
    )
    switch = Switch.objects.create(
        scope="feature", value=HOSTILE[:90], reason=HOSTILE, set_by=HOSTILE[:90], tenant=HOSTILE
    )
    trigger = SwitchTrigger.objects.create(name=HOSTILE[:90], value=HOSTILE, condition="error_percent", above=5)
    SwitchFiring.objects.create(trigger=trigger, value=HOSTILE, measured=HOSTILE, switch=switch)
    Alert.objects.create(
        kind="x",
        severity="critical",
        dedup_key="x",
        summary=HOSTILE,
        detail={HOSTILE: HOSTILE},
        feature=HOSTILE[:90],
        tenant=HOSTILE,
    )
    channel = Channel.objects.create(
        name=HOSTILE[:90], kind="webhook", config={HOSTILE: HOSTILE}, last_error=HOSTILE, failing_since=timezone.now()
    )
    AlertRoute.objects.create(name=HOSTILE[:90], kinds=[HOSTILE[:90]], features=[HOSTILE[:90]]).channels.add(channel)
    Delivery.objects.bulk_create(
        [Delivery(alert=Alert.objects.get(), channel=channel, event="trigger", answer=HOSTILE)]
    )
    world.key(name="k", tenant=HOSTILE[:90])
    world.policy("p")
    made = make_call(
        feature="f", tenant=HOSTILE, user_ref=HOSTILE, cohort=HOSTILE[:90], session_id=HOSTILE, labels={HOSTILE: HOSTILE}, key=HOSTILE[:90],
        model_asked=HOSTILE, model_served=HOSTILE, provider=HOSTILE[:90], route=HOSTILE[:90], reason=HOSTILE, finish_reason=HOSTILE[:40],
        outcome="provider_error", error_class=HOSTILE[:60], variant=HOSTILE[:40], prompt_version=version.address, trace_id=HOSTILE[:32],
        trace={"stages": {"send": 3.0}, "attempts": [{"target": HOSTILE, "outcome": HOSTILE, "ms": 1, "status": 500}]},
        entities={HOSTILE: 1}, policy=HOSTILE[:90], fallback_from=HOSTILE,
        payload={"messages": [{"role": HOSTILE, "content": HOSTILE, "tool_calls": [{"id": HOSTILE, "function": {"name": HOSTILE, "arguments": HOSTILE}}]}],
                 "reply": [{"role": "assistant", "content": [{"type": "text", "text": HOSTILE}]}]},
    )  # fmt: skip
    models = (
        Feature,
        Route,
        Provider,
        Key,
        Budget,
        Switch,
        SwitchTrigger,
        Alert,
        AlertRoute,
        Channel,
        Delivery,
        Price,
        PromptVersion,
        Deployment,
        RedactionPolicy,
    )
    return {Call: made, **{model: model._default_manager.order_by("-pk")[0] for model in models}}


def pages(rows):
    for model, row in rows.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{name}_changelist")
        yield reverse(f"{name}_changelist") + "?q=" + "%3Cscript%3Ealert(1)%3C/script%3E"
        yield reverse(f"{name}_change", args=[row.pk])
        yield reverse(f"{name}_history", args=[row.pk])


@pytest.mark.django_db(transaction=True)
def test_what_anybody_wrote_is_shown_and_never_run(rows, admin_client, admin_user, rf):
    request = rf.get("/")
    request.user = admin_user
    audit(request, "x", rows[Call], reason=HOSTILE, note=HOSTILE)
    call = f"/admin/tollhouse_gateway/call/{rows[Call].pk}/change/"
    answers = [
        admin_client.get(path, follow=True)
        for path in ("/admin/", *pages(rows), "/admin/tollhouse_gateway/auditentry/")
    ]
    answers += [
        admin_client.get("/admin/tollhouse_gateway/call/", {name: HOSTILE}, follow=True)
        for name in ("id", "feature", "tenant", "outcome", "period", "before", "session", "x")
    ]
    answers.append(
        admin_client.get(
            "/admin/tollhouse_budgets/switch/add/", dict.fromkeys(("scope", "value", "tenant", "alert"), HOSTILE)
        )
    )
    answers.append(admin_client.get("/admin/tollhouse_budgets/switch/lift/", {"id": [rows[Switch].pk, HOSTILE]}))
    answers.append(admin_client.get(f"/admin/tollhouse_budgets/switchtrigger/{rows[SwitchTrigger].pk}/now/"))
    answers.append(admin_client.post(call, {"payload": "1"}))
    for answer in answers:
        text = answer.content.decode()
        where = answer.request["PATH_INFO"]
        assert answer.status_code == 200, (where, answer.status_code)
        assert not [raw for raw in RAW if raw in text], where
        assert 'href="javascript:' not in text and "onclick=" not in text, where
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy and "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["x-frame-options"] == "DENY"
    assert "&lt;script&gt;" in answers[-1].content.decode()


@pytest.mark.django_db(transaction=True)
def test_who_may_only_look_changes_nothing(rows, staff):
    client = staff(codename__startswith="view_")
    for model, row in rows.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        before = dict(model._default_manager.filter(pk=row.pk).values()[0])
        paths = [
            reverse(f"{name}_add"),
            reverse(f"{name}_change", args=[row.pk]),
            reverse(f"{name}_delete", args=[row.pk]),
        ]
        data = {"post": "yes", "_save": "1", "payload": "1", "name": "new", "reason": "new", "value": "new"}
        for path in paths:
            assert client.post(path, data).status_code in (302, 403), path
        for action in ("delete_selected", "revoke", "lift", "acknowledge", "send_test"):
            answer = client.post(
                reverse(f"{name}_changelist"), {"action": action, "_selected_action": [row.pk], "post": "yes"}
            )
            assert answer.status_code in (200, 302, 403)
        assert dict(model._default_manager.filter(pk=row.pk).values()[0]) == before
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_forms_need_their_token(rows, admin_user):
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    call = f"/admin/tollhouse_gateway/call/{rows[Call].pk}/change/"
    adding = [reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add") for model in rows]
    for path in (*adding, call, "/admin/login/", "/admin/logout/", "/admin/password_change/"):
        assert client.post(path, {"payload": "1", "name": "x"}).status_code == 403, path
    assert not AuditEntry.objects.exists() and Target.objects.count() == 1 and Prompt.objects.count() == 1


def test_a_page_that_does_not_exist_has_the_headers_too(client):
    for path in ("/admin/login/", "/nowhere", "/admin/nowhere/"):
        assert "unsafe" not in client.get(path).headers["content-security-policy"]
