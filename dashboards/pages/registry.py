"""All pages of the dashboards, in the order of their tabs, and their addresses."""

from typing import Any

from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern, path

from dashboards.pages.budgets import BUDGETS
from dashboards.pages.frame import Page
from dashboards.pages.privacy import PRIVACY
from dashboards.pages.prompts import PROMPTS
from dashboards.pages.reliability import RELIABILITY
from dashboards.pages.saved import delete, save
from dashboards.pages.spend import SPEND

PAGES = {page.name: page for page in (SPEND, RELIABILITY, BUDGETS, PROMPTS, PRIVACY)}


def urls(site: AdminSite) -> list[URLPattern]:
    """The addresses of the pages, and of the data of their charts, in an admin site."""

    def show(request: HttpRequest, name: str) -> HttpResponse:
        return _page(name).view(request, site)

    def data(request: HttpRequest, name: str, chart: str) -> HttpResponse:
        return _page(name).data(request, chart)

    def save_view(request: HttpRequest, name: str) -> HttpResponse:
        return save(request, _page(name)) if request.method == "POST" else HttpResponseNotAllowed(["POST"])

    def delete_view(request: HttpRequest, name: str, pk: int) -> HttpResponse:
        return delete(request, _page(name), pk, site) if request.method == "POST" else HttpResponseNotAllowed(["POST"])

    return [
        path("dashboards/<slug:name>/views/", site.admin_view(save_view), name="dashboard_save"),
        path("dashboards/<slug:name>/views/<int:pk>/delete/", site.admin_view(delete_view), name="dashboard_delete"),
        path("dashboards/<slug:name>/", site.admin_view(show), name="dashboard"),
        path("dashboards/<slug:name>/data/<slug:chart>/", site.admin_view(data), name="dashboard_data"),
    ]


def entries(request: HttpRequest) -> list[dict[str, Any]]:
    """The pages that the reader may see, as the admin lists its models."""
    return [
        {
            "name": page.title,
            "object_name": f"Dashboard{page.name.title()}",
            "admin_url": page.url,
            "add_url": None,
            "view_only": True,
            "perms": {},
        }
        for page in PAGES.values()
        if request.user.has_perm(page.permission)
    ]


def _page(name: str) -> Page:
    try:
        return PAGES[name]
    except KeyError:
        raise Http404(f"There is no dashboard {name}; there are {', '.join(PAGES)}.") from None
