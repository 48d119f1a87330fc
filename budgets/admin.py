"""Budgets with their windows, kill switches, alerts."""

from typing import Any

from django.contrib import admin
from django.db import models
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.html import format_html

from budgets.models import Alert, Budget, Switch, Window


class ReadOnly:
    """The ledger writes these rows."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class WindowInline(ReadOnly, admin.TabularInline[Window, Budget]):
    model = Window
    fields = ["starts_at", "ends_at", "spent", "held"]
    max_num = 0
    verbose_name_plural = "latest windows"

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Window]:
        found = super().get_queryset(request)
        newest = (
            found.model._default_manager.filter(budget=models.OuterRef("budget"))
            .order_by("-starts_at")
            .values("pk")[:10]
        )
        return found.filter(pk__in=newest)


@admin.register(Budget)
class BudgetAdmin(admin.ModelAdmin[Budget]):
    list_display = ["shown_scope", "metric", "period", "limit", "soft_percent", "on_hard", "active"]
    list_filter = ["active", "metric", "period"]
    search_fields = ["feature", "tenant", "key", "model", "provider"]
    search_help_text = "Feature, tenant, key, model or provider"
    inlines = [WindowInline]
    fieldsets = [
        ("What it is for", {"fields": ["feature", "tenant", "key", "user", "cohort", "model", "provider"]}),
        ("How much", {"fields": ["metric", "limit", "period", "timezone"]}),
        ("And then", {"fields": ["soft_percent", "on_hard", "active"]}),
    ]

    def has_delete_permission(self, request: HttpRequest, obj: Budget | None = None) -> bool:
        # Its windows say what was spent; a budget that is no longer wanted is made inactive.
        return False

    @admin.display(description="For", ordering="feature")
    def shown_scope(self, budget: Budget) -> str:
        return budget.scope


@admin.register(Window)
class WindowAdmin(ReadOnly, admin.ModelAdmin[Window]):
    list_display = ["budget", "starts_at", "ends_at", "spent", "held", "limit", "used"]
    list_select_related = ["budget"]
    show_full_result_count = False

    @admin.display(description="Limit")
    def limit(self, window: Window) -> Any:
        return window.budget.limit

    @admin.display(description="Used")
    def used(self, window: Window) -> str:
        limit = window.budget.limit
        share = 100 if not limit else round(100 * (window.spent + window.held) / limit)
        return format_html('<span class="th-number">{}%</span>', share)


@admin.register(Switch)
class SwitchAdmin(admin.ModelAdmin[Switch]):
    """Adding a switch stops its calls, on the next hold in every process; lifting it lets them pass again."""

    list_display = ["__str__", "state", "reason", "set_by", "set_at", "lifted_by", "lifted_at"]
    list_filter = [("lifted_at", admin.EmptyFieldListFilter), "scope"]
    search_fields = ["value", "reason"]
    fields = ["scope", "value", "reason"]
    actions = ["lift"]
    ordering = [models.F("lifted_at").desc(nulls_first=True), "-set_at"]

    def has_change_permission(self, request: HttpRequest, obj: Switch | None = None) -> bool:
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Switch | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Switch, form: Any, change: bool) -> None:
        obj.set_by = request.user.get_username()
        super().save_model(request, obj, form, change)

    @admin.display(description="State")
    def state(self, switch: Switch) -> str:
        kind, word = ("good", "lifted") if switch.lifted_at else ("bad", "in force")
        return format_html('<span class="th-pill {}">{}</span>', kind, word)

    @admin.action(description="Lift: let these calls pass again", permissions=["change"])
    def lift(self, request: HttpRequest, queryset: models.QuerySet[Switch]) -> None:
        for switch in queryset.filter(lifted_at=None):
            self.log_change(request, switch, f"Lifted {switch}")
        queryset.filter(lifted_at=None).update(lifted_at=Now(), lifted_by=request.user.get_username())


@admin.register(Alert)
class AlertAdmin(ReadOnly, admin.ModelAdmin[Alert]):
    list_display = ["created_at", "shown_severity", "summary", "kind"]
    list_filter = ["severity", "kind"]
    show_full_result_count = False

    @admin.display(description="Severity", ordering="severity")
    def shown_severity(self, alert: Alert) -> str:
        kind = {"info": "good", "warning": "warn", "critical": "bad"}[alert.severity]
        return format_html('<span class="th-pill {}">{}</span>', kind, alert.severity)
