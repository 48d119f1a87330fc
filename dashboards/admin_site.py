"""The admin of Tollhouse: Django's, with the product's name and a first page that shows what is live."""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest
from django.template.response import TemplateResponse


class TollhouseAdminSite(AdminSite):
    site_header = "Tollhouse"
    site_title = "Tollhouse"
    index_title = "Overview"
    site_url = None
    index_template = "tollhouse/index.html"

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        # Here, as models must not be imported before Django's apps are ready.
        from dashboards.overview import overview

        allowed = request.user.has_perm("tollhouse_gateway.view_call")
        return super().index(request, {**(overview() if allowed else {}), "overview": allowed, **(extra_context or {})})


class TollhouseAdminConfig(AdminConfig):
    default_site = "dashboards.admin_site.TollhouseAdminSite"
