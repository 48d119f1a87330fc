"""The admin's first page: what is live now, from cheap queries."""

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.models import AnonymousUser, PermissionsMixin
from django.utils import timezone

from budgets.forecast_words import in_words
from budgets.models import Alert, Switch, Window
from gateway.admin.call_list import Filters, TooMuch, read
from gateway.admin.calls import TONES
from gateway.models import Call, Feature
from gateway.templatetags.tollhouse import share


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveWindow:
    """A window that is open now, with its shares of the limit in percent, and its forecast in words; empty: none yet."""

    window: Window
    spent_share: int
    held_share: int
    forecast: str


def overview(user: PermissionsMixin | AnonymousUser) -> dict[str, Any]:
    """What the user may see of: windows that are open, the fullest first; switches in force; the latest alerts and calls.

    A part that the user may not see is left out; the others are lists, possibly empty.
    """
    parts = {
        "windows": ("tollhouse_budgets.view_window", _windows),
        "switches": ("tollhouse_budgets.view_switch", lambda: list(Switch.objects.filter(lifted_at=None)[:8])),
        "alerts": ("tollhouse_budgets.view_alert", lambda: list(Alert.objects.all()[:6])),
        "calls": ("tollhouse_gateway.view_call", _calls),
    }
    found: dict[str, Any] = {name: get() for name, (permission, get) in parts.items() if user.has_perm(permission)}
    found["tones"] = TONES
    found["first_steps"] = found.get("calls") == [] and not Call.objects.exists()
    if found["first_steps"]:
        found["example_feature"] = Feature.objects.values_list("slug", flat=True).first() or "FEATURE"
    return found


def _windows() -> list[LiveWindow]:
    now = timezone.now()
    open_now = Window.objects.filter(starts_at__lte=now, ends_at__gt=now, budget__active=True).select_related(
        "budget", "forecast"
    )
    live = [
        LiveWindow(
            window=window,
            spent_share=share(window.spent, window.budget.limit),
            held_share=share(window.held, window.budget.limit),
            forecast=_forecast(window),
        )
        for window in open_now[:200]
    ]
    return sorted(live, key=lambda item: -item.spent_share - item.held_share)[:8]


def _forecast(window: Window) -> str:
    made = getattr(window, "forecast", None)
    return in_words(made, window, ZoneInfo(window.budget.timezone)) if made else ""


def _calls() -> list[Call]:
    try:
        return read(Filters.of({"period": "7d"})).calls[:8]
    except TooMuch:
        return []
