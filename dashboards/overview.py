"""The admin's first page: what is live now, from cheap queries."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils import timezone

from budgets.models import Alert, Switch, Window
from gateway.admin.call_list import Filters, TooMuch, read
from gateway.admin.calls import TONES


@dataclass(frozen=True)
class LiveWindow:
    """A window that is open now, with its shares of the limit in percent."""

    window: Window
    spent_share: int
    held_share: int

    @property
    def left(self) -> Decimal:
        return max(self.window.budget.limit - self.window.spent - self.window.held, Decimal(0))


def overview() -> dict[str, Any]:
    """Windows that are open, the fullest first; switches in force; the latest alerts and calls."""
    now = timezone.now()
    windows = Window.objects.select_related("budget").filter(starts_at__lte=now, ends_at__gt=now, budget__active=True)
    live = [LiveWindow(w, _share(w.spent, w.budget.limit), _share(w.held, w.budget.limit)) for w in windows[:200]]
    try:
        calls = read(Filters.of({"period": "7d"})).calls[:8]
    except TooMuch:
        calls = []
    return {
        "windows": sorted(live, key=lambda item: -item.spent_share - item.held_share)[:8],
        "switches": Switch.objects.filter(lifted_at=None)[:8],
        "alerts": Alert.objects.all()[:6],
        "calls": calls,
        "tones": TONES,
    }


def _share(amount: Decimal, limit: Decimal) -> int:
    return min(100, round(100 * amount / limit)) if limit else 100
