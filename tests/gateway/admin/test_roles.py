"""Who may see what: every page of the admin as every role, and as somebody who is limited to a tenant."""

import importlib
import re
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test import Client
from django.urls import resolve, reverse

from budgets.models import Alert, Budget, Switch, Window
from dashboards.pages.registry import PAGES
from gateway import roles
from gateway.access import OWNED, ROWS, SHARED, may_name, tenants_of, visible, visible_calls
from gateway.models import AuditEntry, Call, DatasetItem, Payload, Role, TenantLimit
from tests.gateway.admin.tenant_rows import OTHER, OWN, closed_rows, rows_of, shared_rows
from tests.gateway.admin.test_security import ALL, OPEN
from tests.world import World

pytestmark = pytest.mark.django_db

LETTERS = {
    "V": "viewer",
    "F": "finance",
    "P": "prompt author",
    "B": "budget owner",
    "R": "reviewer",
    "A": "auditor",
    "X": "admin",
}
LOOK = "V P B R A X".replace(" ", "")
#: Who may see the pages of a model; a new model is put in here, and in `gateway.roles` where others than A and X see it.
SEES = {
    "call": "VFPBRAX", "callsum": "VFPBRAX", "feature": "VFPBRAX", "price": "VFPBRAX", "adjustment": "VFPBRAX",
    "budget": "VFPBRAX", "window": "VFPBRAX", "budgetraise": "VFPBRAX", "rate": "VFPBRAX", "alert": "VFPBRAX",
    "route": LOOK, "provider": LOOK, "promptversion": LOOK, "deployment": LOOK, "hold": LOOK, "owner": LOOK, "worker": LOOK,
    "retentionkind": LOOK, "retentionrule": LOOK, "ratelimit": LOOK, "bucket": LOOK, "switch": LOOK, "switchtrigger": LOOK,
    "delivery": LOOK, "redactionpolicy": LOOK,
    "digest": "FBAX", "export": "FAX", "bill": "FAX", "billline": "FAX", "channel": "BAX", "alertroute": "BAX",
    "dataset": "PRAX", "datasetitem": "PRAX", "rollupstate": "AX",
    "key": "AX", "auditentry": "AX", "legalhold": "AX", "redactionlist": "AX", "tenantlimit": "AX", "user": "AX", "group": "AX",
}  # fmt: skip
ADDS = {
    "digest": "FBX",
    "rate": "FX",
    "budget": "BX",
    "ratelimit": "BX",
    "switchtrigger": "BX",
    "switch": "BX",
    "dataset": "PRX",
}
DELETES = {"digest": "", "budget": "BX", "ratelimit": "BX", "switchtrigger": "BX"}
#: Of these, nobody adds one or deletes one on a page.
NEVER_ADDED = {
    "call", "callsum", "adjustment", "window", "budgetraise", "alert", "promptversion", "deployment", "hold", "owner", "worker",
    "retentionkind", "bucket", "delivery", "bill", "billline", "auditentry", "datasetitem", "rollupstate", "export",
}  # fmt: skip
NEVER_DELETED = (NEVER_ADDED - {"datasetitem"}) | {"rate", "price", "switch", "channel", "key", "legalhold"}
#: Pages of our own, by the name of their address.
OTHERS = {
    "tollhouse_gateway_feature_spend": "VFPBRAX",
    "tollhouse_gateway_promptversion_playground": LOOK,
    "tollhouse_gateway_key_rotate": "X",
    "tollhouse_gateway_legalhold_lift": "X",
    "tollhouse_gateway_call_person": "X",
    "tollhouse_gateway_call_session": "VFPBRAX",
    "tollhouse_gateway_call_suggest": "VFPBRAX",
    "tollhouse_gateway_call_compare": "VFPBRAX",
    "tollhouse_gateway_dataset_export": "X",
    "tollhouse_gateway_auditentry_compliance": "AX",
    "tollhouse_redaction_redactionpolicy_try": "X",
    "tollhouse_budgets_budget_raise": "BX",
    "tollhouse_budgets_switch_lift": "BX",
    "tollhouse_budgets_switchtrigger_now": LOOK,
    "tollhouse_gateway_call_export": "FAX",
    "tollhouse_gateway_export_progress": "FAX",
    "auth_user_password_change": "X",
}
#: Lists whose rows go out to files and come in from them. Both are for all tenants, so nobody who is limited does it.
FILES_OUT = {
    "alertroute": "BAX", "budget": "FBAX", "feature": "FBAX", "price": "FBAX", "rate": "FBAX", "ratelimit": "BAX",
    "redactionlist": "AX", "retentionrule": "BAX", "switchtrigger": "BAX",
}  # fmt: skip
FILES_IN = {**dict.fromkeys(FILES_OUT, "X"), "rate": "FX", "budget": "BX", "ratelimit": "BX", "switchtrigger": "BX"}
OTHERS |= {
    f"{model._meta.app_label}_{model._meta.model_name}_{page}": table[model._meta.model_name]
    for model in admin.site._registry
    for page, table in (("export", FILES_OUT), ("import", FILES_IN))
    if model._meta.model_name in table
}
#: The dashboards' pages, and their charts, by the page's name; the other addresses of theirs are only posted to.
DASHBOARDS = {"spend": "VFPBRAX", "reliability": "VFPBRAX", "budgets": "VFPBRAX", "prompts": LOOK, "privacy": LOOK}
#: Pages that answer a form alone: a request for them is refused, whoever asks.
POSTED = {
    "tollhouse_gateway_call_replay",
    "tollhouse_gateway_call_keep",
    "tollhouse_gateway_call_score",
    "tollhouse_gateway_export_download",
    "tollhouse_gateway_export_cancel",
    "dashboard_save",
    "dashboard_delete",
}
#: Exports of rows of all tenants.
ALL_TENANTS = {name for name in OTHERS if name.endswith("_export")} - {"tollhouse_gateway_call_export"}
#: Of no model: everybody's, or a list that shows what may be seen, or what answers an address that fits nothing.
ANYBODY = {"index", "password_change", "password_change_done", "view_on_site", "autocomplete", "app_list", ""}
#: What a limited user sees of one that `X` sees.
LIMITED = {model._meta.model_name for model in (*ROWS, *SHARED)}
#: Of these a person has rows of its own; the one of this test is nobody's.
PERSONAL = {model._meta.model_name for model in OWNED}


@pytest.fixture
def world(db):
    return World("https://x.example.com/v1")


@pytest.fixture
def groups(db):
    """The roles' groups, as `migrate` makes them; a test before may have emptied the tables."""
    if not Role.objects.exists():
        migration = importlib.import_module("gateway.migrations.0081_groups")
        migration.make_groups(apps, SimpleNamespace(connection=connection))
    for config in apps.get_app_configs():
        roles.keep(config)
    return {role.name: role.group for role in Role.objects.select_related("group")}


@pytest.fixture
def person(groups):
    def make(role, *tenants):
        user = User.objects.create_user(f"{role}-{len(tenants)}", is_staff=True)
        user.groups.add(groups[role])
        if tenants:
            TenantLimit.objects.create(user=user, tenants=list(tenants))
        return user

    return make


@pytest.fixture
def everything(world):
    """One row of every model with a page, by the model's name; rows of tenants are those of `acme`."""
    shared = shared_rows(world)
    own, other = rows_of(world, OWN, "1.11"), rows_of(world, OTHER, "7.77")
    closed = closed_rows(other["call"])
    found = {row._meta.model_name: row for row in [*closed, *shared]}
    found |= {"price": apps.get_model("tollhouse_gateway", "price").objects.get(), "group": Group.objects.first()}
    return SimpleNamespace(rows=found | own, own=own, other=other, closed=closed)


def status(rf, user, path):
    """What a page answers, without drawing it."""
    request = rf.get(path)
    request.user, request._messages = user, CookieStorage(request)
    try:
        match = resolve(path.partition("?")[0])
        return match.func(request, *match.args, **match.kwargs).status_code
    except PermissionDenied:
        return 403


def pages(rows):
    """Every address of the admin with the row that it is about, as (name, path, model, page)."""
    of = {f"{m._meta.app_label}_{m._meta.model_name}": m._meta.model_name for m in admin.site._registry}
    for path, name in ALL:
        prefix, _, page = name.rpartition("_")
        while page and prefix not in of and "_" in prefix:
            prefix, _, more = prefix.rpartition("_")
            page = f"{more}_{page}"
        if name in ("dashboard", "dashboard_data"):
            continue
        model = of.get(prefix, "")
        pk = "f" if page == "spend" else rows[model].pk if model else "1"
        query = f"?id=s-{OWN}&tenant={OWN}" if page == "session" else ""
        yield name, path.replace("/1/", f"/{pk}/") + query, model, page
    for dashboard in PAGES.values():
        yield "dashboard", dashboard.url, "", dashboard.name
        for chart in dashboard.charts:
            yield "dashboard_data", f"{dashboard.url}data/{chart}/?window={rows['window'].pk}", "", dashboard.name


def test_every_page_is_for_whom_the_table_says(rf, groups, person, everything):
    everything.rows["user"] = User.objects.create_user("somebody")
    people = {letter: person(role) for letter, role in LETTERS.items()}
    people["L"] = person("admin", OWN)
    wrong = []
    for name, path, model, page in pages(everything.rows):
        if name in OPEN | ANYBODY:
            continue
        known = model or name in OTHERS or name in POSTED or page in DASHBOARDS
        assert known, f"{name} is in no table of this test: say there who may see it."
        if name in POSTED:
            wanted = ""
        elif not model and page in DASHBOARDS:
            wanted = DASHBOARDS[page] + "L"
        elif page in ("changelist", "change", "history"):
            assert model in SEES, f"{model} is in no table of this test: say there who may see it."
            wanted = SEES[model] + ("L" if model in LIMITED else "")
        elif page == "add":
            wanted = "" if model in NEVER_ADDED else ADDS.get(model, "X")
        elif page == "delete":
            wanted = "" if model in NEVER_DELETED else DELETES.get(model, "X")
        else:
            assert name in OTHERS, f"{name} is in no table of this test: say there who may see it."
            wanted = OTHERS[name] + (
                "L" if model in LIMITED and page not in ("person", "try", "import") and name not in ALL_TENANTS else ""
            )
        if (
            page in ("add", "delete")
            and "X" in wanted
            and model in LIMITED
            and model not in {m._meta.model_name for m in SHARED}
        ):
            wanted += "L"
        wanted += "L" if model in PERSONAL and page in ("changelist", "add") else ""
        # Where several may see a page, the first and the limited one do it for all: a page that is drawn takes time.
        asked = {
            letter: user for letter, user in people.items() if letter in (*wanted[:1], "L") or letter not in wanted
        }
        seen = "".join(letter for letter, user in asked.items() if status(rf, user, path) == 200)
        wanted = "".join(letter for letter in wanted if letter in asked)
        if sorted(seen) != sorted(wanted):
            wrong.append((name, seen, wanted))
    assert wrong == []


def text_of(client, path, **query):
    answer = client.get(path, query, follow=True)
    assert answer.status_code in (200, 403, 404), path
    text = answer.content.decode()
    assert 'id="login-form"' not in text, path
    return text


def plain(text):
    """A page without what is drawn by lot for each answer."""
    return re.sub(r'(name="csrfmiddlewaretoken" value|nonce)="[^"]*"', "", text)


def test_a_limited_user_sees_no_row_of_another_tenant(person, everything):
    user = person("admin", OWN)
    client = Client()
    client.force_login(user)
    for name, row in everything.other.items():
        base = f"admin:{row._meta.app_label}_{name}"
        for field in ("q", "tenant") if name in ("call", "alert") else ("q",):
            # Asking for it by name says just what asking for a tenant says that there is not.
            # A search of calls ends after a while: of an hour it comes to its end.
            span = {"since": "1h"} if name == "call" else {}
            asked, unknown = (plain(text_of(client, reverse(f"{base}_changelist"), **{field: word}, **span)).replace(word, "")
                              for word in (OTHER, "nowhere"))  # fmt: skip
            assert asked == unknown, (name, field)
        for page in ("change", "history", "delete"):
            answer = client.get(reverse(f"{base}_{page}", args=[row.pk]))
            assert answer.status_code in (302, 403, 404), (name, page)
        assert client.get(reverse(f"{base}_change", args=[everything.own[name].pk])).status_code == 200, name
    for path in ("/admin/", "/admin/tollhouse_gateway/", "/admin/tollhouse_budgets/"):
        assert OTHER not in text_of(client, path)
    for row in (*everything.closed, *everything.rows.values()):
        base = f"admin:{row._meta.app_label}_{row._meta.model_name}"
        for path in (reverse(f"{base}_changelist"), reverse(f"{base}_change", args=[row.pk])):
            assert OTHER not in text_of(client, path), path
    spend = text_of(client, reverse("admin:tollhouse_gateway_feature_spend", args=["f"]))
    assert "$1.11" in spend and OTHER not in spend and "7.77" not in spend and "8.88" not in spend
    past = Window.objects.get(budget__tenant=OTHER)
    assert OTHER not in text_of(
        client, reverse("admin:tollhouse_gateway_feature_spend", args=["f"]), period=f"window-{past.pk}"
    )
    assert OTHER not in text_of(
        client, reverse("admin:tollhouse_gateway_call_changelist"), id=str(everything.other["call"].pk)
    )
    answer = client.post(
        reverse("admin:tollhouse_gateway_call_change", args=[everything.other["call"].pk]), {"payload": "1"}
    )
    assert answer.status_code == 404 and not AuditEntry.objects.filter(action="payload.read").exists()
    add = reverse("admin:tollhouse_budgets_switch_add")
    assert OTHER not in text_of(client, add, alert=everything.other["alert"].pk)
    assert f"key-{OTHER}" not in text_of(client, reverse("admin:tollhouse_budgets_budget_add"))
    assert f"key-{OWN}" in text_of(client, reverse("admin:tollhouse_budgets_ratelimit_add"))


def test_a_limited_user_changes_no_row_of_another_tenant(person, everything):
    client = Client()
    client.force_login(person("admin", OWN))
    switch, alert = everything.other["switch"], everything.other["alert"]
    client.post(
        reverse("admin:tollhouse_budgets_alert_changelist"), {"action": "acknowledge", "_selected_action": [alert.pk]}
    )
    client.post(f"{reverse('admin:tollhouse_budgets_switch_lift')}?id={switch.pk}", {"reason": "x"})
    assert Alert.objects.get(pk=alert.pk).acknowledged_at is None and Switch.objects.get(pk=switch.pk).lifted_at is None
    raise_page = reverse("admin:tollhouse_budgets_budget_raise", args=[everything.other["budget"].pk])
    assert client.get(raise_page).status_code == 404
    for scope, value, tenant, made in (
        ("tenant", OTHER, "", False), ("feature", "f", "", False), ("everything", "", "", False), ("feature", "f", OTHER, False),
        ("tenant", OWN, "", True),
    ):  # fmt: skip
        before = Switch.objects.count()
        given = {"scope": scope, "value": value, "tenant": tenant, "reason": "x", "running": "finish"}
        answer = client.post(reverse("admin:tollhouse_budgets_switch_add"), given)
        assert (Switch.objects.count() > before) is made, (scope, value, tenant)
        assert made or f"for your own tenants only: {OWN}" in answer.content.decode()
    own = everything.own["key"]
    client.post(reverse("admin:tollhouse_gateway_key_change", args=[own.pk]), {"features": "*", "tenant": OTHER})
    own.refresh_from_db()
    assert own.tenant == OWN
    for path in ("tollhouse_gateway_feature", "tollhouse_gateway_provider"):
        row = everything.rows[path.rpartition("_")[2]]
        assert client.post(reverse(f"admin:{path}_change", args=[row.pk]), {"_save": "1"}).status_code == 403
    assert (
        client.get("/admin/auth/user/").status_code
        == client.get("/admin/tollhouse_gateway/auditentry/").status_code
        == 403
    )


def test_limits_of_a_user_and_of_groups_add_up(person, groups, everything):
    free, limited = person("viewer"), person("viewer", "nobody's")
    assert tenants_of(free) is None and visible_calls(free).count() == Call.objects.count() == 2
    assert tenants_of(limited) == {"nobody's"} and not visible_calls(limited).exists()
    group = Group.objects.create(name="acme's staff")
    TenantLimit.objects.create(group=group, tenants=[OWN])
    limited.groups.add(group)
    again = User.objects.get(pk=limited.pk)
    assert tenants_of(again) == {"nobody's", OWN}
    assert [call.tenant for call in visible_calls(again)] == [OWN]
    assert [payload.pk for payload in visible(Payload.objects.all(), again)] == [everything.own["call"].pk]
    assert {window.value for window in visible(Window.objects.all(), again)} == {"", OWN, f'["f","{OWN}"]'}
    assert may_name(again, Budget, {"tenant": OWN}) and not may_name(again, Budget, {"tenant": ""})
    User.objects.filter(pk=limited.pk).update(is_superuser=True)
    assert tenants_of(User.objects.get(pk=limited.pk)) is None
    assert set(visible(Permission.objects.all(), again)) == set()


def test_a_limited_user_is_found_in_few_queries(person, everything, django_assert_max_num_queries):
    user = User.objects.get(pk=person("viewer", OWN).pk)
    with django_assert_max_num_queries(1):
        assert tenants_of(user) == tenants_of(user) == {OWN}


def test_groups_keep_what_an_operator_changed(groups):
    viewer = groups["viewer"]
    added, taken = Permission.objects.get(codename="read_payload"), Permission.objects.get(codename="view_hold")
    viewer.permissions.add(added)
    viewer.permissions.remove(taken)
    role = Role.objects.get(name="viewer")
    gone, new = "tollhouse_gateway.view_key", "tollhouse_gateway.view_route"
    # As if an earlier version had given one that the table has no longer, and had not known another.
    viewer.permissions.add(Permission.objects.get(codename="view_key"))
    viewer.permissions.remove(Permission.objects.get(codename="view_route"))
    role.given = [name for name in [*role.given, gone] if name != new]
    role.save()
    roles.keep(apps.get_app_config("tollhouse_gateway"))
    names = set(viewer.permissions.values_list("codename", flat=True))
    assert {"read_payload", "view_route"} <= names and not {"view_hold", "view_key"} & names
    groups["finance"].delete()
    roles.keep(apps.get_app_config("tollhouse_gateway"))
    assert (
        not Role.objects.filter(name="finance").exists()
        and not Group.objects.filter(name="Tollhouse: finance").exists()
    )


def test_the_migration_makes_a_group_for_each_role():
    migration = importlib.import_module("gateway.migrations.0081_groups")
    assert sorted(migration.ROLES) == sorted(role.name for role in roles.ROLES)


def test_texts_are_only_for_those_who_read_them_one_by_one():
    for role in roles.ROLES:
        reads = role.has("tollhouse_gateway.read_payload")
        assert reads is (role.name in ("reviewer", "admin"))
        assert not role.has("tollhouse_gateway.view_payload") or role.name == "admin"


def test_prompt_authors_and_reviewers_keep_calls_of_their_tenants_in_datasets(client, person, world, everything):
    world.policy("default")
    for role in ("prompt author", "reviewer"):
        DatasetItem.objects.all().delete()
        client.force_login(person(role, OWN))
        statuses = {}
        for tenant, rows in ((OWN, everything.own), (OTHER, everything.other)):
            said = {"messages": [{"role": "user", "content": tenant}]}
            Payload.objects.filter(pk=rows["call"].pk).delete()
            Payload.objects.bulk_create([Payload(pk=rows["call"].pk, content=said)])
            path = f"/admin/tollhouse_gateway/call/{rows['call'].pk}/keep/"
            statuses[tenant] = client.post(path, {"dataset": "d"}).status_code
        assert statuses == {OWN: 302, OTHER: 404}, role
        assert list(DatasetItem.objects.values_list("tenant", flat=True)) == [OWN], role


def test_changes_of_users_and_groups_are_in_the_audit_log(admin_client, groups):
    form = {
        "username": "ann",
        "usable_password": "true",
        "password1": "correct horse 1",
        "password2": "correct horse 1",
    }
    assert admin_client.post(reverse("admin:auth_user_add"), form).status_code == 302
    ann = User.objects.get(username="ann")
    page = reverse("admin:auth_user_change", args=[ann.pk])
    viewer, shown = groups["viewer"], {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    form = {
        "username": "ann",
        "is_active": "on",
        "is_staff": "on",
        "email": "ann@example.com",
        "groups": [viewer.pk],
        **shown,
    }
    assert admin_client.post(page, form).status_code == 302
    form = {"usable_password": "true", "password1": "correct horse 2", "password2": "correct horse 2"}
    assert admin_client.post(f"/admin/auth/user/{ann.pk}/password/", form).status_code == 302
    call, key = (Permission.objects.get(codename=name) for name in ("view_call", "view_key"))
    viewer.permissions.set([call])
    form = {"name": viewer.name, "permissions": [call.pk, key.pk]}
    assert admin_client.post(reverse("admin:auth_group_change", args=[viewer.pk]), form).status_code == 302
    chosen = {"action": "delete_selected", "_selected_action": [ann.pk], "post": "yes"}
    assert admin_client.post(reverse("admin:auth_user_changelist"), chosen).status_code == 302
    made, changed, password, group, gone = AuditEntry.objects.order_by("id")
    assert made.action == "user.create" and made.detail["values"]["groups"] == [] and made.actor == "admin"
    changes = changed.detail["changes"]
    assert changes["groups"] == [[], [viewer.name]] and changes["is_staff"] == [False, True]
    assert changes["email"] == "(hidden)" and "example.com" not in str(changes)
    assert password.detail == {"changes": {"password": "(hidden)"}}
    permissions = group.detail["changes"]["permissions"]
    assert permissions[1] == [*permissions[0], "tollhouse_gateway.view_key"] and group.subject == f"group {viewer.name}"
    assert (gone.action, gone.subject) == ("user.delete", "user ann")
