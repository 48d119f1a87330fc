"""The admin of Tollhouse: Django's, with the product's name and a first page that shows what is live."""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest
from django.template.response import TemplateResponse

#: Apps and their models as the pages list them: what is looked at daily first. Others follow by name.
ORDER = {
    "dashboards": ("DashboardSpend", "DashboardReliability", "DashboardBudgets", "DashboardPrompts", "DashboardPrivacy"),
    "tollhouse_gateway": (
        "Call", "Export", "Feature", "PromptVersion", "Deployment", "Route", "Provider", "Key", "Price", "Bill", "BillLine",
        "Adjustment", "Hold", "Owner", "Worker", "AuditEntry", "TenantLimit", "RetentionKind", "RetentionRule", "LegalHold",
        "CallSum",
    ),
    "tollhouse_budgets": (
        "Budget", "Window", "RateLimit", "Bucket", "Switch", "SwitchTrigger", "Alert", "Channel", "AlertRoute", "Delivery",
    ),
    "tollhouse_redaction": (),
}  # fmt: skip


class DashboardPages(AdminSite):
    """An admin site with the dashboards in it: a project that has an admin site of its own derives it from this."""

    def get_urls(self) -> list[Any]:
        # Here, as models must not be imported before Django's apps are ready.
        from dashboards.pages.registry import urls

        return [*urls(self), *super().get_urls()]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        from dashboards.pages.registry import entries

        apps = super().get_app_list(request, app_label)
        if app_label is None and (pages := entries(request)):
            url = pages[0]["admin_url"]
            apps.insert(
                0,
                {
                    "name": "Dashboards",
                    "app_label": "dashboards",
                    "app_url": url,
                    "has_module_perms": True,
                    "models": pages,
                },
            )
        return apps


class TollhouseAdminSite(DashboardPages):
    site_header = "Tollhouse"
    site_title = "Tollhouse"
    index_title = "Overview"
    site_url = None
    index_template = "tollhouse/index.html"

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        # A project that has the admin of its own keeps its name and logo on all pages.
        return {**super().each_context(request), "own_site": True}

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        apps = super().get_app_list(request, app_label)
        for app in apps:
            app["models"].sort(key=lambda model: _place(model["object_name"], ORDER.get(app["app_label"], ())))
        return sorted(apps, key=lambda app: _place(app["app_label"], tuple(ORDER)))

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        # Here, as models must not be imported before Django's apps are ready.
        from dashboards.overview import overview
        from dashboards.pages.frame import Reading
        from dashboards.pages.headline import headline

        shown = {**overview(request.user), **headline(Reading.of(request))}
        context = {"data_plane": request.build_absolute_uri("/").rstrip("/"), **shown}
        return super().index(request, {**context, **(extra_context or {})})


class TollhouseAdminConfig(AdminConfig):
    default_site = "dashboards.admin_site.TollhouseAdminSite"


def _place(name: str, order: tuple[str, ...]) -> int:
    return order.index(name) if name in order else len(order)
