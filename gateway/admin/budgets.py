"""Budgets with their windows. They stand here, as their changes are audited by the gate."""

from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin
from django.db import models, transaction
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html

from budgets.forecast_words import in_words
from budgets.models import SCOPE_FIELDS, USD, Budget, Rate, Window
from budgets.models.budget import IDENTITY
from budgets.models.window import WindowQuerySet
from gateway.access import visible
from gateway.admin import raises
from gateway.admin.base import AuditedAdmin, ReadOnly, ReadOnlyAdmin, Tool, audit, moment
from gateway.admin.fields import NameField
from gateway.admin.portable import PortableAdmin
from gateway.ledger.alerts import raise_page
from gateway.models import Feature, Key, Provider, Route
from gateway.templatetags.tollhouse import amount, meter, rounded, share


class UsedColumn:
    """How full a window is, as a bar and in words."""

    @admin.display(description="Used")
    def used(self, window: Window) -> str:
        spent, held = (share(value, window.limit) for value in (window.spent, window.held))
        return format_html(
            '<span class="th-used">{}<span class="th-number">{} spent{} of {}</span></span>', meter(spent, held),
            rounded(window.spent, window.budget.metric),
            f", {rounded(window.held, window.budget.metric)} held" if window.held else "",
            amount(window.limit, window.budget.metric),
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

    @admin.display(description="Limit, raises included")
    def shown_limit(self, window: Window) -> str:
        return _figure(amount(window.limit, window.budget.metric))

    @admin.display(description="Of", ordering="value")
    def shown_value(self, window: Window) -> str:
        return window.value_in_words or "all together"


class WindowInline(ReadOnly, UsedColumn, admin.TabularInline[Window, Budget]):
    model = Window
    fields = ["shown_value", "starts_at", "ends_at", "used"]
    readonly_fields = ["shown_value", "starts_at", "ends_at", "used"]
    max_num = 0
    verbose_name_plural = "latest windows"

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Window]:
        found = super().get_queryset(request).select_related("budget")
        assert isinstance(found, WindowQuerySet)
        same = Window.objects.filter(budget=models.OuterRef("budget")).order_by("-starts_at")
        return found.with_limit().filter(pk__in=same.values("pk")[:10])


class BudgetForm(forms.ModelForm[Budget]):
    feature = NameField(lambda: Feature.objects.values_list("slug", flat=True), empty="every feature")
    key = NameField(lambda: Key.objects.values_list("name", flat=True), empty="every key", label="API key")
    provider = NameField(lambda: Provider.objects.values_list("name", flat=True), empty="every provider")
    each = forms.MultipleChoiceField(
        label="The limit is for each", choices=[(name, name) for name in SCOPE_FIELDS], required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None: all calls share it. One: each tenant, say, has all of it. Two: each pair of them.",
    )  # fmt: skip
    currency = forms.ChoiceField(required=False)
    on_hard = forms.ChoiceField(label="When it is full")

    class Meta:
        model = Budget
        fields = [
            "feature", "tenant", "key", "user", "cohort", "model", "provider", "each", "metric", "currency", "limit",
            "period", "starts_on", "ends_on", "timezone", "soft_percent", "on_hard", "active", "paused_reason",
        ]  # fmt: skip
        labels = {
            "user": "User reference, as rows show it", "model": "Model, as routes name it",
            "soft_percent": "Warn at, percent; several with commas", "limit": "Limit, in money, tokens or calls",
            "timezone": "Time zone, e.g. Europe/Paris", "starts_on": "First day", "ends_on": "Last day, in full",
            "paused_reason": "If not: why",
        }  # fmt: skip
        help_texts = dict.fromkeys(
            (
                "tenant",
                "user",
                "cohort",
                "model",
                "limit",
                "timezone",
                "starts_on",
                "ends_on",
                "soft_percent",
                "paused_reason",
            ),
            "",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("feature", "key", "provider"):
            field = self.fields[name]
            assert isinstance(field, NameField)
            field.keep(getattr(self.instance, name))
        routes = [f"route:{name}" for name in Route.objects.values_list("name", flat=True)]
        if "currency" in self.fields:
            known = Rate.objects.order_by("currency").values_list("currency", flat=True).distinct()
            self.fields["currency"].choices = [(code, code) for code in (USD, *known)]  # type: ignore[attr-defined]
        choices = [
            ("block", "refuse the calls"),
            ("ask", "refuse the calls, and ask for a raise"),
            *((r, f"send the calls over {r}") for r in routes),
        ]
        if self.instance.on_hard not in ("block", "ask", *routes):
            choices.append((self.instance.on_hard, f"{self.instance.on_hard} (not configured)"))
        self.fields["on_hard"].choices = choices  # type: ignore[attr-defined]
        if self.instance.limit is not None:
            # A number, as a text would count as changed whenever the form is saved.
            self.initial["limit"] = Decimal(f"{self.instance.limit.normalize():f}")

    def clean_currency(self) -> str:
        return self.cleaned_data["currency"] or USD

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if found.get("active"):
            found["paused_reason"] = ""
        elif not found.get("paused_reason"):
            self.add_error("paused_reason", "Say why the budget is paused; whoever reads the audit log will ask.")
        return found


@admin.register(Budget)
class BudgetAdmin(PortableAdmin[Budget], AuditedAdmin[Budget]):
    about = (
        "A limit that holds: what a call can cost is set aside before the provider is asked, so calls at the same time "
        "cannot pass it together. A change counts from the next call on, and windows keep what was spent in them. To let "
        "more through for a time, raise it; one that is deleted is gone from all lists, and its windows stay."
    )
    form = BudgetForm
    #: What the figures of its windows mean.
    fixed = ("each", "metric", "currency")
    identity = IDENTITY
    list_display = ["shown_scope", "shown_limit", "period", "shown_soft", "on_hard", "active"]
    list_filter = ["active", "metric", "period"]
    search_fields = ["feature", "tenant", "key", "model", "provider"]
    search_help_text = "Feature, tenant, key, model or provider"
    inlines = [WindowInline]
    fieldsets = [
        ("What it is for", {
            "fields": [("feature", "tenant"), ("key", "user"), ("model", "provider"), "cohort", "each"],
            "description": "Calls that match all of these count; what is left empty matches every call.",
        }),
        ("How much", {
            "fields": [("metric", "currency", "limit"), ("period", "timezone"), ("starts_on", "ends_on")],
            "description": "Periods follow the calendar of the time zone; days are for the period “fixed dates” alone. A "
            "call that does not fit is refused. After a change of period, zone or days the next window begins with all "
            "that was spent in the one that was open.",
        }),
        ("And then", {"fields": ["soft_percent", "on_hard", "active", "paused_reason"]}),
    ]  # fmt: skip

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Budgets are retired, so nothing goes with them and their windows protect none."""
        return [str(budget) for budget in objs], {self.opts.verbose_name_plural: len(objs)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Budget) -> None:
        with transaction.atomic():
            audit(request, "delete", obj)
            obj.retire()

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Budget]) -> None:
        with transaction.atomic():
            for budget in queryset:
                self.delete_model(request, budget)

    def tools(self, request: HttpRequest, obj: Budget) -> list[Tool]:
        if not raises.may_raise(request):
            return []
        return [Tool(label="Raise", url=reverse("admin:tollhouse_budgets_budget_raise", args=[obj.pk]))]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.raise_view)
        return [path("<int:pk>/raise/", view, name="tollhouse_budgets_budget_raise"), *super().get_urls()]

    def raise_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Asks how much more, why and until when, and raises the budget."""
        return raises.raise_view(self, request, pk)

    @admin.display(description="Warn at, %")
    def shown_soft(self, budget: Budget) -> str:
        return ", ".join(map(str, budget.soft_percent)) or "–"

    @admin.display(description="For", ordering="feature")
    def shown_scope(self, budget: Budget) -> str:
        return budget.scope

    @admin.display(description="Limit", ordering="limit")
    def shown_limit(self, budget: Budget) -> str:
        if budget.unit == Budget.Metric.USD:
            return _figure(amount(budget.limit, budget.metric))
        return _figure(f"{budget.limit.normalize():,f} {budget.unit}")


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
    list_display = ["budget", "shown_value", "used", "shown_forecast", "starts_at", "ends_at"]
    list_filter = [OpenNow, "budget__metric", "budget__period"]
    list_select_related = ["budget", "forecast"]
    search_fields = ["budget__feature", "budget__tenant", "budget__key", "value"]
    search_help_text = "Feature, tenant or key of the budget, or the value that a window is of"
    fields = [
        "budget",
        "shown_value",
        "starts_at",
        "ends_at",
        "shown_spent",
        "shown_held",
        "shown_limit",
        "rate",
        "used",
        "shown_forecast",
        "forecast_note",
    ]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Window]:
        found = super().get_queryset(request)
        assert isinstance(found, WindowQuerySet)
        return found.select_related("budget", "forecast").with_limit()

    def tools(self, request: HttpRequest, obj: Window) -> list[Tool]:
        if not raises.may_raise(request) or not visible(Budget.objects.filter(pk=obj.budget_id), request.user):
            return []
        return [Tool(label="Raise", url=raise_page(obj.budget_id, obj.pk))]


def _figure(text: str) -> str:
    return format_html('<span class="th-number">{}</span>', text)
