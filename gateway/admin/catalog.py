"""Features, routes, providers and keys. Changes are in force within a second."""

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.html import format_html

from gateway import keys, secrets
from gateway.admin.base import AuditedAdmin, audit
from gateway.conf import settings
from gateway.models import Feature, Key, Provider, Route, Target
from gateway.providers import KINDS
from gateway.providers.guard import check_url


@admin.register(Feature)
class FeatureAdmin(AuditedAdmin[Feature]):
    list_display = ["slug", "description", "owner", "route", "policy", "max_output_tokens"]
    list_filter = ["owner", "route"]
    list_select_related = ["route", "policy"]
    search_fields = ["slug", "description"]
    search_help_text = "Slug or description"


class TargetInline(admin.TabularInline[Target, Route]):
    model = Target
    extra = 1


@admin.register(Route)
class RouteAdmin(AuditedAdmin[Route]):
    list_display = ["name", "target_list", "timeout_s", "retries"]
    search_fields = ["name"]
    inlines = [TargetInline]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Route]:
        return super().get_queryset(request).prefetch_related("targets__provider")

    @admin.display(description="Targets, in order of fallback")
    def target_list(self, route: Route) -> str:
        return " → ".join(str(target) for target in route.targets.all())


class ProviderForm(forms.ModelForm[Provider]):
    kind = forms.ChoiceField(choices=lambda: [(kind, kind) for kind in KINDS])
    api_key = forms.CharField(
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="For servers of one's own. Stored encrypted and bound to the address; never shown again. Empty: as it was.",
    )

    class Meta:
        model = Provider
        fields = ["name", "kind", "base_url", "api_key_env", "price_provider", "options", "max_concurrent"]

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if kind := KINDS.get(found.get("kind", "")):
            self._check("options", kind.check_options, found.get("options") or {})
            if found.get("base_url") or (kind.NEEDS_URL and "base_url" not in self.errors):
                allow = settings().ALLOW_PRIVATE_UPSTREAMS
                self._check("base_url", partial(check_url, allow_private=allow), found.get("base_url", ""))
        if found.get("api_key") and found.get("api_key_env"):
            raise forms.ValidationError("Give a key or the variable that holds one, not both.")
        return found

    def _check(self, field: str, check: Callable[[Any], None], value: Any) -> None:
        try:
            check(value)
        except ValueError as error:
            self.add_error(field, f"{error}.")


@admin.register(Provider)
class ProviderAdmin(AuditedAdmin[Provider]):
    form = ProviderForm
    fields = ["name", "kind", "base_url", "api_key_env", "api_key", "price_provider", "options", "max_concurrent"]
    list_display = ["name", "kind", "base_url", "key_source"]
    search_fields = ["name", "base_url"]

    @admin.display(description="Key")
    def key_source(self, provider: Provider) -> str:
        return (
            f"from {provider.api_key_env}"
            if provider.api_key_env
            else "stored"
            if provider.api_key_encrypted
            else "none"
        )

    def save_model(self, request: HttpRequest, obj: Provider, form: Any, change: bool) -> None:
        if key := form.cleaned_data["api_key"]:
            obj.api_key_encrypted = secrets.encrypt(key, bound_to=urlsplit(obj.base_url).netloc)
        elif obj.api_key_env:
            obj.api_key_encrypted = ""
        super().save_model(request, obj, form, change)


@admin.register(Key)
class KeyAdmin(AuditedAdmin[Key]):
    list_display = ["name", "prefix_shown", "features", "tenant", "expires_at", "state"]
    search_fields = ["name", "tenant"]
    fields = ["name", "features", "default_feature", "tenant", "expires_at"]
    actions = ["revoke"]

    def has_delete_permission(self, request: HttpRequest, obj: Key | None = None) -> bool:
        # Rows name their key; a key that is no longer wanted is revoked.
        return False

    @admin.display(description="Begins with")
    def prefix_shown(self, key: Key) -> str:
        return f"{key.prefix}…"

    @admin.display(description="State")
    def state(self, key: Key) -> str:
        return "revoked" if key.revoked_at else "in force"

    def save_model(self, request: HttpRequest, obj: Key, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        text = keys.make()
        obj.prefix, obj.digest = text[:8], keys.digest(text)
        super().save_model(request, obj, form, change)
        note = format_html("The key of {} is shown this once; copy it now: <code>{}</code>", obj.name, text)
        messages.warning(request, note)

    @admin.action(description="Revoke: refuse these keys from now on", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: models.QuerySet[Key]) -> None:
        for key in queryset.filter(revoked_at=None):
            audit(request, "revoke", key)
        queryset.filter(revoked_at=None).update(revoked_at=Now())
