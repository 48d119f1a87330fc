from django.contrib import admin

from gateway.admin.base import ReadOnlyAdmin
from gateway.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin[AuditEntry]):
    list_display = ["at", "actor", "action", "subject", "reason"]
    list_filter = ["action"]
    search_fields = ["subject", "actor"]
    search_help_text = "Subject or actor"
