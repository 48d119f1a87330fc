"""Reading what calls said: needs a permission of its own, and every reading is an entry of the audit log."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from gateway.admin.base import audit
from gateway.models import Call, Payload


def may_read(request: HttpRequest) -> bool:
    return request.user.has_perm("tollhouse_gateway.read_payload")


def read_payloads(request: HttpRequest, calls: Sequence[Call]) -> dict[UUID, Any]:
    """What these calls said, by their id, as far as it is kept. Raises PermissionDenied."""
    if not may_read(request):
        raise PermissionDenied
    return taken(request, calls)


def taken(request: HttpRequest, calls: Sequence[Call], **detail: Any) -> dict[UUID, Any]:
    """The same for what is not shown to anybody now, with more detail in the log. The caller has checked permissions."""
    found = dict(Payload.objects.filter(id__in=[call.id for call in calls]).values_list("id", "content"))
    for call in calls:
        audit(request, "read", Payload(id=call.id), **detail)
    return found


def messages_of(content: Any) -> list[Any] | None:
    """The messages of a payload; None where none are kept, or only their hash."""
    found = content.get("messages") if isinstance(content, dict) else None
    return found if isinstance(found, list) else None
