"""Calls: the list, and the page of one call."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode

from gateway.access import visible
from gateway.admin import call_pages, exports, privacy, scores
from gateway.admin.base import ReadOnlyAdmin
from gateway.admin.call_list import PERIODS, Filters, TooMuch, read, readable, readable_steps, renamed
from gateway.admin.call_list import TONES as TONES
from gateway.admin.payloads import may_read, messages_of, read_payloads
from gateway.admin.switches import link_of_filters, links_of_call
from gateway.conf import settings
from gateway.explorer.background import may_export
from gateway.explorer.curl import curl
from gateway.explorer.fields import FIELDS
from gateway.explorer.query import quote
from gateway.explorer.suggest import suggestions
from gateway.explorer.trace import related, stages, waterfall
from gateway.models import Adjustment, Call, Price, PromptVersion
from gateway.prices.rates import MILLION, Rates
from gateway.types import TOKEN_PARTS

#: Queries that the help offers.
EXAMPLES = (
    ("feature:support.* -outcome:ok", "calls of these features that went wrong"),
    ("cost>0.05 latency>2s", "dear and slow ones"),
    ("tenant:acme model:gpt-*,claude-* attempts>1", "of a tenant, with retries"),
    ("label:team=checkout prompt:3f2a9c41", "of a team, with this prompt version"),
    ('outcome:timeout "rate limit" since:2026-11-01', "words in the reason, the error or a name"),
)


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
        pages = {"session": call_pages.session, "suggest": suggest, "export": exports.export}
        pages_of_one = {
            "compare": call_pages.compare,
            "replay": call_pages.replay,
            "keep": call_pages.keep,
            "score": scores.score,
        }
        return [
            *privacy.urls(self.admin_site),
            *(path(f"{name}/", self._view(view), name=f"tollhouse_gateway_call_{name}") for name, view in pages.items()),
            *(path(f"<uuid:id>/{name}/", self._view(view), name=f"tollhouse_gateway_call_{name}")
              for name, view in pages_of_one.items()),
            *super().get_urls(),
        ]  # fmt: skip

    def _view(self, view: Any) -> Any:
        """The view, for those who may see calls."""

        def guarded(request: HttpRequest, **given: UUID) -> HttpResponse:
            if not self.has_view_permission(request):
                raise PermissionDenied
            answer: HttpResponse = view(self, request, **given)
            return answer

        return self.admin_site.admin_view(guarded)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        given = request.GET.dict()
        if wanted := given.get("id", "").strip():
            return self._jump(wanted)
        if address := renamed(given):
            return HttpResponseRedirect(address)
        filters = Filters.asked(request)
        if (id := _whole_id(filters.text)) and readable(request).filter(id=id).exists():
            return HttpResponseRedirect(reverse("admin:tollhouse_gateway_call_change", args=[id]))
        try:
            page = read(filters, readable(request))
        except TooMuch:
            page = None
        context = {
            **self.admin_site.each_context(request),
            "title": "Calls",
            "about": self.about,
            "opts": self.opts,
            "filters": filters,
            "page": page,
            "periods": PERIODS,
            "fields": FIELDS.values(),
            "field_help": {field.name: field.help for field in FIELDS.values()},
            "examples": EXAMPLES,
            "tones": TONES,
            "off_links": link_of_filters(request, filters.query.exact()),
            "rights": privacy.may_see(request),
            "exports": may_export(request.user),
            "anything": page is not None and (page.calls or readable(request).exists()),
        }
        return TemplateResponse(request, "admin/tollhouse_gateway/call/list.html", context)

    def _jump(self, wanted: str) -> HttpResponse:
        """To the call of that id; the list says what is wrong with one that is none."""
        if id := _whole_id(wanted):
            return HttpResponseRedirect(reverse("admin:tollhouse_gateway_call_change", args=[id]))
        return HttpResponseRedirect("?" + urlencode({"q": f"id:{quote(wanted)}"}))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        id = _whole_id(object_id)
        call = readable(request).filter(id=id).first() if id else None
        if call is None:
            raise Http404(f"There is no call {object_id}.")
        asked = request.method == "POST" and "payload" in request.POST
        payload = read_payloads(request, [call]).get(call.id) if asked else None
        near = related(call, readable(request), readable_steps(request))
        price = Price.objects.filter(id=call.price_id).first() if call.price_id else None
        context = {
            **self.admin_site.each_context(request),
            **call_pages.replaying(request),
            "title": f"{call.feature}",
            "opts": self.opts,
            "call": call,
            "tones": TONES,
            "tone": TONES.get(call.outcome, "bad"),
            "bars": list(stages(call)),
            "near": near,
            "lines": waterfall(near or []),
            "money": money(call, price),
            "price": price,
            "adjustments": Adjustment.objects.filter(call_id=call.id),
            "version": _version(request, call),
            "may_read": may_read(request),
            "asked": asked,
            "payload": payload,
            "curl": curl(call, base_url(request), messages_of(payload)),
            "scores": scores.of_call(request, call),
            "datasets": call_pages.datasets_for(request),
            "off_links": links_of_call(request, call),
        }
        return TemplateResponse(request, "admin/tollhouse_gateway/call/page.html", context)


def suggest(page: CallAdmin, request: HttpRequest) -> HttpResponse:
    """Known values of a field that begin so, as JSON: of what the reader may see."""
    found = suggestions(request.GET.get("field", ""), request.GET.get("start", "")[:200], request.user)
    return JsonResponse({"values": found})


def base_url(request: HttpRequest) -> str:
    """Where the data plane is: as configured, else where the reader is."""
    return settings().PUBLIC_URL.rstrip("/") or f"{request.scheme}://{request.get_host()}"


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


def _whole_id(text: str) -> UUID | None:
    """The id that a text is, with or without `id:` in front."""
    try:
        return UUID(text.strip().removeprefix("id:"))
    except ValueError:
        return None
