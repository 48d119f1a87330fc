"""What somebody sees and changes who is limited to a tenant."""

import re

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from budgets.models import Alert, Budget, Switch, Window
from gateway.access import may_name, tenants_of, visible, visible_calls
from gateway.models import AuditEntry, Call, Payload, TenantLimit
from tests.gateway.admin.roles.tenant_rows import OTHER, OWN

pytestmark = pytest.mark.django_db


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
