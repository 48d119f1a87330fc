"""Limits of users and groups to tenants."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from gateway.access import is_installed
from gateway.admin.base import AuditedAdmin
from gateway.admin.fields import LinesField
from gateway.models import TenantLimit

MISSING = (
    "Limits cannot be added yet: put “gateway.access.TenantLimits” first in AUTHENTICATION_BACKENDS, so that they also take "
    "away permissions for what concerns all tenants."
)


class LimitForm(forms.ModelForm[TenantLimit]):
    tenants = LinesField(help_text="One a line, as calls name them. Only their rows are shown.")

    class Meta:
        model = TenantLimit
        fields = ["user", "group", "tenants"]


@admin.register(TenantLimit)
class TenantLimitAdmin(AuditedAdmin[TenantLimit]):
    about = (
        "Users who are limited see the rows of these tenants alone, on every page and in every export, and configuration only to "
        "look at. What a user may do is said by groups and permissions. Several limits of a user add up; a superuser has none."
    )
    form = LimitForm
    fixed = ("user", "group")
    list_display = ["whom", "shown_tenants"]
    list_select_related = ["user", "group"]
    search_fields = ["group__name", "tenants"]
    search_help_text = "Group or tenant"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_installed() and super().has_add_permission(request)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        about = self.about if is_installed() else f"{self.about} {MISSING}"
        return super().changelist_view(request, {"about": about, **(extra_context or {})})

    @admin.display(description="Whom")
    def whom(self, limit: TenantLimit) -> str:
        return f"user {limit.user}" if limit.user else f"group {limit.group}"

    @admin.display(description="Tenants")
    def shown_tenants(self, limit: TenantLimit) -> str:
        return ", ".join(limit.tenants)
