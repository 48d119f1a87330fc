"""Calls: the list, and the page of one call."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse

from gateway.access import visible, visible_calls
from gateway.admin import privacy
from gateway.admin.base import ReadOnlyAdmin, audit
from gateway.admin.call_list import PERIODS, Filters, TooMuch, read
from gateway.admin.switches import link_of_filters, links_of_call
from gateway.models import Adjustment, Call, Feature, Payload, Price, PromptVersion
from gateway.prices.rates import MILLION, Rates
from gateway.types import OUTCOMES, TOKEN_PARTS

STAGES = ("identify", "render", "redact", "cache", "price", "hold", "send", "redact_reply")
#: Kinds of outcome, for colour; the word itself is always shown too.
TONES = {
    "ok": "good", "truncated": "warn", "filtered": "warn", "cancelled": "warn", "lost": "bad", "provider_error": "bad",
    "timeout": "bad", "ledger_unavailable": "bad",
}  # fmt: skip


@dataclass(frozen=True)
class Bar:
    """A stage or attempt in the timeline; start and width in thousandths of the whole."""

    name: str
    ms: float
    start: int
    width: int
    kind: str = "stage"
    note: str = ""


@dataclass(frozen=True)
class MoneyLine:
    """Tokens of one part, at their rate per million, and what they cost, in US dollars."""

    part: str
    tokens: int
    rate: Decimal | None
    usd: Decimal | None


@admin.register(Call)
class CallAdmin(ReadOnlyAdmin[Call]):
    """The list is ours: the admin's own would count all rows and page by offset."""

    about = "One row for each passage through the gate, whatever happened. Nobody can change one; a correction is an adjustment."

    def get_urls(self) -> list[URLPattern]:
        return [*privacy.urls(self.admin_site), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if wanted := request.GET.get("id", "").strip():
            return self._jump(request, wanted)
        filters = Filters.of(request.GET.dict())
        try:
            page = read(filters, visible_calls(request.user))
        except TooMuch:
            page = None
        context = {
            **self.admin_site.each_context(request),
            "title": "Calls",
            "about": self.about,
            "opts": self.opts,
            "filters": filters,
            "page": page,
            "periods": {key: label for key, (label, _) in PERIODS.items()},
            "features": Feature.objects.values_list("slug", flat=True),
            "outcomes": OUTCOMES,
            "tones": TONES,
            "off_links": link_of_filters(request, filters.exact),
            "rights": privacy.may_see(request),
            "anything": page is not None and (page.calls or visible_calls(request.user).exists()),
        }
        return TemplateResponse(request, "admin/tollhouse_gateway/call/list.html", context)

    def _jump(self, request: HttpRequest, wanted: str) -> HttpResponse:
        try:
            return HttpResponseRedirect(reverse("admin:tollhouse_gateway_call_change", args=[UUID(wanted)]))
        except ValueError:
            messages.error(request, f"“{wanted}” is no id of a call; it looks like 0190a2b4-….")
            return HttpResponseRedirect(reverse("admin:tollhouse_gateway_call_changelist"))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            call = visible_calls(request.user).filter(id=UUID(object_id)).first()
        except ValueError:
            call = None
        if not self.has_view_permission(request):
            raise PermissionDenied
        if call is None:
            raise Http404(f"There is no call {object_id}.")
        price = Price.objects.filter(id=call.price_id).first() if call.price_id else None
        may_read = request.user.has_perm("tollhouse_gateway.read_payload")
        asked = request.method == "POST" and "payload" in request.POST
        if asked and not may_read:
            raise PermissionDenied
        payload = None
        if asked:
            payload = Payload.objects.filter(id=call.id).first()
            audit(request, "read", Payload(id=call.id))
        context = {
            **self.admin_site.each_context(request),
            "title": f"{call.feature}",
            "opts": self.opts,
            "call": call,
            "tone": TONES.get(call.outcome, "bad"),
            "bars": list(timeline(call)),
            "money": money(call, price),
            "price": price,
            "adjustments": Adjustment.objects.filter(call_id=call.id),
            "version": _version(request, call),
            "may_read": may_read,
            "asked": asked,
            "payload": payload,
            "off_links": links_of_call(request, call),
        }
        return TemplateResponse(request, "admin/tollhouse_gateway/call/page.html", context)


def timeline(call: Call) -> Iterator[Bar]:
    """The stages of a call, one after the other, with failed attempts inside of the sending."""
    # The database keeps an object's keys in an order of its own; a stage that is no longer known comes last.
    order = {name: place for place, name in enumerate(STAGES)}
    found = call.trace.get("stages", {})
    stages = {name: found[name] for name in sorted(found, key=lambda name: order.get(name, len(order)))}
    whole = max(sum(stages.values()), 0.001)
    at = 0.0
    for name, ms in stages.items():
        yield _bar(name, ms, at, whole)
        if name == "send":
            inside = at
            for attempt in call.trace.get("attempts", []):
                note = f"{attempt['outcome']}{' ' + str(attempt['status']) if attempt.get('status') else ''}"
                yield _bar(attempt["target"], attempt["ms"], inside, whole, kind="attempt", note=note)
                inside += attempt["ms"]
        at += ms


def _bar(name: str, ms: float, at: float, whole: float, *, kind: str = "stage", note: str = "") -> Bar:
    start = min(996, round(1000 * at / whole))
    width = min(1000 - start, max(4, round(1000 * ms / whole)))
    return Bar(name=name, ms=ms, start=start, width=width, kind=kind, note=note)


def money(call: Call, price: Price | None) -> list[MoneyLine]:
    """Each part of the usage at the rate of the price row that the call used, where there is one."""
    all_input = call.input_tokens + call.cache_read_tokens + call.cache_write_tokens + call.audio_input_tokens
    rates = Rates.parse(price.rates).at(call.started_at.time()).level(all_input).usd_per_token if price else {}
    lines = []
    for column in TOKEN_PARTS:
        tokens, part = getattr(call, column), column.removesuffix("_tokens")
        if tokens:
            rate = rates.get(part)
            usd = None if rate is None else rate * tokens
            lines.append(MoneyLine(part.replace("_", " "), tokens, None if rate is None else rate * MILLION, usd))
    return lines


def _version(request: HttpRequest, call: Call) -> PromptVersion | None:
    if not call.prompt_version:
        return None
    versions = visible(PromptVersion.objects.select_related("prompt__feature"), request.user)
    return versions.filter(address=call.prompt_version, prompt__feature__slug=call.feature).first()
