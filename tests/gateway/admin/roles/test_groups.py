"""The groups of the roles: made by a migration, kept as an operator changed them; what a role brings beyond pages."""

import importlib

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.urls import reverse

from gateway import roles
from gateway.models import AuditEntry, DatasetItem, Payload, Role
from tests.gateway.admin.roles.tenant_rows import OTHER, OWN

pytestmark = pytest.mark.django_db


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
