"""The admin's first page: what is live now, from cheap queries."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce, NullIf
from django.utils import timezone

from budgets.forecast_words import in_words
from budgets.models import Alert, AlertRoute, Channel, Switch, Window
from gateway.access import User, visible, visible_calls
from gateway.admin.call_list import Filters, TooMuch, read
from gateway.admin.calls import TONES
from gateway.conf import settings
from gateway.models import Call, Feature
from gateway.telemetry import trouble
from gateway.templatetags.tollhouse import share
from gateway.worker_beat import silent_s

MOST_ALERTS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveWindow:
    """A window that is open now, with its shares of the limit in percent, and its forecast in words; empty: none yet."""

    window: Window
    spent_share: int
    held_share: int
    forecast: str


def overview(user: User) -> dict[str, Any]:
    """What the user may see of: windows that are open, the fullest first; switches in force; alerts, the open ones first; the
    latest calls; channels that fail, and whether no route takes alerts to any.

    A part that the user may not see is left out; the others are lists, possibly empty.
    """
    parts: dict[str, tuple[str, Callable[[], Any]]] = {
        "windows": ("tollhouse_budgets.view_window", lambda: live_windows(user)),
        "switches": ("tollhouse_budgets.view_switch", lambda: list(visible(Switch.objects.in_force(), user)[:8])),
        "alerts": ("tollhouse_budgets.view_alert", lambda: _alerts(user)),
        "troubled": ("tollhouse_budgets.view_channel", lambda: list(Channel.objects.exclude(failing_since=None)[:8])),
        "unrouted": (
            "tollhouse_budgets.view_alertroute",
            lambda: not AlertRoute.objects.filter(active=True).exists(),
        ),
        "calls": ("tollhouse_gateway.view_call", lambda: _calls(user)),
    }
    found: dict[str, Any] = {name: get() for name, (permission, get) in parts.items() if user.has_perm(permission)}
    if user.has_perm("tollhouse_gateway.view_worker"):
        found["worker_missing"] = _worker_missing()
        found["telemetry_failing"] = " and ".join(trouble.failing())
    found["tones"] = TONES
    found["first_steps"] = found.get("calls") == [] and not Call.objects.exists()
    if found["first_steps"]:
        found["example_feature"] = Feature.objects.values_list("slug", flat=True).first() or "FEATURE"
    return found


def _alerts(user: User) -> list[Alert]:
    """The open ones, the newest first, and where there is room the latest of those that are over."""
    rows = visible(Alert.objects.all(), user)
    found = list(rows.filter(resolved_at=None)[:MOST_ALERTS])
    return found + list(rows.exclude(resolved_at=None)[: MOST_ALERTS - len(found)])


def _worker_missing() -> str:
    """For how long no worker has run, in words, where that is too long; empty where one runs."""
    silent = silent_s()
    if silent is None:
        return "yet"
    return f"for {silent / 60:.0f} minutes" if silent > settings().WORKER_SILENT_AFTER_S else ""


def live_windows(user: User, *which: Q, most: int = 8) -> list[LiveWindow]:
    """The fullest of the windows that are open now, that the user may see and that fit all of these."""
    now = timezone.now()
    open_now = Window.objects.filter(starts_at__lte=now, ends_at__gt=now, budget__active=True)
    found = visible(open_now, user).filter(*which).select_related("budget", "forecast")
    limit = NullIf(F("budget__limit") + F("raised"), Value(Decimal(0)))
    full = Coalesce((F("spent") + F("held")) * Coalesce(F("rate"), Value(Decimal(1))) / limit, Value(Decimal(1)))
    return [
        LiveWindow(
            window=window,
            spent_share=share(window.spent, window.limit),
            held_share=share(window.held, window.limit),
            forecast=_forecast(window),
        )
        for window in found.with_limit().order_by(full.desc(), "pk")[:most]
    ]


def _forecast(window: Window) -> str:
    made = getattr(window, "forecast", None)
    return in_words(made, window, ZoneInfo(window.budget.timezone)) if made else ""


def _calls(user: User) -> list[Call]:
    try:
        return read(Filters.of({"period": "7d"}), visible_calls(user)).calls[:8]
    except TooMuch:
        return []
