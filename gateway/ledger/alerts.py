"""What the ledger tells people about: rows written in the transaction that found the reason, once per reason."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from uuid_utils.compat import uuid7

from budgets.rules import BudgetRule
from gateway.ledger.operations import Row
from gateway.models.calls import uuid7_time
from gateway.types import ZERO

#: Names of a feature, a provider and a model can be longer together than the columns are.
MOST_KEY, MOST_SUMMARY = 230, 500


def crossed(rule: BudgetRule, before: Decimal, after: Decimal) -> bool:
    """Whether spending went over the budget's soft threshold."""
    threshold = rule.limit * rule.soft_percent / 100
    return before < threshold <= after


def threshold(rule: BudgetRule, starts_at: datetime, spent: Decimal) -> Row:
    share = 100 * spent / rule.limit if rule.limit else Decimal(100)
    return {
        "kind": "budget_threshold",
        "severity": "warning",
        "dedup_key": f"budget:{rule.id}:{starts_at.isoformat()}:{rule.soft_percent}",
        "summary": f"{share:.0f}% of {rule} is spent.",
        "detail": {"budget": rule.id, "window": starts_at, "spent": spent, "limit": rule.limit},
    }


def exhausted(rule: BudgetRule, starts_at: datetime) -> Row:
    return {
        "kind": "budget_exhausted",
        "severity": "critical",
        "dedup_key": f"budget:{rule.id}:{starts_at.isoformat()}:exhausted",
        "summary": f"A call no longer fitted {rule}.",
        "detail": {"budget": rule.id, "window": starts_at, "limit": rule.limit},
    }


def no_room(rule: BudgetRule, amount: Decimal, spent: Decimal, held: Decimal) -> str:
    """The sentence that a refused caller reads."""
    return (
        f"This call may need {amount.normalize():f} {rule.metric}, but {rule} has "
        f"{max(rule.limit - spent - held, ZERO).normalize():f} left ({spent.normalize():f} spent, {held.normalize():f} held by "
        "calls in flight). Wait for the next window, ask for fewer tokens, or raise the limit."
    )


def of_call(row: Row) -> list[Row]:
    """Alerts that a call's row gives reason for: lost, dearer than held, without a price. Once an hour for each
    reason; they end with that hour."""
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
