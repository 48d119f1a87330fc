"""Features, routes and providers. Changes are in force within a second."""

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin
from django.db import models
from django.http import HttpRequest

from gateway import secrets
from gateway.access import tenants_of
from gateway.admin.base import AuditedAdmin
from gateway.admin.fields import LinesField
from gateway.admin.portable import PortableAdmin
from gateway.conf import settings
from gateway.models import Feature, Provider, Route, Target
from gateway.providers import KINDS
from gateway.providers.guard import check_url


class FeatureForm(forms.ModelForm[Feature]):
    rollout_tenants = LinesField(required=False, label="Tenants", help_text="It is on for these; one a line.")
    rollout_cohorts = LinesField(required=False, label="Cohorts", help_text="And for these; one a line.")

    class Meta:
        model = Feature
        fields = [
            "slug", "description", "owner", "route", "policy", "max_output_tokens", "unpriced", "cache_ttl_s", "phase",
            "rollout_tenants", "rollout_cohorts", "rollout_percent", "disclosure",
            "on_ledger_away", "spool_limit_usd", "on_disconnect",
        ]  # fmt: skip
        labels = {
            "cache_ttl_s": "Keep replies for",
            "rollout_percent": "Share of everybody else",
            "on_ledger_away": "Without the ledger",
            "spool_limit_usd": "Spool limit, US dollars",
            "on_disconnect": "When the client leaves",
        }
        widgets = {"disclosure": forms.Textarea(attrs={"rows": 2})}


@admin.register(Feature)
class FeatureAdmin(PortableAdmin[Feature], AuditedAdmin[Feature]):
    about = (
        "A named use of a model in the product: the unit of budgets, prompts, switches and dashboards. Clients name a "
        "feature as their model."
    )
    form = FeatureForm
    fixed = identity = ("slug",)
    list_display = ["slug", "description", "owner", "route", "policy", "phase"]
    list_filter = ["phase", "owner", "route", "policy"]
    list_select_related = ["route", "policy"]
    search_fields = ["slug", "description"]
    search_help_text = "Slug or description"
    fieldsets = [
        (None, {"fields": ["slug", "description", "owner"]}),
        ("How it is answered", {"fields": ["route", "policy", "max_output_tokens", "unpriced", "cache_ttl_s"]}),
        ("When something breaks", {"fields": [("on_ledger_away", "spool_limit_usd"), "on_disconnect"]}),
        (
            "Whom it is on for",
            {
                "fields": [
                    "phase",
                    ("rollout_tenants", "rollout_cohorts"),
                    "rollout_percent",
                    "disclosure",
                ],
            },
        ),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Feature | None = None) -> Any:
        found = super().get_fieldsets(request, obj)
        # Whom it is on for names tenants.
        return found if tenants_of(request.user) is None else found[:-1]


class LabelledFormSet(forms.BaseInlineFormSet[Target, Route, Any]):
    """Rows whose fields are named for those who hear the page, too: to them the head of a column is no label."""

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        for field in form.fields.values():
            field.widget.attrs["aria-label"] = field.label


class TargetInline(admin.TabularInline[Target, Route]):
    model = Target
    formset = LabelledFormSet
    extra = 1

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Target]:
        return super().get_queryset(request).select_related("provider")


class RouteForm(forms.ModelForm[Route]):
    class Meta:
        model = Route
        fields = [
            "name", "timeout_s", "connect_timeout_s", "first_token_timeout_s", "reply_timeout_s", "retries", "hedge_after_s",
        ]  # fmt: skip
        labels = {
            "timeout_s": "Timeout, seconds",
            "connect_timeout_s": "Connect timeout, seconds",
            "first_token_timeout_s": "First token timeout, seconds",
            "reply_timeout_s": "Reply timeout, seconds",
            "hedge_after_s": "Hedge after, seconds",
        }
        help_texts = {
            "timeout_s": "For the whole call, all attempts together.",
            "connect_timeout_s": "Until a connection stands.",
            "first_token_timeout_s": "Until the first byte of a streamed reply.",
            "reply_timeout_s": "For one attempt at a plain reply; empty: none of its own.",
        }


@admin.register(Route)
class RouteAdmin(AuditedAdmin[Route]):
    about = "Providers and models in order of fallback, and the patience that a call over them has."
    form = RouteForm
    fixed = ("name",)
    list_display = ["name", "target_list", "shown_timeout", "retries"]
    list_filter = ["targets__provider"]
    search_fields = ["name"]
    search_help_text = "Name"
    inlines = [TargetInline]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "name",
                    ("timeout_s", "connect_timeout_s"),
                    ("first_token_timeout_s", "reply_timeout_s"),
                    "retries",
                    "hedge_after_s",
                ]
            },
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Route]:
        return super().get_queryset(request).prefetch_related("targets__provider")

    @admin.display(description="Targets, in order of fallback")
    def target_list(self, route: Route) -> str:
        return " → ".join(str(target) for target in route.targets.all())

    @admin.display(description="Timeout", ordering="timeout_s")
    def shown_timeout(self, route: Route) -> str:
        return f"{route.timeout_s:g} s"


class ProviderForm(forms.ModelForm[Provider]):
    kind = forms.ChoiceField(
        choices=lambda: [(kind, kind) for kind in KINDS],
        help_text="openai: any server that speaks OpenAI's API; anthropic, azure; litellm: the rest; sandbox: nobody.",
    )
    api_key = forms.CharField(
        required=False,
        label="API key",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="For servers of one's own. Stored encrypted and bound to the address; never shown again. Empty: as it was.",
    )

    class Meta:
        model = Provider
        fields = ["name", "kind", "base_url", "api_key_env", "price_provider", "options", "max_concurrent"]
        labels = {
            "base_url": "Base URL",
            "api_key_env": "Variable with the API key",
            "price_provider": "Name in the price book",
            "max_concurrent": "Calls at once",
        }
        help_texts = {"price_provider": "Where it differs from this provider's name."}

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if kind := KINDS.get(found.get("kind", "")):
            self._check("options", kind.check_options, found.get("options") or {})
            if found.get("base_url") or (kind.NEEDS_URL and "base_url" not in self.errors):
                allow = settings().ALLOW_PRIVATE_UPSTREAMS
                self._check("base_url", partial(check_url, allow_private=allow), found.get("base_url", ""))
        if found.get("api_key") and found.get("api_key_env"):
            raise forms.ValidationError("Give a key or the variable that holds one, not both.")
        before = urlsplit(self.initial.get("base_url", "")).netloc
        moved = "base_url" in found and urlsplit(found["base_url"]).netloc != before
        stored = self.instance.api_key_encrypted and not found.get("api_key") and not found.get("api_key_env")
        if moved and stored:
            self.add_error("api_key", f"The stored key is for {before} only; give the key of the new address.")
        return found

    def _check(self, field: str, check: Callable[[Any], None], value: Any) -> None:
        try:
            check(value)
        except ValueError as error:
            text = str(error)
            self.add_error(field, f"{text[0].upper()}{text[1:]}.")


@admin.register(Provider)
class ProviderAdmin(AuditedAdmin[Provider]):
    about = "An account at a model vendor, or a server of one's own."
    form = ProviderForm
    fixed = ("name",)
    fields = [
        "name", "kind", "base_url", "key_source", "api_key_env", "api_key", "price_provider", "options", "max_concurrent",
    ]  # fmt: skip
    readonly_fields = ["key_source"]
    list_display = ["name", "kind", "base_url", "key_source"]
    list_filter = ["kind"]
    search_fields = ["name", "base_url"]
    search_help_text = "Name or address"

    @admin.display(description="Key so far")
    def key_source(self, provider: Provider) -> str:
        if provider.api_key_env:
            return f"from {provider.api_key_env}"
        return "stored" if provider.api_key_encrypted else "none"

    def save_model(self, request: HttpRequest, obj: Provider, form: Any, change: bool) -> None:
        if key := form.cleaned_data["api_key"]:
            obj.api_key_encrypted = secrets.encrypt(key, bound_to=urlsplit(obj.base_url).netloc)
        elif obj.api_key_env:
            obj.api_key_encrypted = ""
        super().save_model(request, obj, form, change)
