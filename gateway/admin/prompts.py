"""Prompts: their versions, and which of them are live."""

import json
from typing import Any

from django.contrib import admin
from django.db import models
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.html import format_html

from gateway.admin.base import AuditedAdmin, ReadOnlyAdmin, audit
from gateway.models import Deployment, PromptVersion, Variant


@admin.register(PromptVersion)
class PromptVersionAdmin(ReadOnlyAdmin[PromptVersion]):
    """A version stays as it was written; a change of the prompt is another version."""

    list_display = ["name", "origin", "live", "created_at", "created_by"]
    list_filter = ["origin"]
    search_fields = ["prompt__feature__slug", "address"]
    search_help_text = "Feature or address"
    fields = ["prompt", "address", "origin", "created_at", "created_by", "shown_content"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[PromptVersion]:
        found = super().get_queryset(request).select_related("prompt__feature")
        return found.annotate(weight=models.Max("variants__weight"))

    @admin.display(description="Version")
    def name(self, version: PromptVersion) -> str:
        return str(version)

    @admin.display(description="Live", boolean=True)
    def live(self, version: PromptVersion) -> bool:
        weight: int | None = getattr(version, "weight", None)
        return bool(weight)

    @admin.display(description="Content")
    def shown_content(self, version: PromptVersion) -> str:
        return format_html('<pre class="th-code">{}</pre>', json.dumps(version.content, indent=2, ensure_ascii=False))


class VariantInline(admin.TabularInline[Variant, Deployment]):
    model = Variant
    extra = 0

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "version":
            kwargs["queryset"] = PromptVersion.objects.select_related("prompt__feature").exclude(origin="observed")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(Deployment)
class DeploymentAdmin(AuditedAdmin[Deployment]):
    """Which versions of a prompt are live. The reason goes into the audit log."""

    list_display = ["prompt", "variants_live", "moved_at", "moved_by", "reason"]
    list_select_related = ["prompt__feature"]
    fields = ["prompt", "reason"]
    inlines = [VariantInline]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Deployment]:
        return super().get_queryset(request).prefetch_related("variants__version__prompt__feature")

    def get_readonly_fields(self, request: HttpRequest, obj: Deployment | None = None) -> list[str]:
        return ["prompt"] if obj else []

    @admin.display(description="Live")
    def variants_live(self, deployment: Deployment) -> str:
        return ", ".join(f"{v.version.short} ({v.weight})" for v in deployment.variants.all()) or "nothing"

    def save_related(self, request: HttpRequest, form: ModelForm[Deployment], formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        deployment = form.instance
        live = {v.version.address: v.weight for v in deployment.variants.select_related("version")}
        deployment.moved_by = request.user.get_username()
        deployment.moved_at = models.functions.Now()
        deployment.save(update_fields=["moved_by", "moved_at"])
        audit(request, "move", deployment, reason=deployment.reason, live=live)
