from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern, reverse

from gateway.admin import compliance
from gateway.admin.base import ReadOnlyAdmin, Tool
from gateway.admin.details import as_list
from gateway.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin[AuditEntry]):
    about = (
        "Who did what, when and why. The database refuses to change or delete an entry; `manage.py audit verify` finds out "
        "whoever went past that."
    )
    list_display = ["at", "actor", "action", "subject", "reason"]
    list_filter = ["action"]
    search_fields = ["subject", "actor"]
    search_help_text = "Subject or actor"
    fields = ["at", "actor", "action", "subject", "reason", "shown_detail"]

    def get_urls(self) -> list[URLPattern]:
        return [*compliance.urls(self.admin_site), *super().get_urls()]

    def list_tools(self, request: HttpRequest) -> list[Tool]:
        if not request.user.has_perm(compliance.PERMISSION):
            return []
        return [Tool(label="Compliance report", url=reverse("admin:tollhouse_gateway_auditentry_compliance"))]

    @admin.display(description="Detail")
    def shown_detail(self, entry: AuditEntry) -> str:
        return as_list(entry.detail, whole=True)
