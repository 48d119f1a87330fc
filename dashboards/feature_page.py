"""The page of a feature's spend: what it is now and was before, why it changed, and what can be done about it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from budgets.models import Alert, Switch, Window
from dashboards.cause_words import NAMES, how, reasons, short_usd, shown, times
from dashboards.causes import DIMENSIONS, Cause, Compared, Dimension
from dashboards.filters import parse
from dashboards.overview import LiveWindow, live_windows
from dashboards.rollups import TooMuchData, one_snapshot
from dashboards.spans import Span
from dashboards.spans import span as make_span
from dashboards.spend import FeatureSpend, Totals, read
from gateway.access import tenants_of, visible
from gateway.admin.base import PageAdmin
from gateway.admin.switches import off_url
from gateway.models import Feature, PromptVersion, Target

#: Stretches that a reader may choose beside windows of budgets, which begin where those of other dashboards do: label, what is
#: before, and how long before. The last hour ends now.
PERIODS = {
    "1h": ("Last hour", "the hour before", timedelta(hours=1)),
    "24h": ("Last 24 hours", "the same hours a day earlier", timedelta(days=1)),
    "7d": ("Last 7 days", "the same days a week earlier", timedelta(days=7)),
}
#: For whom calls were made is told only to those who may view calls.
WITHOUT_CALLS = ("prompt_version", "model", "cohort")
#: What of a row the list of calls can be filtered by.
FILTERS = {"prompt_version": "prompt_version", "tenant": "tenant", "key": "key", "user_ref": "user_ref"}
MOST_ALERTS, MOST_SWITCHES = 10, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure of the page's head, as texts."""

    label: str
    now: str
    before: str
    change: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A slice of the chart; heights in hundredths of the highest, `x` in tenths of a slice."""

    x: int
    now: int
    before: int
    start: Any
    spend: Compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A value in the table of its dimension; `url` shows more of it, where there is such a page and the reader may see it."""

    name: str
    url: str
    cause: Cause
    how: str


def page(admin: PageAdmin[Feature], request: HttpRequest, slug: str) -> HttpResponse:
    if not admin.has_view_permission(request):
        raise PermissionDenied
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    feature = Feature.objects.filter(slug=slug).select_related("prompt__deployment").first()
    sees_calls = request.user.has_perm("tollhouse_gateway.view_call")
    windows = _windows(request, slug)
    spans = _spans(request, slug, windows)
    span = spans.get(request.GET.get("period", ""), spans["24h"])
    alerts = _alerts(request, slug)
    too_much = ""
    try:
        with one_snapshot():
            spend: FeatureSpend | None = read(
                slug, span, DIMENSIONS if sees_calls else WITHOUT_CALLS, tenants_of(request.user)
            )
    except TooMuchData as error:
        spend, too_much = None, str(error)
    if feature is None and spend is not None and not spend.now.calls and not spend.before.calls:
        raise Http404(f"There is no feature {slug}, nor a call of one in this time.")
    context = {
        **admin.admin_site.each_context(request),
        "title": f"Spend of {slug}",
        "opts": admin.opts,
        "slug": slug,
        "feature": feature,
        "deployment": _deployment(request, feature),
        "spans": spans.values(),
        "span": span,
        "windows": windows,
        "alerts": alerts,
        "switches": _switches(request, feature, slug),
        "off_url": _off_url(request, slug, alerts),
        "calls_url": _calls_url(slug, span) if sees_calls else "",
        "sees_calls": sees_calls,
        **(_told(request, slug, span, spend) if spend else {"too_much": too_much}),
    }
    return TemplateResponse(request, "tollhouse/feature_spend.html", context)


def _told(request: HttpRequest, slug: str, span: Span, spend: FeatureSpend) -> dict[str, Any]:
    """What the page says of spend that could be read."""
    first, *further = reasons(slug, spend.whole, spend.dimensions)
    urls = _value_urls(request, slug, span, spend.dimensions)
    rows = {kind.name: _rows(slug, spend.whole, kind, urls) for kind in spend.dimensions}
    return {
        "whole": spend.whole,
        "nothing": not spend.now.calls and not spend.before.calls,
        "reason": first,
        "further": further,
        "figures": _figures(spend.now, spend.before),
        "bars": _bars(span, spend.slices),
        "top": short_usd(max(max(slice.now.usd, slice.before.usd) for slice in spend.slices)),
        "dimensions": [(NAMES[kind.name], rows[kind.name], kind) for kind in spend.dimensions if not kind.alike],
        "left_out": " and ".join(f"{NAMES[name]}s" for name in spend.left_out),
        "alike": [(NAMES[kind.name], row) for kind in spend.dimensions if kind.alike for row in rows[kind.name]],
    }


def _figures(now: Totals, before: Totals) -> list[Figure]:
    return [
        _figure("Spend", short_usd(now.usd), short_usd(before.usd), now.usd, before.usd),
        _figure("Calls", f"{now.calls:,}", f"{before.calls:,}", now.calls, before.calls),
        _figure("Cost per call", short_usd(now.per_call), short_usd(before.per_call), now.per_call, before.per_call),
        _figure(
            "Errors", f"{now.errors:,} ({now.error_percent:.1f}%)", f"{before.errors:,} ({before.error_percent:.1f}%)",
            now.errors, before.errors,
        ),
        _figure("Tokens", f"{now.tokens:,}", f"{before.tokens:,}", now.tokens, before.tokens),
    ]  # fmt: skip


def _figure(label: str, now: str, before: str, new: Decimal | int | None, old: Decimal | int | None) -> Figure:
    return Figure(label=label, now=now, before=before, change=_change(Decimal(new or 0), Decimal(old or 0)))


def _change(now: Decimal, before: Decimal) -> str:
    """How a figure changed: a percentage, from twice as much on a multiple; empty where one of them is nothing."""
    if not before or not now:
        return ""
    ratio = now / before
    if ratio >= 2:
        return f"×{times(ratio)}"
    share = round(100 * (ratio - 1))
    return f"{'+' if share > 0 else '−' if share < 0 else '±'}{abs(share)}%"


def _bars(span: Span, slices: Iterable[Compared]) -> list[Bar]:
    parts = list(slices)
    most = max(max(part.now.usd, part.before.usd) for part in parts) or Decimal(1)
    return [
        Bar(
            x=10 * number, now=_height(part.now.usd, most), before=_height(part.before.usd, most),
            start=span.now.starts[number], spend=part,
        )
        for number, part in enumerate(parts)
    ]  # fmt: skip


def _height(usd: Decimal, most: Decimal) -> int:
    """In hundredths; what is not nothing can be seen. A correction can make a slice negative, which has no height."""
    return max(1, round(100 * usd / most)) if usd > 0 else 0


def _rows(slug: str, whole: Compared, kind: Dimension, urls: Mapping[tuple[str, str], str]) -> list[Row]:
    rows = [
        Row(
            name=shown(slug, kind.name, cause.value) or f"no {NAMES[kind.name]}", cause=cause,
            url=urls.get((kind.name, cause.value), ""), how=how(cause.spend, whole.before),
        )
        for cause in kind.causes
    ]  # fmt: skip
    if kind.others:
        name = f"{kind.other_values:,} other{'' if kind.other_values == 1 else 's'}"
        rows.append(Row(name=name, url="", cause=kind.others, how=how(kind.others.spend, whole.before)))
    return rows


def _value_urls(
    request: HttpRequest, slug: str, span: Span, kinds: Iterable[Dimension]
) -> dict[tuple[str, str], str]:  # fmt: skip
    """Where more is told of values: the page of a prompt version, the calls of the others."""
    found: dict[tuple[str, str], str] = {}
    for kind in kinds:
        values = [cause.value for cause in kind.causes if cause.value]
        if kind.name == "prompt_version" and request.user.has_perm("tollhouse_gateway.view_promptversion"):
            versions = visible(PromptVersion.objects.all(), request.user)
            versions = versions.filter(prompt__feature__slug=slug, address__in=values)
            for pk, address in versions.values_list("pk", "address"):
                found[kind.name, address] = reverse("admin:tollhouse_gateway_promptversion_change", args=[pk])
        if not request.user.has_perm("tollhouse_gateway.view_call"):
            continue
        for value in values:
            if kind.name == "model":
                # The name of a provider has no slash; that of a model may.
                provider, _, model = value.partition("/")
                if model:
                    found[kind.name, value] = _calls_url(slug, span, provider=provider, model_served=model)
            elif kind.name in FILTERS:
                found.setdefault((kind.name, value), _calls_url(slug, span, **{FILTERS[kind.name]: value}))
    return found


def _calls_url(slug: str, span: Span, **exact: str) -> str:
    """The list of the feature's calls in the span with these values."""
    query = {
        "period": "custom",
        "feature": slug,
        "since": span.now.since.isoformat(),
        "until": span.now.until.isoformat(),
    }
    return f"{reverse('admin:tollhouse_gateway_call_changelist')}?{urlencode(query | exact)}"


def _spans(request: HttpRequest, slug: str, windows: list[LiveWindow] | None) -> dict[str, Span]:
    """What the reader may choose, by key: the fixed periods, the windows shown, and a past window that the address names."""
    now = timezone.now()
    found = {
        key: make_span(key, label, before, since=_since(key, now), until=now, apart=apart, now=now)
        for key, (label, before, apart) in PERIODS.items()
    }
    if windows is None:
        return found
    wanted = [item.window for item in windows]
    number = request.GET.get("period", "").removeprefix("window-")
    if number.isdecimal() and len(number) < 19 and int(number) not in (window.pk for window in wanted):
        past = visible(Window.objects.filter(pk=number, starts_at__lt=now), request.user)
        wanted += past.filter(_counting(slug)).select_related("budget")
    for window in wanted:
        span = _window_span(window, now)
        found[span.key] = span
    return found


def _since(period: str, now: datetime) -> datetime:
    return now - timedelta(hours=1) if period == "1h" else parse(QueryDict(f"range={period}"), now).filters.since


def _window_span(window: Window, now: datetime) -> Span:
    budget = window.budget
    of = f"{budget.scope} ({window.value_in_words})" if window.value_in_words else budget.scope
    dated = budget.period == budget.Period.RANGE
    return make_span(
        f"window-{window.pk}",
        f"Window of {of}, in {budget.unit}, from {timezone.localtime(window.starts_at):%-d %b %H:%M}",
        "as long a time before" if dated else f"the same part of the {budget.period} before",
        since=window.starts_at, until=min(now, window.ends_at), apart=window.ends_at - window.starts_at, now=now,
    )  # fmt: skip


def _counting(slug: str) -> Q:
    """Windows of budgets that the feature's calls count in: its own, and those of all features."""
    return Q(budget__feature__in=["", slug])


def _windows(request: HttpRequest, slug: str) -> list[LiveWindow] | None:
    if not request.user.has_perm("tollhouse_budgets.view_window"):
        return None
    return live_windows(request.user, _counting(slug))


def _alerts(request: HttpRequest, slug: str) -> list[Alert] | None:
    if not request.user.has_perm("tollhouse_budgets.view_alert"):
        return None
    return list(visible(Alert.objects.filter(feature=slug, resolved_at=None), request.user)[:MOST_ALERTS])


def _switches(request: HttpRequest, feature: Feature | None, slug: str) -> list[Switch] | None:
    """Switches in force that stop calls of the feature, or those that go to one of its route's models or providers."""
    if not request.user.has_perm("tollhouse_budgets.view_switch"):
        return None
    targets = Target.objects.filter(route=feature.route_id).values_list("model", "provider__name") if feature else []
    stopping = Q(scope=Switch.Scope.EVERYTHING) | Q(scope=Switch.Scope.FEATURE, value=slug)
    stopping |= Q(scope=Switch.Scope.MODEL, value__in=[model for model, _ in targets])
    stopping |= Q(scope=Switch.Scope.PROVIDER, value__in=[provider for _, provider in targets])
    return list(visible(Switch.objects.in_force().filter(stopping), request.user)[:MOST_SWITCHES])


def _off_url(request: HttpRequest, slug: str, alerts: list[Alert] | None) -> str:
    """The form that switches the feature off; with the newest alert that led here, if one did."""
    if not request.user.has_perm("tollhouse_budgets.add_switch"):
        return ""
    newest = next((alert.pk for alert in alerts or [] if alert.kind != "switch"), None)
    return off_url("feature", slug, alert=newest)


def _deployment(request: HttpRequest, feature: Feature | None) -> str:
    """The page of the feature's prompt: which versions are live."""
    deployment = getattr(getattr(feature, "prompt", None), "deployment", None)
    if deployment is None or not request.user.has_perm("tollhouse_gateway.view_deployment"):
        return ""
    return reverse("admin:tollhouse_gateway_deployment_change", args=[deployment.pk])
