"""Budgets with their windows, kill switches, alerts. They stand here, as their changes are audited by the gate."""

from difflib import get_close_matches
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin
from django.db import models, transaction
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from budgets.forecast_words import in_words
from budgets.models import Alert, Budget, Switch, Window
from gateway.admin.base import EVERYWHERE, AuditedAdmin, PageAdmin, ReadOnly, ReadOnlyAdmin, audit, moment
from gateway.admin.fields import NameField
from gateway.models import Feature, Key, Provider, Route, Target
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


class InForce(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("in-force", "in force"), ("lifted", "lifted")]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        return queryset if self.value() is None else queryset.filter(lifted_at__isnull=self.value() == "in-force")


class SwitchForm(forms.ModelForm[Switch]):
    class Meta:
        model = Switch
        fields = ["scope", "value", "reason"]
        labels = {"value": "Of what"}

    def clean(self) -> dict[str, Any]:
        """A switch of something that is not configured would stop nothing, so a misspelt name is an error."""
        found = super().clean() or {}
        names = {
            Switch.Scope.FEATURE: Feature.objects.values_list("slug", flat=True),
            Switch.Scope.MODEL: Target.objects.values_list("model", flat=True).distinct(),
            Switch.Scope.PROVIDER: Provider.objects.values_list("name", flat=True),
        }.get(found.get("scope", ""))
        value = found.get("value")
        if names is not None and value and value not in names:
            near = get_close_matches(value, names, n=3, cutoff=0.5)
            hint = f"Did you mean {' or '.join(near)}?" if near else "Names are written as the catalog has them."
            self.add_error("value", f"No {found['scope']} is named {value}. {hint}")
            found["value"] = value  # taken out by the line above, and the row would find it missing, too
        return found


@admin.register(Switch)
class SwitchAdmin(PageAdmin[Switch]):
    about = (
        "Adding a switch stops its calls on the next hold in every process. To let them pass again, choose it in the "
        "list and run “Lift”, or do so on its page."
    )
    form = SwitchForm
    list_display = ["__str__", "state", "reason", "shown_set", "shown_lifted"]
    list_filter = [InForce, "scope"]
    search_fields = ["value", "reason"]
    search_help_text = "Name or reason"
    actions = ["lift"]
    ordering = [models.F("lifted_at").desc(nulls_first=True), "-set_at"]

    def get_fields(self, request: HttpRequest, obj: Switch | None = None) -> Any:
        told = ["state", "set_by", "set_at", "lifted_by", "lifted_at"] if obj else []
        return ["scope", "value", "reason", *told]

    def has_change_permission(self, request: HttpRequest, obj: Switch | None = None) -> bool:
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Switch | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Switch, form: SwitchForm, change: bool) -> None:
        obj.set_by = request.user.get_username()
        super().save_model(request, obj, form, change)
        audit(request, "set", obj, reason=obj.reason)

    @admin.display(description="State")
    def state(self, switch: Switch) -> str:
        kind, word = ("good", "lifted") if switch.lifted_at else ("bad", "in force")
        return format_html('<span class="th-pill {}">{}</span>', kind, word)

    @admin.display(description="Set", ordering="set_at")
    def shown_set(self, switch: Switch) -> str:
        return f"{moment(switch.set_at)}, {switch.set_by or 'someone'}"

    @admin.display(description="Lifted", ordering="lifted_at", empty_value="–")
    def shown_lifted(self, switch: Switch) -> str | None:
        return f"{moment(switch.lifted_at)}, {switch.lifted_by or 'someone'}" if switch.lifted_at else None

    @admin.action(description="Lift: let these calls pass again", permissions=["change"], location=EVERYWHERE)
    def lift(self, request: HttpRequest, queryset: models.QuerySet[Switch]) -> None:
        with transaction.atomic():
            switches = list(queryset.filter(lifted_at=None).select_for_update())
            Switch.objects.filter(pk__in=[switch.pk for switch in switches]).update(
                lifted_at=Now(), lifted_by=request.user.get_username()
            )
            for switch in switches:
                audit(request, "lift", switch)
        self.message_user(request, f"Lifted: {', '.join(map(str, switches)) or 'nothing, none was in force'}.")


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin[Alert]):
    about = "Written once, in the transaction that found it; alerts can only be looked at."
    list_display = ["created_at", "shown_severity", "summary", "kind"]
    list_filter = ["severity", "kind"]
    search_fields = ["summary"]
    search_help_text = "Summary"

    @admin.display(description="Severity", ordering="severity")
    def shown_severity(self, alert: Alert) -> str:
        kind = {"info": "good", "warning": "warn", "critical": "bad"}[alert.severity]
        return format_html('<span class="th-pill {}">{}</span>', kind, alert.severity)


def _figure(text: str) -> str:
    return format_html('<span class="th-number">{}</span>', text)
