"""Pages that the dashboards add to the gate's own in the admin."""

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern, path

import dashboards.digests.admin  # noqa: F401 - its pages
from dashboards.feature_page import page
from dashboards.models import RollupState
from gateway.admin.base import ReadOnlyAdmin, Tool
from gateway.admin.catalog import FeatureAdmin
from gateway.links import feature_url
from gateway.models import Feature

admin.site.unregister(Feature)


@admin.register(Feature)
class FeatureWithSpendAdmin(FeatureAdmin):
    """Features, each with the page of its spend. Its address has the slug, as an alert knows no more."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(lambda request, slug: page(self, request, slug))
        return [path("<str:slug>/spend/", view, name="tollhouse_gateway_feature_spend"), *super().get_urls()]

    def tools(self, request: HttpRequest, obj: Feature) -> list[Tool]:
        return [*super().tools(request, obj), Tool(label="Spend", url=feature_url(obj.slug))]


@admin.register(RollupState)
class RollupStateAdmin(ReadOnlyAdmin[RollupState]):
    about = (
        "How far the sums are that dashboards read. The worker counts new calls every few seconds; until then pages add them up "
        "themselves, so figures are exact at every moment."
    )
    search_fields = ["time_zone"]
    search_help_text = "Time zone"
    list_display = ["__str__", "built", "built_until", "rolled_at", "time_zone"]
