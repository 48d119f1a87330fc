"""What the demo's traffic did to budgets, and what was told and switched off."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils import timezone
from uuid_utils.compat import uuid7

from budgets.models import Alert, Budget, Switch, Window
from budgets.windows import window_bounds
from dashboards.demo import story
from dashboards.filters import Filters
from dashboards.rollups import figures
from gateway.models import BreakerTrip

ACTOR = "demo_data"
#: Tenants whose budgets have windows, those that spend the most.
MOST_TENANTS = 20
#: How many windows before the present one each budget has.
PAST = 5
#: Ids that no process has: those of the demo.
PROCESSES = tuple(UUID(int=number) for number in range(1, 5))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def make(budgets: Iterable[Budget], until: datetime) -> None:
    """Windows of these budgets, the present ones and some before, as the ledger would have written them; alerts and switches."""
    now = timezone.now()
    for budget in budgets:
        at = until
        for _ in range(1 + PAST):
            starts_at, ends_at = window_bounds(budget.period, ZoneInfo(budget.timezone), at)
            for window in _windows(budget, starts_at, ends_at, until):
                if starts_at <= now < ends_at and window.spent >= budget.limit * Decimal("0.7"):
                    _alert(
                        f"budget:{window.pk}", "budget_threshold", Alert.Severity.WARNING,
                        f"70% of the budget of {budget.scope} {window.value} is spent.".replace("  ", " "), now,
                        feature=budget.feature, tenant=window.value, ends_at=ends_at,
                    )  # fmt: skip
            at = starts_at - HOUR
    _outage(until)
    _switches(until)


def remove(budgets: Sequence[int]) -> None:
    """Deletes them, with the windows of these budgets (ids)."""
    Window.objects.filter(budget__in=budgets).delete()
    Budget.objects.filter(pk__in=budgets).delete()
    Alert.objects.filter(dedup_key__startswith="demo:").delete()
    Switch.objects.filter(set_by=ACTOR).delete()
    BreakerTrip.objects.filter(process__in=PROCESSES).delete()


def _windows(budget: Budget, starts_at: datetime, ends_at: datetime, until: datetime) -> list[Window]:
    where = {"feature": (budget.feature,)} if budget.feature else {}
    found = figures(Filters(starts_at, min(ends_at, until), where), by=tuple(budget.each))
    found = sorted((one for one in found if one.values != ("",)), key=lambda one: -one.cost_nano)
    # The ledger would have stopped at the limit.
    return Window.objects.bulk_create(
        Window(
            budget=budget, value="".join(one.values), starts_at=starts_at, ends_at=ends_at, calendar=budget.calendar,
            spent=min(one.cost_usd, budget.limit), made_at=starts_at,
        )
        for one in found[:MOST_TENANTS]
    )  # fmt: skip


def _outage(until: datetime) -> None:
    at = (until - (story.OUTAGE * DAY)).replace(hour=14, minute=3)
    _alert(
        "breaker", "breaker", Alert.Severity.WARNING, "openai/gpt-4o-mini failed 5 times in a row and is left alone.", at,
        resolved_at=at + 2 * HOUR, resolution="A probe found it well.",
    )  # fmt: skip
    BreakerTrip.objects.bulk_create(
        BreakerTrip(
            id=uuid7(), process=process, provider="openai", model="gpt-4o-mini", opened_at=at, retry_at=at + 2 * HOUR,
            closed_at=at + 2 * HOUR, failures=5, failed_probes=60, error_class="ProviderError", http_status=503,
        )
        for process in PROCESSES
    )  # fmt: skip
    _alert(
        "lost", "lost", Alert.Severity.WARNING, "A call of support.reply was lost; what was held for it counts as spent.",
        until, feature="support.reply", ends_at=until + DAY,
    )  # fmt: skip


def _switches(until: datetime) -> None:
    at = (until - (story.RUNAWAY * DAY)).replace(hour=13, minute=0)
    reason = "Switched off: a script called it in a loop."
    lifted = Switch.objects.create(
        scope="feature", value="sales.research", reason=reason, set_by=ACTOR, lifted_by=ACTOR, lifted_at=at + 2 * HOUR,
        lift_reason="The script is stopped.",
    )  # fmt: skip
    Switch.objects.filter(pk=lifted.pk).update(set_at=at)
    _alert(
        "switch", "switch", Alert.Severity.CRITICAL, f"sales.research: {reason}", at, feature="sales.research",
        resolved_at=at + 2 * HOUR, resolution="The switch was lifted.",
    )  # fmt: skip
    if not Switch.objects.in_force().filter(scope="feature", value="agents.nightly").exists():
        Switch.objects.create(
            scope="feature", value="agents.nightly", reason="Its costs are looked into until Monday.", set_by=ACTOR
        )


def _alert(key: str, kind: str, severity: Alert.Severity, summary: str, at: datetime, **values: object) -> None:
    # Nobody is to be woken by it: it counts as told.
    told = {"created_at": at, "routed_at": at, "end_routed_at": at}
    Alert.objects.create(dedup_key=f"demo:{key}", kind=kind, severity=severity, summary=summary, **told, **values)
