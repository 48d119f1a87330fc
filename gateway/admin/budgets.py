"""Budgets with their windows. They stand here, as their changes are audited by the gate."""

from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin
from django.db import models
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from budgets.forecast_words import in_words
from budgets.models import Budget, Window
from gateway.admin.base import AuditedAdmin, ReadOnly, ReadOnlyAdmin, moment
from gateway.admin.fields import NameField
from gateway.models import Feature, Key, Provider, Route
from gateway.templatetags.tollhouse import amount, meter, share


class UsedColumn:
    """How full a window is, as a bar and in words."""

    @admin.display(description="Used")
    def used(self, window: Window) -> str:
        spent, held = (share(value, window.budget.limit) for value in (window.spent, window.held))
        return format_html(
            '<span class="th-used">{}<span class="th-number">{} spent{} of {}</span></span>', meter(spent, held),
            amount(window.spent, window.budget.metric),
            f", {amount(window.held, window.budget.metric)} held" if window.held else "",
            amount(window.budget.limit, window.budget.metric),
        )  # fmt: skip

    @admin.display(description="Spent")
    def shown_spent(self, window: Window) -> str:
        return _figure(amount(window.spent, window.budget.metric))

    @admin.display(description="Held")
    def shown_held(self, window: Window) -> str:
        return _figure(amount(window.held, window.budget.metric))

    @admin.display(description="Forecast", empty_value="–")
    def shown_forecast(self, window: Window) -> str | None:
        made = getattr(window, "forecast", None)
        if made is None or window.ends_at <= timezone.now():
            return None
        return in_words(made, window, ZoneInfo(window.budget.timezone))

    @admin.display(description="It rests on", empty_value="–")
    def forecast_note(self, window: Window) -> str | None:
        made = getattr(window, "forecast", None)
        return f"{made.note} Made {moment(made.made_at)}." if made else None

    @admin.display(description="Limit")
    def limit(self, window: Window) -> str:
        return _figure(amount(window.budget.limit, window.budget.metric))


class WindowInline(ReadOnly, UsedColumn, admin.TabularInline[Window, Budget]):
    model = Window
    fields = ["starts_at", "ends_at", "used"]
    readonly_fields = ["starts_at", "ends_at", "used"]
    max_num = 0
    verbose_name_plural = "latest windows"

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Window]:
        found = super().get_queryset(request).select_related("budget")
        same = Window.objects.filter(budget=models.OuterRef("budget")).order_by("-starts_at")
        return found.filter(pk__in=same.values("pk")[:10])


class BudgetForm(forms.ModelForm[Budget]):
    feature = NameField(lambda: Feature.objects.values_list("slug", flat=True), empty="every feature")
    key = NameField(lambda: Key.objects.values_list("name", flat=True), empty="every key", label="API key")
    provider = NameField(lambda: Provider.objects.values_list("name", flat=True), empty="every provider")
    on_hard = forms.ChoiceField(label="When it is full")

    class Meta:
        model = Budget
        fields = [
            "feature", "tenant", "key", "user", "cohort", "model", "provider",
            "metric", "limit", "period", "timezone", "soft_percent", "on_hard", "active",
        ]  # fmt: skip
        labels = {
            "user": "User reference, as rows show it", "model": "Model, as routes name it", "soft_percent": "Warn at, percent",
            "limit": "Limit, in US dollars, tokens or calls", "timezone": "Time zone, e.g. Europe/Paris",
        }  # fmt: skip
        help_texts = dict.fromkeys(("tenant", "user", "cohort", "model", "limit", "timezone"), "")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("feature", "key", "provider"):
            field = self.fields[name]
            assert isinstance(field, NameField)
            field.keep(getattr(self.instance, name))
        routes = [f"route:{name}" for name in Route.objects.values_list("name", flat=True)]
        choices = [("block", "refuse the calls"), *((r, f"send the calls over {r}") for r in routes)]
        if self.instance.on_hard not in ("block", *routes):
            choices.append((self.instance.on_hard, f"{self.instance.on_hard} (not configured)"))
        self.fields["on_hard"].choices = choices  # type: ignore[attr-defined]
        if self.instance.limit is not None:
            self.initial["limit"] = f"{self.instance.limit.normalize():f}"


@admin.register(Budget)
class BudgetAdmin(AuditedAdmin[Budget]):
    about = (
        "A limit that holds: what a call can cost is set aside before the provider is asked, so calls at the same time "
        "cannot pass it together. Its windows say what was spent, so a budget that is no longer wanted is made inactive."
    )
    form = BudgetForm
    list_display = ["shown_scope", "shown_limit", "period", "soft_percent", "on_hard", "active"]
    list_filter = ["active", "metric", "period"]
    search_fields = ["feature", "tenant", "key", "model", "provider"]
    search_help_text = "Feature, tenant, key, model or provider"
    inlines = [WindowInline]
    fieldsets = [
        ("What it is for", {
            "fields": [("feature", "tenant"), ("key", "user"), ("model", "provider"), "cohort"],
            "description": "Calls that match all of these count; what is left empty matches every call.",
        }),
        ("How much", {
            "fields": [("metric", "limit"), ("period", "timezone")],
            "description": "Periods follow the calendar of the time zone. A call that does not fit is refused.",
        }),
        ("And then", {"fields": ["soft_percent", "on_hard", "active"]}),
    ]  # fmt: skip

    def has_delete_permission(self, request: HttpRequest, obj: Budget | None = None) -> bool:
        return False

    @admin.display(description="For", ordering="feature")
    def shown_scope(self, budget: Budget) -> str:
        return budget.scope

    @admin.display(description="Limit", ordering="limit")
    def shown_limit(self, budget: Budget) -> str:
        unit = "" if budget.metric == Budget.Metric.USD else f" {budget.metric}"
        return _figure(f"{amount(budget.limit, budget.metric)}{unit}")


class OpenNow(admin.SimpleListFilter):
    title = "time"
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("now", "open now"), ("past", "past")]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        match self.value():
            case "now":
                return queryset.filter(starts_at__lte=Now(), ends_at__gt=Now())
            case "past":
                return queryset.filter(ends_at__lte=Now())
        return queryset


@admin.register(Window)
class WindowAdmin(UsedColumn, ReadOnlyAdmin[Window]):
    about = "One row for each period of each budget. The ledger writes them, so they can only be looked at."
    list_display = ["budget", "used", "shown_forecast", "starts_at", "ends_at"]
    list_filter = [OpenNow, "budget__metric", "budget__period"]
    list_select_related = ["budget", "forecast"]
    search_fields = ["budget__feature", "budget__tenant", "budget__key"]
    search_help_text = "Feature, tenant or key of the budget"
    fields = [
        "budget",
        "starts_at",
        "ends_at",
        "shown_spent",
        "shown_held",
        "limit",
        "used",
        "shown_forecast",
        "forecast_note",
    ]


def _figure(text: str) -> str:
    return format_html('<span class="th-number">{}</span>', text)
