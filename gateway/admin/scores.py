"""Scores on the page of a call: what was said of it, and what whoever looks at it says."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse

from gateway.access import visible
from gateway.admin.call_list import readable
from gateway.errors import GatewayError
from gateway.models import Call, Score
from gateway.scores import add, checked

#: Scores that a page shows at most.
MOST = 50
VALUES = {"up": True, "down": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A score in words. `author` is a user's reference, empty for other sources."""

    kind: str
    name: str
    says: str
    tone: str
    who: str
    author: str
    at: datetime


def of_call(request: HttpRequest, call: Call) -> list[Said] | None:
    """What each source says of the call, the newest first; None where the reader may not see it."""
    if not request.user.has_perm("tollhouse_gateway.view_score"):
        return None
    rows = visible(Score.objects.filter(call_id=call.id), request.user)
    last = rows.order_by("kind", "name", "source", "author", "-number").distinct("kind", "name", "source", "author")
    return sorted((_said(row) for row in last[:MOST]), key=lambda said: said.at, reverse=True)


def score(page: admin.ModelAdmin[Call], request: HttpRequest, id: UUID) -> HttpResponse:
    """Thumbs up or down, by whoever is logged in."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not request.user.has_perm("tollhouse_gateway.add_score"):
        raise PermissionDenied
    if not readable(request).filter(id=id).exists():
        raise Http404(f"There is no call {id}.")
    value = VALUES.get(request.POST.get("value", ""))
    try:
        # The id is that of a call that the reader sees.
        say = checked(id, "feedback", value, "", source=f"staff:{request.user.get_username()}")
        noted = add(say, lambda feature, tenant: True)
    except GatewayError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "Noted." if noted.new else "You had said so already.")
    return HttpResponseRedirect(reverse("admin:tollhouse_gateway_call_change", args=[id]) + "#scores")


def _said(row: Score) -> Said:
    says, tone = _words(row.kind, row.value)
    kind, _, name = row.source.partition(":")
    who = {"user": "a user", "app": "the application", "eval": "an eval", "key": f"the key {name}", "staff": name}
    return Said(
        kind=row.kind, name=row.name, says=says, tone=tone, who=who.get(kind, row.source), author=row.author,
        at=row.created_at,
    )  # fmt: skip


def _words(kind: str, value: float) -> tuple[str, str]:
    """What a value means, and its tone."""
    if kind == "eval":
        return ("passed", "good") if value else ("failed", "bad")
    if kind == "edit":
        return (f"{100 * value:.0f}% changed", "warn") if value else ("sent as it was", "good")
    words = {1.0: "good", -1.0: "bad"}.get(value, f"{value:+.2f}")
    return words, "good" if value > 0 else "bad" if value < 0 else ""
