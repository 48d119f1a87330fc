"""The tables of the pages as short lists, with the words and figures that the pages have."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from django.urls import reverse
from django.utils import timezone

from budgets.forecast_words import short, shown_limit
from budgets.models import Alert, Switch
from dashboards.digests.content import Entry, Listing
from dashboards.overview import LiveWindow, live_windows
from dashboards.pages.frame import Reading
from dashboards.pages.sums import percent
from gateway.access import visible
from gateway.conf import settings
from gateway.templatetags.tollhouse import ms

MOST = 8
Context = Mapping[str, Any]


def of_overview(reading: Reading, shown: Context) -> Iterator[Listing]:
    """What moved, budgets, open alerts and switches in force; what the reader may not see is left out."""
    currency = shown.get("currency")
    if currency and shown["moved"]:
        rows = [
            Entry(text=row.name, value=f"{currency.exact(row.before.cost)} → {currency.exact(row.now.cost)}", detail=row.change)
            for row in shown["moved"]
        ]  # fmt: skip
        yield Listing(heading="Moved most since the period before", entries=rows)
    if reading.may("tollhouse_budgets.view_window"):
        windows = live_windows(reading.request.user, most=MOST)
        yield Listing(heading="Budgets", entries=list(map(window, windows)), empty="No budget's window is open.")
    if reading.may("tollhouse_budgets.view_alert"):
        alerts = visible(Alert.objects.filter(resolved_at=None), reading.request.user).order_by("-created_at")
        yield Listing(heading="Open alerts", entries=_few(map(_alert, alerts[: MOST + 1])), empty="None.")
    if reading.may("tollhouse_budgets.view_switch"):
        switches = visible(Switch.objects.in_force(), reading.request.user)
        entries = _few(map(_switch, switches[: MOST + 1]))
        yield Listing(heading="Kill switches in force", entries=entries, empty="None: everything may pass.")


def of_page(name: str, context: Context) -> list[Listing]:
    """The page's table, if it has one here."""
    make = PAGES.get(name)
    return [make(context)] if make else []


def window(item: LiveWindow) -> Entry:
    """An open window of a budget: what is spent, and what is expected."""
    row = item.window
    spent = f"{short(row.spent, row.budget.metric)} of {shown_limit(row)}"
    detail = f"{item.spent_share}% spent, until {_moment(row.ends_at)}" + (
        f"; {item.forecast}" if item.forecast else ""
    )
    url = site_url(reverse("admin:tollhouse_budgets_budget_change", args=[row.budget_id]))
    period = "" if row.budget.period == "range" else f" a {row.budget.period}"
    return Entry(text=row.scope, value=f"{spent}{period}", detail=detail, url=url)


def site_url(path: str) -> str:
    """A page's address for those who are not on the site; empty without PUBLIC_URL."""
    base = settings().PUBLIC_URL.rstrip("/")
    return f"{base}{path}" if base else ""


def _alert(alert: Alert) -> Entry:
    url = site_url(reverse("admin:tollhouse_budgets_alert_change", args=[alert.pk]))
    state = "" if alert.state == "open" else f", {alert.state}"
    return Entry(text=alert.summary, value=alert.severity, detail=f"since {_moment(alert.created_at)}{state}", url=url)


def _switch(switch: Switch) -> Entry:
    until = f", until {_moment(switch.expires_at)}" if switch.expires_at else ""
    detail = f"{switch.reason} – {switch.set_by or 'someone'}, {_moment(switch.set_at)}{until}"
    return Entry(text=str(switch), value="off", detail=detail)


def _spend(context: Context) -> Listing:
    currency = context["currency"]
    entries = (
        Entry(text=row.name, value=currency.exact(row.now.cost), detail=f"{row.share} of spend{_changed(row.change)}")
        for row in context["rows"]
    )
    return Listing(heading=f"{context['by_label']}, the dearest first", entries=_few(entries))


def _reliability(context: Context) -> Listing:
    entries = (
        Entry(
            text=f"{row.model} ({row.provider})", value=f"p95 {ms(row.p95)}",
            detail=f"{row.sums.calls:,} calls, {percent(row.sums.error_share)} failed",
        )
        for row in context["rows"]
    )  # fmt: skip
    return Listing(heading="Providers and models", entries=_few(entries), empty="No call reached a provider.")


def _budgets(context: Context) -> Listing:
    return Listing(heading="Windows that are open", entries=_few(window(shown.item) for shown in context["windows"]))


def _prompts(context: Context) -> Listing:
    entries = (
        Entry(
            text=version.name,
            value=f"{version.per_call} a call",
            detail=version.said or f"{version.tally.calls:,} calls",
        )
        for version in context["versions"]
    )
    return Listing(heading=f"Versions of {context['slug']}", entries=_few(entries))


def _privacy(context: Context) -> Listing:
    entries = (Entry(text=name, value=f"{found:,}", detail=part) for name, found, part in context["rows"])
    return Listing(heading="Entities by type", entries=_few(entries), empty="None.")


PAGES: dict[str, Callable[[Context], Listing]] = {
    "spend": _spend,
    "reliability": _reliability,
    "budgets": _budgets,
    "prompts": _prompts,
    "privacy": _privacy,
}


def _few(entries: Iterable[Entry]) -> list[Entry]:
    """The first of them, and a word on the others."""
    found = list(entries)
    return (
        found if len(found) <= MOST else [*found[: MOST - 1], Entry(text=f"{len(found) - MOST + 1} more on the page")]
    )


def _changed(change: str) -> str:
    return f", {change}" if change else ""


def _moment(at: Any) -> str:
    local = timezone.localtime(at)
    return f"{local.day} {local:%b %H:%M}"
