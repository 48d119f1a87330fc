"""Alerts with the log of their deliveries."""

from typing import Any

from django.contrib import admin
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode

from budgets.dispatch import acknowledge
from budgets.models import Alert, AlertRoute, Delivery
from gateway.admin.base import EVERYWHERE, ReadOnly, ReadOnlyAdmin, Tool, audit, moment
from gateway.admin.details import as_list
from gateway.admin.raises import may_raise
from gateway.admin.switches import link_of_alert
from gateway.links import feature_url

TONES = {
    "open": "bad", "acknowledged": "warn", "resolved": "good",
    "info": "good", "warning": "warn", "critical": "bad",
    "pending": "warn", "sending": "warn", "sent": "good", "partly": "warn", "failed": "bad", "superseded": "good",
}  # fmt: skip
NO_ROUTE = "There is no active route, so no alert is sent anywhere: add a channel and a route."


def pill(value: str, words: str = "") -> str:
    """A state or a severity, in its colour."""
    return format_html('<span class="th-pill {}">{}</span>', TONES.get(value, "bad"), words or value)


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "open"), ("acknowledged", "acknowledged"), ("resolved", "resolved")]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        match self.value():
            case "open":
                return queryset.filter(resolved_at=None, acknowledged_at=None)
            case "acknowledged":
                return queryset.filter(resolved_at=None, acknowledged_at__isnull=False)
            case "resolved":
                return queryset.filter(resolved_at__isnull=False)
        return queryset


class DeliveryColumns:
    @admin.display(description="State", ordering="state")
    def shown_state(self, delivery: Delivery) -> str:
        if delivery.partly:
            return pill("partly", "sent in part")
        return pill(delivery.state, delivery.get_state_display())

    @admin.display(description="When")
    def when(self, delivery: Delivery) -> str:
        if delivery.sent_at:
            return moment(delivery.sent_at)
        return f"next attempt from {moment(delivery.next_at)}" if delivery.state == Delivery.State.PENDING else "–"


class DeliveryInline(DeliveryColumns, ReadOnly, admin.TabularInline[Delivery, Alert]):
    model = Delivery
    fields = ["channel", "event", "shown_state", "when", "attempts", "status", "answer"]
    readonly_fields = ["shown_state", "when"]
    max_num = 0
    verbose_name_plural = "deliveries"

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Delivery]:
        return super().get_queryset(request).select_related("channel").order_by("id")


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin[Alert]):
    about = (
        "What a person should know, written once, in the transaction that found it. Routes say which channels tell it; an "
        "alert ends with its window, or when its reason is gone."
    )
    list_display = ["summary", "shown_severity", "shown_state", "created_at", "shown_scope"]
    list_filter = [StateFilter, "severity", "kind"]
    search_fields = ["summary", "feature", "tenant"]
    search_help_text = "Summary, feature or tenant"
    actions = ["acknowledge"]
    inlines = [DeliveryInline]
    fields = [
        "summary", "shown_severity", "shown_state", "shown_detail", "kind", "feature", "tenant", "created_at", "ends_at",
        "acknowledged_by", "acknowledged_at", "resolved_at", "resolution", "dedup_key",
    ]  # fmt: skip

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        about = self.about if AlertRoute.objects.filter(active=True).exists() else f"{self.about} {NO_ROUTE}"
        return super().changelist_view(request, {"about": about, **(extra_context or {})})

    def has_acknowledge_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("tollhouse_budgets.acknowledge_alert")

    def tools(self, request: HttpRequest, obj: Alert) -> list[Tool]:
        scope = {name: value for name, value in (("feature", obj.feature), ("tenant", obj.tenant)) if value}
        found = []
        if (spend := feature_url(obj.feature)) and request.user.has_perm("tollhouse_gateway.view_feature"):
            found.append(Tool(label=f"Spend of {obj.feature}", url=spend))
        if scope and request.user.has_perm("tollhouse_gateway.view_call"):
            found.append(
                Tool(label="Its calls", url=f"{reverse('admin:tollhouse_gateway_call_changelist')}?{urlencode(scope)}")
            )
        page = obj.detail.get("link") if obj.kind in ("budget_threshold", "budget_exhausted") else None
        if page and may_raise(request):
            found.append(Tool(label="Raise the budget", url=page))
        return [*found, *link_of_alert(request, obj)]

    @admin.display(description="Severity", ordering="severity")
    def shown_severity(self, alert: Alert) -> str:
        return pill(alert.severity)

    @admin.display(description="State")
    def shown_state(self, alert: Alert) -> str:
        return pill(alert.state)

    @admin.display(description="Of", empty_value="–")
    def shown_scope(self, alert: Alert) -> str | None:
        return ", ".join(filter(None, (alert.feature, alert.tenant))) or None

    @admin.display(description="Detail")
    def shown_detail(self, alert: Alert) -> str:
        return as_list(alert.detail)

    @admin.action(description="Acknowledge: I look after it", permissions=["acknowledge"], location=EVERYWHERE)
    def acknowledge(self, request: HttpRequest, queryset: models.QuerySet[Alert]) -> None:
        with transaction.atomic():
            found = acknowledge(queryset, request.user.get_username())
            for alert in found:
                audit(request, "acknowledge", alert)
        self.message_user(request, f"Acknowledged: {', '.join(map(str, found)) or 'nothing, none was open'}.")


@admin.register(Delivery)
class DeliveryAdmin(DeliveryColumns, ReadOnlyAdmin[Delivery]):
    about = (
        "What was told to which channel, and what it answered: one row for each event of an alert and channel, however often it "
        "was tried."
    )
    list_display = [
        "created_at",
        "channel",
        "event",
        "shown_alert",
        "shown_state",
        "when",
        "attempts",
        "status",
        "answer",
    ]
    list_select_related = ["alert", "channel"]
    search_fields = ["alert__summary", "answer"]
    search_help_text = "Summary of the alert, or answer"
    fields = [
        "alert", "channel", "event", "shown_state", "when", "attempts", "status", "answer", "held_back", "uncertain",
        "group", "created_at",
    ]  # fmt: skip

    def get_list_filter(self, request: HttpRequest) -> Any:
        # Channels are named to those who may see all of them.
        return ["state", "event", *(["channel"] if request.user.has_perm("tollhouse_budgets.view_channel") else [])]

    @admin.display(description="Alert")
    def shown_alert(self, delivery: Delivery) -> str:
        return delivery.alert.summary
