from django.contrib import admin

from gateway.admin.base import ReadOnlyAdmin
from gateway.models import Adjustment, Hold, Owner


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin[Hold]):
    list_display = ["call_id", "feature", "created_at", "expires_at", "owner"]

    @admin.display(description="Feature")
    def feature(self, hold: Hold) -> str:
        return str(hold.draft.get("feature", ""))


@admin.register(Owner)
class OwnerAdmin(ReadOnlyAdmin[Owner]):
    list_display = ["host", "pid", "started_at", "seen_at"]


@admin.register(Adjustment)
class AdjustmentAdmin(ReadOnlyAdmin[Adjustment]):
    list_display = ["created_at", "call_id", "cost_usd", "tokens", "outcome", "reason", "actor"]
    search_fields = ["=call_id"]
    search_help_text = "Id of a call"
