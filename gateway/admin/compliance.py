"""The page of the compliance report: what it says now, and downloads."""

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from gateway.compliance.report import FORMATS, Report, issue, make
from gateway.models import AuditEntry

PERMISSION = "tollhouse_gateway.report_compliance"


def urls(site: AdminSite) -> list[URLPattern]:
    """The page's address, among those of the audit log."""
    view = site.admin_view(lambda request: page(request, site))
    return [path("compliance/", view, name="tollhouse_gateway_auditentry_compliance")]


def page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Shows the report; sends it as a file when a format is asked for, which is an entry of the audit log."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    report = make(request.user.get_username())
    if request.method == "POST":
        return _file(report, request.POST.get("format", ""))
    head, *sections = report.sections
    context = {
        **site.each_context(request), "title": "Compliance report", "opts": AuditEntry._meta, "head": head, "sections": sections,
        "formats": FORMATS, "sees_log": request.user.has_perm("tollhouse_gateway.view_auditentry"),
    }  # fmt: skip
    return TemplateResponse(request, "tollhouse/compliance.html", context)


def _file(report: Report, format: str) -> HttpResponse:
    if format not in FORMATS:
        return HttpResponseBadRequest(f"Ask for one of: {', '.join(FORMATS)}.", content_type="text/plain")
    kind = FORMATS[format]
    answer = HttpResponse(issue(report, format), content_type=kind.content_type)
    answer["Content-Disposition"] = f'attachment; filename="compliance-{report.made_at:%Y-%m-%d}.{kind.suffix}"'
    return answer
