"""Users and groups: their pages are Django's, or the project's own; changes made there are entries of the audit log."""

from collections.abc import Iterable
from typing import Any

import django.contrib.auth.admin  # noqa: F401  (registers users and groups, before they are looked for)
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db.models import Model
from django.http import HttpRequest

from gateway.admin.base import HIDDEN, audit

#: What the audit log tells of values; of all others it says that they were changed. Names and addresses of people are not kept.
TOLD = {"is_active", "is_staff", "is_superuser", "groups", "user_permissions", "permissions"}
#: What a login changes by itself.
LEFT = {"last_login"}
_BEFORE = "_tollhouse_before"
PEOPLE: tuple[type[Model], ...] = (get_user_model(), Group)


class AuditedPeople:
    """Over an admin of users or groups: notes what was changed there, at the places where Django notes it in its own log."""

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)  # type: ignore[misc]
        if found is not None and request.method == "POST":
            setattr(request, _BEFORE, _values(found))
        return found

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        audit(request, "create", obj, values=_shown(obj, _values(obj)))
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        before: dict[str, Any] | None = getattr(request, _BEFORE, None)
        now = _values(type(obj)._default_manager.get(pk=obj.pk))
        if before is None:
            audit(request, "change", obj, values=_shown(obj, now))
        elif changed := [name for name in now if now[name] != before[name]]:
            changes = {name: [before[name], now[name]] if _told(obj, name) else HIDDEN for name in changed}
            audit(request, "change", obj, changes=changes)
        return super().log_change(request, obj, message)  # type: ignore[misc]

    def log_deletions(self, request: HttpRequest, queryset: Iterable[Model]) -> Any:
        for row in queryset:
            audit(request, "delete", row)
        return super().log_deletions(request, queryset)  # type: ignore[misc]


def _values(row: Model) -> dict[str, Any]:
    """The row's values by name; of many rows their names, of permissions `app.codename`, in order."""
    found = {field.name: getattr(row, field.attname) for field in row._meta.concrete_fields if field.name not in LEFT}
    for field in row._meta.many_to_many:
        others = getattr(row, field.name)
        if field.related_model is Permission:
            pairs = others.values_list("content_type__app_label", "codename")
            found[field.name] = sorted(f"{app}.{codename}" for app, codename in pairs)
        else:
            found[field.name] = sorted(map(str, others.all()))
    return found


def _shown(row: Model, values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if _told(row, name)}


def _told(row: Model, name: str) -> bool:
    return name in TOLD or (isinstance(row, Group) and name == "name")


def watch() -> None:
    """Puts `AuditedPeople` over the admins of users and groups that are registered."""
    for model in PEOPLE:
        own = admin.site._registry.get(model)
        if own is not None and not isinstance(own, AuditedPeople):
            admin.site.unregister(model)
            admin.site.register(model, type(f"Audited{type(own).__name__}", (AuditedPeople, type(own)), {}))


watch()
