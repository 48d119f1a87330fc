"""Channels and routes of alerts."""

import os
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html

from budgets.channels import KINDS, channel
from budgets.models import AlertRoute, Channel
from gateway import alerting
from gateway.admin.alerts import NO_ROUTE
from gateway.admin.base import EVERYWHERE, AuditedAdmin, audit, moment
from gateway.admin.fields import LinesField
from gateway.admin.portable import PortableAdmin
from gateway.notices import test_notice

AGAIN = "The stored secret is for the settings so far; with others it has to be given again."


class ChannelForm(forms.ModelForm[Channel]):
    kind = forms.ChoiceField(choices=lambda: list(KINDS.items()))
    secret = forms.CharField(
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Stored encrypted, for these settings only; never shown again. Empty: as it was. See docs/channels.md.",
    )

    class Meta:
        model = Channel
        fields = ["name", "kind", "config", "secret_env", "fallback", "active"]
        labels = {"config": "Settings, as JSON", "secret_env": "Variable with the secret"}

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        kind = found.get("kind") or self.instance.kind
        if "config" not in found or not kind:
            return found
        found["config"] = found["config"] or {}
        if not isinstance(found["config"], dict):
            self.add_error("config", 'Write a JSON object, e.g. {"url": "https://…"}; {} for none.')
        elif found.get("secret") and found.get("secret_env"):
            self.add_error("secret", "Give a secret or the variable that holds one, not both.")
        else:
            self._check(kind, found)
        return found

    def _check(self, kind: str, found: dict[str, Any]) -> None:
        given, variable = found.get("secret", ""), found.get("secret_env", "")
        stored = self.instance.secret_encrypted if not given and not variable else ""
        if stored and (found["config"] != self.initial.get("config") or kind != self.instance.kind):
            self.add_error("secret", AGAIN)
            return
        try:
            if variable:
                alerting.check_variable(variable)
                given = os.environ.get(variable, "")
                if not given:
                    # It may be set for the worker only, which says so when it is not.
                    return
            channel(kind).check(found["config"], given or (alerting.secret(self.instance) if stored else ""))
        except ValueError as error:
            self.add_error(None, str(error))


class HealthFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("dead", "dead"), ("failing", "failing")]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        match self.value():
            case "dead":
                return queryset.filter(dead_since__isnull=False)
            case "failing":
                return queryset.filter(dead_since=None, failing_since__isnull=False)
        return queryset


@admin.register(Channel)
class ChannelAdmin(AuditedAdmin[Channel]):
    about = (
        "A way to tell people of alerts. “Send a test” shows what the other side answers. A channel that takes no messages is "
        "dead: its fallback gets them until it takes one again. One that is no longer wanted is made inactive."
    )
    form = ChannelForm
    fixed = ("name", "kind")
    list_display = ["name", "kind", "state", "shown_ok", "last_error", "fallback", "active"]
    list_filter = [HealthFilter, "kind", "active"]
    list_select_related = ["fallback"]
    search_fields = ["name"]
    search_help_text = "Name"
    actions = ["send_test"]
    readonly_fields = ["secret_source", "state", "shown_ok", "last_error", "failing_since", "dead_since"]
    fieldsets = [
        ("What it is", {"fields": ["name", "kind", "config", "secret_source", "secret", "secret_env"]}),
        ("And then", {"fields": ["fallback", "active"]}),
        ("How it is", {"fields": ["state", "shown_ok", "last_error", "failing_since", "dead_since"]}),
    ]  # fmt: skip

    def has_delete_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Channel, form: Any, change: bool) -> None:
        if given := form.cleaned_data["secret"]:
            obj.secret_encrypted = alerting.encrypt(obj, given)
        elif obj.secret_env:
            obj.secret_encrypted = ""
        # Whatever was wrong may be mended now, so it is tried at once.
        obj.retry_at = None
        super().save_model(request, obj, form, change)

    @admin.display(description="Secret so far")
    def secret_source(self, channel: Channel) -> str:
        if channel.secret_env:
            return f"from {channel.secret_env}"
        return "stored" if channel.secret_encrypted else "none"

    @admin.display(description="State")
    def state(self, channel: Channel) -> str:
        tone, word = ("good", "ready" if channel.last_ok_at is None else "well")
        if channel.dead_since:
            tone, word = "bad", "dead"
        elif channel.failing_since:
            tone, word = "warn", "failing"
        return format_html('<span class="th-pill {}">{}</span>', tone, word)

    @admin.display(description="Last success", ordering="last_ok_at", empty_value="–")
    def shown_ok(self, channel: Channel) -> str | None:
        return moment(channel.last_ok_at) if channel.last_ok_at else None

    @admin.action(description="Send a test", permissions=["change"], location=EVERYWHERE)
    def send_test(self, request: HttpRequest, queryset: models.QuerySet[Channel]) -> None:
        # Others than those chosen wait for an answer each; a handful is what a person looks at.
        for row in queryset[:5]:
            receipt = alerting.courier().test(row, test_notice(row, request.user.get_username()))
            audit(request, "test", row, ok=receipt.ok, status=receipt.status)
            status = f" (status {receipt.status})" if receipt.status else ""
            if receipt.ok:
                self.message_user(
                    request,
                    f"The channel {row} took the test{status}: {receipt.answer or 'no text'}",
                    messages.WARNING if receipt.partly else messages.INFO,
                )
            else:
                self.message_user(
                    request,
                    f"The channel {row} did not take the test{status}: {receipt.answer or 'no answer'}",
                    messages.ERROR,
                )


class AlertRouteForm(forms.ModelForm[AlertRoute]):
    kinds = LinesField(required=False, help_text="Globs, one a line, e.g. budget_*; empty: every kind.")
    features = LinesField(
        required=False, help_text="Globs, one a line, e.g. support.*; empty: every feature, and none."
    )
    tenants = LinesField(required=False, help_text="Globs, one a line; empty: every tenant, and none.")

    class Meta:
        model = AlertRoute
        fields = [
            "position", "name", "active", "severity", "kinds", "features", "tenants", "channels", "goes_on", "quiet_from",
            "quiet_until", "quiet_timezone", "breaks_through",
        ]  # fmt: skip
        widgets = {
            "channels": forms.CheckboxSelectMultiple,
            "quiet_from": forms.TimeInput(attrs={"placeholder": "22:00"}),
            "quiet_until": forms.TimeInput(attrs={"placeholder": "07:00"}),
        }
        labels = {"severity": "From this severity on", "quiet_from": "Quiet from", "quiet_timezone": "Time zone"}


@admin.register(AlertRoute)
class AlertRouteAdmin(PortableAdmin[AlertRoute], AuditedAdmin[AlertRoute]):
    about = (
        "Which alerts go to which channels. The first route that matches decides, unless it goes on to those after it."
    )
    form = AlertRouteForm
    identity = ("name",)
    list_display = ["name", "position", "severity", "matched", "channel_list", "quiet", "goes_on", "active"]
    list_filter = ["active", "severity"]
    search_fields = ["name"]
    search_help_text = "Name"
    fieldsets = [
        ("Which alerts", {"fields": ["name", "position", "active", "severity", "kinds", "features", "tenants"]}),
        ("Where to", {"fields": ["channels", "goes_on"]}),
        ("Quiet hours", {
            "fields": [("quiet_from", "quiet_until", "quiet_timezone"), "breaks_through"],
            "description": "Alerts wait until they are over, and are told together then. Ends of alerts do not wait.",
        }),
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[AlertRoute]:
        return super().get_queryset(request).prefetch_related("channels")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        about = self.about if AlertRoute.objects.filter(active=True).exists() else f"{self.about} {NO_ROUTE}"
        return super().changelist_view(request, {"about": about, **(extra_context or {})})

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        names = AlertRoute.channels.through.objects.filter(alertroute=form.instance).order_by("channel__name")
        before = list(names.values_list("channel__name", flat=True))
        super().save_related(request, form, formsets, change)
        after = list(names.values_list("channel__name", flat=True))
        if before != after:
            audit(request, "change", form.instance, changes={"channels": [before, after]})

    @admin.display(description="Of")
    def matched(self, route: AlertRoute) -> str:
        lists = {"kinds": route.kinds, "features": route.features, "tenants": route.tenants}
        return "; ".join(f"{name} {', '.join(globs)}" for name, globs in lists.items() if globs) or "everything"

    @admin.display(description="To")
    def channel_list(self, route: AlertRoute) -> str:
        return ", ".join(channel.name for channel in route.channels.all())

    @admin.display(description="Quiet hours", empty_value="–")
    def quiet(self, route: AlertRoute) -> str | None:
        if route.quiet_from is None or route.quiet_until is None:
            return None
        return f"{route.quiet_from:%H:%M} to {route.quiet_until:%H:%M} {route.quiet_timezone}"
