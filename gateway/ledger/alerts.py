"""What the ledger tells people about: rows written in the transaction that found the reason, once per reason."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.urls import NoReverseMatch, reverse
from uuid_utils.compat import uuid7

from budgets.rules import BudgetRule
from gateway.ledger.operations import Row
from gateway.ledger.windows import LockedWindow
from gateway.models.calls import uuid7_time

#: From this share of the limit on, a threshold is critical.
CRITICAL_PERCENT = 90

#: Names of a feature, a provider and a model can be longer together than the columns are.
MOST_KEY, MOST_SUMMARY = 230, 500


def crossed(window: LockedWindow) -> list[int]:
    """The budget's soft thresholds that the window has reached and that were not told yet, in ascending order."""
    rule = window.rule
    if rule is None or not rule.soft_percents or not window.spent or window.alerted >= rule.soft_percents[-1]:
        return []
    share = 100 * window.spent
    return [p for p in rule.soft_percents if window.alerted < p and window.limit * p <= share]


def threshold(window: LockedWindow, percent: int) -> Row:
    rule = _rule(window)
    share = 100 * window.spent / window.limit if window.limit else Decimal(100)
    return {
        "kind": "budget_threshold",
        "severity": "critical" if percent >= CRITICAL_PERCENT else "warning",
        "dedup_key": f"budget:{rule.id}:{window.id}:{percent}",
        "summary": f"{share:.0f}% of {rule.describe(window.value)} is spent."[:500],
        **_about(window, percent=percent),
    }


def exhausted(window: LockedWindow, last_raise: int) -> Row:
    """A call was refused for want of room; told again where the limit was moved and is reached again.

    Each raise (`last_raise` is the id of the last one, 0 before the first) ends what was told before, so the limit that is
    left when it is over is told too.
    """
    rule = _rule(window)
    asks = " A raise is asked for." if rule.on_hard == "ask" else ""
    return {
        "kind": "budget_exhausted",
        "severity": "critical",
        "dedup_key": f"budget:{rule.id}:{window.id}:exhausted:{window.limit.normalize():f}:{last_raise}",
        "summary": f"A call no longer fitted {rule.describe(window.value)[:440]}.{asks}",
        **_about(window, percent=100),
    }


def overspent(window: LockedWindow) -> Row:
    """Calls that passed while the database was away took more than there was, which the ledger learns afterwards."""
    rule = _rule(window)
    return {
        "kind": "budget_exhausted",
        "severity": "critical",
        "dedup_key": f"budget:{rule.id}:{window.id}:spooled",
        "summary": f"Calls that passed while the database was away took {rule.describe(window.value)[:400]} over its limit.",
        **_about(window, percent=100),
    }


def no_room(rule: BudgetRule, window: LockedWindow, amount: Decimal) -> str:
    """The sentence that a refused caller reads."""
    unit = "US dollars" if rule.metric == "usd" else rule.metric
    # The reset comes first of what to do: a tenant's name may be long, and what is long is cut at its end.
    advice = "" if rule.metric == "calls" else ", ask for fewer tokens"
    asked = "A person was asked to raise it. " if rule.on_hard == "ask" else ""
    return (
        f"This call may need {amount.normalize():f} {unit}, but {rule.describe(window.value)} has "
        f"{window.room().normalize():f} left ({window.spent.normalize():f} spent, {window.held.normalize():f} held by "
        f"calls in flight). {asked}It resets at {window.ends_at:%Y-%m-%d %H:%M} UTC: wait until then{advice}, or have the "
        "limit raised."
    )


def _rule(window: LockedWindow) -> BudgetRule:
    assert window.rule is not None
    return window.rule


def _about(window: LockedWindow, *, percent: int) -> Row:
    """What all alerts of a window have: whom they concern, until when, and the figures, in US dollars, tokens or calls."""
    rule = _rule(window)
    detail = {
        "budget": rule.id, "window": window.id, "value": window.value, "metric": rule.metric, "spent": window.spent,
        "held": window.held, "limit": window.limit, "percent": percent, "on_hard": rule.on_hard,
        "starts_at": window.starts_at, "ends_at": window.ends_at, "link": raise_page(rule.id, window.id),
    }  # fmt: skip
    return {
        "feature": rule.named("feature", window.value)[:100],
        "tenant": rule.named("tenant", window.value)[:200],
        "ends_at": window.ends_at,
        "detail": detail,
    }


def raise_page(budget: int, window: int) -> str:
    """The path of the page on which the budget is raised; empty where no admin is mounted."""
    try:
        return f"{reverse('admin:tollhouse_budgets_budget_raise', args=[budget])}?window={window}"
    except NoReverseMatch:
        return ""


def of_call(row: Row) -> list[Row]:
    """Alerts that a call's row gives reason for: lost, dearer than held, without a price. Once an hour for each
    reason; they end with that hour."""
    if row["outcome"] == "ok" and row["cost_usd"] is not None and not row["overrun_usd"]:
        return []
    where = f"{row['feature']} on {row['provider']}/{row['model_served']}"
    found = []
    if row["outcome"] == "lost":
        found.append(("lost", f"A call of {where} was lost; its cost is an estimate."))
    if Decimal(row["overrun_usd"]):
        found.append(("overrun", f"A call of {where} cost {row['overrun_usd']} US dollars more than was held."))
    if row["cost_usd"] is None and row["outcome"] in ("ok", "truncated", "filtered", "lost"):
        found.append(("unpriced", f"A call of {where} has no price, so its cost is unknown."))
    if not found:
        return []
    hour = uuid7_time(row["id"]).replace(minute=0, second=0, microsecond=0)
    return [
        {
            "kind": kind,
            "severity": "warning",
            "dedup_key": f"{f'{kind}:{where}'[:MOST_KEY]}:{hour:%Y-%m-%dT%H}",
            "summary": summary[:MOST_SUMMARY],
            "detail": {"first_call": row["id"]},
            "feature": row["feature"],
            "ends_at": hour + timedelta(hours=1),
        }
        for kind, summary in found
    ]


def unrecorded(count: int, owner: UUID) -> Row:
    """Refused calls that got no row, as too many came while the database was away."""
    return {
        "kind": "unrecorded",
        "severity": "critical",
        "dedup_key": f"unrecorded:{uuid7()}",
        "summary": f"{count} calls were refused without a row while the database was away.",
        "detail": {"count": count, "owner": owner},
        "ends_at": datetime.now(UTC) + timedelta(hours=1),
    }
