"""People with roles, and rows of two tenants."""

import importlib
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db import connection

from gateway import roles
from gateway.models import Role, TenantLimit
from tests.gateway.admin.roles.tenant_rows import OTHER, OWN, closed_rows, rows_of, shared_rows
from tests.world import World


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
