"""Prompt versions: the list, and the page of one version with what changed, where it is live and what it did."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from gateway.access import tenants_of, visible
from gateway.admin.base import ReadOnlyAdmin
from gateway.admin.playground import playground
from gateway.models import PromptVersion, Variant
from gateway.prompts.deploy import history, live_since
from gateway.prompts.diff import diff
from gateway.prompts.figures import DAYS, figures
from gateway.prompts.text import dumps

#: How many versions are offered for comparison, newest first.
MOST_OTHERS = 100


@admin.register(PromptVersion)
class PromptVersionAdmin(ReadOnlyAdmin[PromptVersion]):
    """A version stays as it was written; a change of the prompt is another version."""

    list_display = ["name", "live", "origin", "created_at", "created_by"]
    list_filter = ["origin"]
    search_fields = ["prompt__feature__slug", "address"]
    search_help_text = "Feature or address"

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[PromptVersion]:
        found = super().get_queryset(request).select_related("prompt__feature")
        return found.prefetch_related("variants")

    def get_urls(self) -> list[URLPattern]:
        name = "tollhouse_gateway_promptversion_playground"
        view = self.admin_site.admin_view(lambda request: playground(self, request))
        return [path("playground/", view, name=name), *super().get_urls()]

    @admin.display(description="Version")
    def name(self, version: PromptVersion) -> str:
        return str(version)

    @admin.display(description="Live, with weight")
    def live(self, version: PromptVersion) -> str:
        return ", ".join(str(variant.weight) for variant in version.variants.all()) or "–"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method == "POST" or not self.has_view_permission(request):
            raise PermissionDenied
        version = self.get_object(request, object_id)
        if version is None:
            raise Http404(f"There is no prompt version {object_id}.")
        slug, days = str(version.prompt), chosen_days(request)
        live = list(Variant.objects.filter(version__prompt=version.prompt).select_related("version"))
        others = _others(request, version, live)
        against = _against(request, others)
        counted = figures(slug, [version.address], days, tenants_of(request.user))
        context = {
            **self.admin_site.each_context(request),
            "title": str(version),
            "opts": self.opts,
            "version": version,
            "deployment": getattr(version.prompt, "deployment", None),
            "variant": next((variant for variant in live if variant.version_id == version.pk), None),
            "whole": sum(variant.weight for variant in live),
            "since": live_since(history(version.prompt)).get(version.address),
            "days": days,
            "periods": DAYS,
            "figures": counted[version.address] if counted else None,
            "others": others,
            "against": against,
            "parts": diff(against.content, version.content) if against else [],
            "text": dumps(version.content),
            "observed": version.origin == PromptVersion.Origin.OBSERVED,
        }
        return TemplateResponse(request, "admin/tollhouse_gateway/promptversion/page.html", context)


def chosen_days(request: HttpRequest) -> int:
    """The period that the address asks for; a week where it asks for none."""
    return next((days for days in DAYS if str(days) == request.GET.get("days")), 7)


def _others(request: HttpRequest, version: PromptVersion, live: list[Variant]) -> list[PromptVersion]:
    """The other versions of the prompt: those that are live, the one that was written before it, then the rest."""
    kin = visible(version.prompt.versions.select_related("prompt__feature"), request.user).exclude(pk=version.pk)
    if version.origin != PromptVersion.Origin.OBSERVED:
        kin = kin.exclude(origin=PromptVersion.Origin.OBSERVED)
    weights = {variant.version_id: variant.weight for variant in live}
    before = kin.filter(id__lt=version.pk).order_by("-id").first()

    def rank(other: PromptVersion) -> tuple[int, bool, int]:
        return -weights.get(other.pk, 0), other != before, -other.pk

    found = {other.pk: other for other in kin.order_by("-id")[:MOST_OTHERS]}
    found |= {other.pk: other for other in kin.filter(pk__in=weights)} | ({before.pk: before} if before else {})
    return sorted(found.values(), key=rank)


def _against(request: HttpRequest, others: list[PromptVersion]) -> PromptVersion | None:
    wanted = request.GET.get("against", "")
    return next((other for other in others if str(other.pk) == wanted), others[0] if others else None)
