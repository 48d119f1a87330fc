"""What the gate's admins share: rows that are only read, and changes that are audited."""

from typing import Any

from django.contrib import admin
from django.db import models
from django.forms import ModelForm
from django.http import HttpRequest

from gateway.models import AuditEntry


class ReadOnlyAdmin[M: models.Model](admin.ModelAdmin[M]):
    """Rows that the product writes itself: nobody adds, changes or deletes one here."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False


class AuditedAdmin[M: models.Model](admin.ModelAdmin[M]):
    """Every change made here is an entry of the audit log: who, what, and which fields."""

    show_full_result_count = False

    def save_model(self, request: HttpRequest, obj: M, form: ModelForm[M], change: bool) -> None:
        super().save_model(request, obj, form, change)
        audit(request, "change" if change else "add", obj, fields=sorted(form.changed_data))

    def delete_model(self, request: HttpRequest, obj: M) -> None:
        audit(request, "delete", obj)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[M]) -> None:
        for row in queryset:
            audit(request, "delete", row)
        super().delete_queryset(request, queryset)


def audit(request: HttpRequest, verb: str, row: models.Model, *, reason: str = "", **detail: Any) -> None:
    """Notes in the audit log that the request's user did this to the row."""
    name = row._meta.model_name
    AuditEntry.objects.create(
        actor=request.user.get_username(),
        action=f"{name}.{verb}",
        subject=f"{name} {row}"[:255],
        reason=reason,
        detail=detail,
    )
