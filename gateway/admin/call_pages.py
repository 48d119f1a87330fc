"""What can be looked at and done from a call: its session, the version before, a replay, keeping it in a dataset."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from gateway import datasets
from gateway.access import visible
from gateway.admin.base import audit
from gateway.admin.call_list import TONES, readable, readable_steps
from gateway.admin.payloads import may_read, messages_of, read_payloads, taken
from gateway.errors import GatewayError
from gateway.explorer.compare import call_of, differences, figures, version_before
from gateway.explorer.trace import MOST, of_session, steps_of_session, waterfall
from gateway.models import Call, Dataset, Route
from gateway.prompts import playground

Page = admin.ModelAdmin[Call]


def session(page: Page, request: HttpRequest) -> HttpResponse:
    """The calls of a session, one after the other, and what was said in it."""
    name, tenant = request.GET.get("id", ""), request.GET.get("tenant", "")
    plain = name and "\x00" not in name + tenant
    calls = of_session(name, tenant, readable(request)) if plain else []
    if calls == []:
        raise Http404(f"There is no session {name} of {tenant or 'no tenant'}.")
    asked = request.method == "POST" and "payload" in request.POST
    said = _turns(calls or [], read_payloads(request, calls or [])) if asked else []
    lines = waterfall([*(calls or []), *(steps_of_session(name, tenant, readable_steps(request)) if calls else [])])
    costs = [line.cost_usd for line in lines if line.call]
    return _shown(page, request, "session", {
        "title": f"Session {name}",
        "session": name,
        "tenant": tenant,
        "calls": calls,
        "lines": lines,
        "most": MOST,
        "cost": sum((cost for cost in costs if cost is not None), Decimal(0)),
        "unpriced": costs.count(None),
        "input": sum(call.all_input_tokens for call in calls or []),
        "output": sum(call.all_output_tokens for call in calls or []),
        "failed": sum(call.outcome != "ok" for call in calls or []),
        "asked": asked,
        "said": said,
    })  # fmt: skip


def compare(page: Page, request: HttpRequest, id: UUID) -> HttpResponse:
    """A call beside one of the version before it, or beside that which the address names."""
    call = _call(request, id)
    before, version, problem = None, None, ""
    if wanted := request.GET.get("against", "").strip():
        before = _named(request, wanted)
        problem = "" if before else f"There is no call {wanted} that you may see."
    else:
        version = version_before(call, request.user)
        before = call_of(version, call, readable(request)) if version else None
    asked = request.method == "POST" and "payload" in request.POST
    said = read_payloads(request, [before, call]) if asked and before else {}
    old, new = (said.get(each.id) if each else None for each in (before, call))
    return _shown(page, request, "compare", {
        "title": "Compared calls",
        "call": call,
        "before": before,
        "version": version,
        "problem": problem,
        "figures": figures(before, call) if before else [],
        "asked": asked,
        "kept": messages_of(old) is not None and messages_of(new) is not None,
        "parts": differences(old, new),
    })  # fmt: skip


def replaying(request: HttpRequest) -> dict[str, Any]:
    """The routes on which the reader may make a call once more, those of a sandbox first; None: on none."""
    if not request.user.has_perm("tollhouse_gateway.run_playground") or not may_read(request):
        return {"replay_routes": None}
    routes = list(visible(Route.objects.prefetch_related("targets__provider"), request.user))
    return {"replay_routes": sorted(((route, _is_sandbox(route)) for route in routes), key=lambda found: not found[1])}


def replay(page: Page, request: HttpRequest, id: UUID) -> HttpResponse:
    """What was said, said once more on a route, within the playground's budget; beside the reply of then."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not request.user.has_perm("tollhouse_gateway.run_playground"):
        raise PermissionDenied
    call = _call(request, id)
    content = read_payloads(request, [call]).get(call.id)
    said = messages_of(content)
    route = visible(Route.objects.filter(name=request.POST.get("route", "")), request.user).first()
    if not said or route is None:
        messages.error(request, "Nothing is kept of what it said." if route else "Choose a route.")
        return HttpResponseRedirect(_url(call))
    reply, failure = None, None
    try:
        reply = playground.replay(call.feature, said, route=route.name, user=request.user)
    except GatewayError as error:
        failure = error
    return _shown(page, request, "replay", {
        "title": "Replay",
        "call": call,
        "route": route,
        "reply": reply,
        "failure": failure,
        "then": (content or {}).get("reply") or [],
    })  # fmt: skip


def datasets_for(request: HttpRequest) -> QuerySet[Dataset] | None:
    """The datasets in which the reader may keep a call; None where the reader may not."""
    may = request.user.has_perm("tollhouse_gateway.add_datasetitem")
    return visible(Dataset.objects.all(), request.user) if may else None


def keep(page: Page, request: HttpRequest, id: UUID) -> HttpResponse:
    """Keeps what a call said in a dataset. Who may do so need not be one who may read it, there or here."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    known = datasets_for(request)
    if known is None:
        raise PermissionDenied
    call = _call(request, id)
    dataset = known.filter(name=request.POST.get("dataset", "")).first()
    if dataset is None:
        messages.error(request, "Choose a dataset.")
        return HttpResponseRedirect(_url(call))
    content = taken(request, [call], dataset=dataset.name).get(call.id)
    try:
        item, new = datasets.add(
            dataset, call, content, expected=request.POST.get("expected", ""), actor=request.user.get_username()
        )
    except datasets.Refused as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(_url(call))
    if new:
        audit(request, "create", item, call=str(call.id))
    messages.success(request, f"Kept in {dataset}." if new else f"It is in {dataset} already.")
    return HttpResponseRedirect(_url(call))


def _shown(page: Page, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    own = {"opts": page.opts, "may_read": may_read(request), "tones": TONES}
    context = {**page.admin_site.each_context(request), **own, **context}
    return TemplateResponse(request, f"admin/tollhouse_gateway/call/{name}.html", context)


def _turns(calls: list[Call], said: dict[UUID, Any]) -> list[tuple[Call, list[Any] | None, list[Any]]]:
    """What each call said that the one before it had not, and its reply; None where nothing is kept."""
    found: list[tuple[Call, list[Any] | None, list[Any]]] = []
    known: list[Any] = []
    for call in calls:
        spoken = messages_of(said.get(call.id))
        if spoken is None:
            found.append((call, None, []))
            continue
        reply = said[call.id].get("reply") or []
        found.append((call, [message for message in spoken if message not in known], reply))
        known = [*spoken, *reply]
    return found


def _call(request: HttpRequest, id: UUID) -> Call:
    call = readable(request).filter(id=id).first()
    if call is None:
        raise Http404(f"There is no call {id}.")
    return call


def _named(request: HttpRequest, wanted: str) -> Call | None:
    try:
        return readable(request).filter(id=UUID(wanted)).first()
    except ValueError:
        return None


def _is_sandbox(route: Route) -> bool:
    targets = list(route.targets.all())
    return bool(targets) and all(target.provider.kind == "sandbox" for target in targets)


def _url(call: Call) -> str:
    return reverse("admin:tollhouse_gateway_call_change", args=[call.id])
