"""Alerts as an outbox: rows written in the transaction that found their reason; the worker delivers them."""

from datetime import datetime

from django.db.models.functions import Now

from budgets.models import Alert


def open_alert(
    kind: str,
    severity: Alert.Severity,
    dedup_key: str,
    summary: str,
    *,
    detail: dict[str, object] | None = None,
    feature: str = "",
    tenant: str = "",
    ends_at: datetime | None = None,
) -> bool:
    """Writes the alert in the transaction under way, unless one of that key was ever written. True when it is new.

    `dedup_key` (at most 255 characters) names the crossing and not its kind: `switch:17`, `forecast:4:2026-05-01`. What
    may come again has the hour, the window or the row that it came with in its key. `detail` must be JSON.
    """
    given: dict[str, object] = {"kind": kind, "severity": severity, "summary": summary[:500], "detail": detail or {}}
    given |= {"feature": feature, "tenant": tenant, "ends_at": ends_at}
    return Alert.objects.get_or_create(dedup_key=dedup_key, defaults=given)[1]


def resolve_alert(dedup_key: str, resolution: str) -> bool:
    """Ends an open alert, in the transaction under way. True when there was one."""
    found = Alert.objects.filter(dedup_key=dedup_key, resolved_at=None)
    return bool(found.update(resolved_at=Now(), resolution=resolution[:500]))
