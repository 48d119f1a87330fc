"""Redaction policies."""

from django.contrib import admin

from redaction.models import RedactionPolicy


@admin.register(RedactionPolicy)
class RedactionPolicyAdmin(admin.ModelAdmin[RedactionPolicy]):
    list_display = ["name", "outbound", "stored", "threshold"]
    list_filter = ["outbound", "stored"]
    search_fields = ["name"]
