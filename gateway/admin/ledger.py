"""What the ledger keeps beside the calls: holds, owners, adjustments."""

from django.contrib import admin

from gateway.admin.base import ReadOnlyAdmin
from gateway.models import Adjustment, Hold, Owner, Worker


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin[Hold]):
    about = (
        "The most that each call in flight can cost. The ledger sets holds aside and releases them; those of a dead owner "
        "become calls with the outcome lost."
    )
    list_display = ["call_id", "feature", "created_at", "expires_at", "owner"]
    fields = ["call_id", "feature", "created_at", "expires_at", "owner", "windows", "amounts"]
    ordering = ["-created_at"]
    search_fields = ["=call_id", "=draft__feature"]
    search_help_text = "Id of a call, or a feature"

    @admin.display(description="Feature")
    def feature(self, hold: Hold) -> str:
        return str(hold.draft.get("feature", ""))


@admin.register(Owner)
class OwnerAdmin(ReadOnlyAdmin[Owner]):
    about = "One row for each process that writes to the ledger. One that was not seen for a while counts as dead."
    list_display = ["host", "pid", "started_at", "seen_at"]
    ordering = ["-seen_at"]
    search_fields = ["host"]
    search_help_text = "Host"


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin[Worker]):
    about = "One row for each `manage.py worker`, and when it was last seen. Without one, alerts wait and partitions run short."
    list_display = ["host", "pid", "started_at", "seen_at"]
    ordering = ["-seen_at"]
    search_fields = ["host"]
    search_help_text = "Host"


@admin.register(Adjustment)
class AdjustmentAdmin(ReadOnlyAdmin[Adjustment]):
    about = (
        "Corrections of calls after their rows were written, or of a line of a vendor's bill; the rows themselves stay as "
        "they are."
    )
    list_select_related = ["bill_line"]
    list_display = ["created_at", "call_id", "bill_line", "cost_usd", "tokens", "outcome", "reason", "actor"]
    search_fields = ["=call_id"]
    search_help_text = "Id of a call"
