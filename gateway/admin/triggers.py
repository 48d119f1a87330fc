"""Switch rules: the form, what they fired for, and whether they would fire now."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from budgets.models import Switch, SwitchFiring, SwitchTrigger
from gateway import switches
from gateway.admin.base import AuditedAdmin, ReadOnly, Tool, moment
from gateway.admin.portable import PortableAdmin
from gateway.switches import in_the_way
from gateway.triggers.fire import due, quiet
from gateway.triggers.measure import TIMEOUT_MS, Measured, TookTooLong, measure, names


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was measured, what would happen now, and in which tone that is said."""

    measured: Measured
    says: str
    tone: str


class TriggerForm(forms.ModelForm[SwitchTrigger]):
    class Meta:
        labels = {
            "value": "Of what", "minutes": "Over, minutes", "min_calls": "Least calls", "min_usd": "Least spend, US dollars",
            "off_minutes": "Off for, minutes", "cooldown_minutes": "Cool-down, minutes",
        }  # fmt: skip

    def clean(self) -> dict[str, Any]:
        """A rule for a name that is not configured would guard nothing; a pattern may wait for its names."""
        found = super().clean() or {}
        value = found.get("value") or ""
        if not set(value) & set("*?[") and (wrong := switches.unknown(found.get("scope") or "", value)):
            self.add_error("value", wrong)
            found["value"] = value
        return found


class FiringInline(ReadOnly, admin.TabularInline[SwitchFiring, SwitchTrigger]):
    model = SwitchFiring
    fields = ["at", "value", "measured", "switch"]
    readonly_fields = ["at", "value", "measured", "switch"]
    max_num = 0
    verbose_name_plural = "fired lately"

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[SwitchFiring]:
        found = super().get_queryset(request).select_related("switch")
        same = SwitchFiring.objects.filter(trigger=models.OuterRef("trigger")).order_by("-id")
        return found.filter(pk__in=same.values("pk")[:10])


@admin.register(SwitchTrigger)
class SwitchTriggerAdmin(PortableAdmin[SwitchTrigger], AuditedAdmin[SwitchTrigger]):
    about = (
        "A rule sets a kill switch by itself, for a time, or only raises an alert, when what it measures passes a bound. "
        "The worker looks at all rules several times a minute."
    )
    form = TriggerForm
    fixed = identity = ("name",)
    list_display = ["name", "subject", "shown_bound", "shown_action", "fired", "active"]
    list_filter = ["active", "condition", "action", "scope"]
    search_fields = ["name", "value"]
    search_help_text = "Name, or what it watches"
    inlines = [FiringInline]
    fieldsets = [
        ("What it watches", {"fields": ["name", ("scope", "value")]}),
        ("When it fires", {
            "fields": [("condition", "above"), ("minutes", "min_calls", "min_usd")],
            "description": "Spend is compared with the median of the same time in the last four weeks. Refused and cached "
            "calls do not count.",
        }),
        ("And then", {"fields": ["action", ("off_minutes", "running"), "cooldown_minutes", "active"]}),
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[SwitchTrigger]:
        return super().get_queryset(request).annotate(fired_at=models.Max("firings__at"))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.now_view)
        return [path("<path:object_id>/now/", view, name="tollhouse_budgets_switchtrigger_now"), *super().get_urls()]

    def tools(self, request: HttpRequest, obj: SwitchTrigger) -> list[Tool]:
        url = reverse("admin:tollhouse_budgets_switchtrigger_now", args=[obj.pk])
        return [Tool(label="Would it fire now?", url=url)]

    @admin.display(description="Watches", ordering="value")
    def subject(self, trigger: SwitchTrigger) -> str:
        return trigger.subject

    @admin.display(description="Fires at")
    def shown_bound(self, trigger: SwitchTrigger) -> str:
        return trigger.bound

    @admin.display(description="Does", ordering="action")
    def shown_action(self, trigger: SwitchTrigger) -> str:
        if trigger.action == SwitchTrigger.Action.ALERT:
            return "alert"
        return f"switch off for {trigger.off_minutes} min"

    @admin.display(description="Fired last", ordering="fired_at", empty_value="never")
    def fired(self, trigger: SwitchTrigger) -> str | None:
        at = getattr(trigger, "fired_at", None)
        return moment(at) if at else None

    def now_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What the rule measures now, and what it would do; nothing is done."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        trigger = self.get_object(request, object_id)
        if trigger is None:
            raise Http404(f"There is no switch rule {object_id}.")
        try:
            verdicts: list[Verdict] | None = [_verdict(trigger, one) for one in measure(trigger)]
        except TookTooLong:
            verdicts = None
        seen = {verdict.measured.value for verdict in verdicts or ()}
        context = {
            **self.admin_site.each_context(request), "title": "Would it fire now?", "opts": self.opts, "trigger": trigger,
            "verdicts": verdicts, "silent": [name for name in names(trigger) if name not in seen],
            "seconds": TIMEOUT_MS // 1000,
        }  # fmt: skip
        return TemplateResponse(request, "tollhouse/trigger_now.html", context)


def _verdict(trigger: SwitchTrigger, one: Measured) -> Verdict:
    if not one.over:
        return Verdict(measured=one, says="no", tone="good" if one.amount is not None else "warn")
    if due(trigger, one.value, [one]):
        return Verdict(measured=one, says="yes" if trigger.active else "yes, were it active", tone="bad")
    off = in_the_way(Switch(scope=trigger.scope, value=one.value))
    rest = f"no, it fired within the last {quiet(trigger).total_seconds() / 60:.0f} min, or for this already"
    return Verdict(measured=one, says="no, it is switched off already" if off else rest, tone="warn")
