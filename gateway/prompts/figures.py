"""What the versions of a prompt did lately: calls, cost, errors and latency."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from gateway.ledger.partitions import first_id
from gateway.sql import queries
from gateway.types import ZERO

SQL = queries("versions.sql")
#: Periods that a reader may choose, in days.
DAYS = (1, 7, 30)
TIMEOUT_MS = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Calls of a version, their cost in US dollars with adjustments, failures, and the median latency of those with a reply."""

    calls: int = 0
    cost_usd: Decimal = ZERO
    errors: int = 0
    p50_ms: float | None = None

    @property
    def error_percent(self) -> float:
        return 100 * self.errors / self.calls if self.calls else 0.0


def figures(
    feature: str, addresses: Iterable[str], days: int, tenants: Collection[str] | None = None
) -> dict[str, Figures] | None:
    """The figures of these versions over the last days, by address; None where the calls are too many to count in time.

    With `tenants`, of their calls alone.
    """
    wanted = list(addresses)
    since = first_id(timezone.now() - timedelta(days=days))
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = %s", [TIMEOUT_MS])
            of = None if tenants is None else list(tenants)
            cursor.execute(SQL["figures"], {"feature": feature, "since": since, "addresses": wanted, "tenants": of})
            rows = cursor.fetchall()
    except OperationalError as error:
        if "statement timeout" in str(error):
            return None
        raise
    found = dict.fromkeys(wanted, Figures())
    return found | {
        address: Figures(calls=calls, cost_usd=usd, errors=errors, p50_ms=p50)
        for address, calls, usd, errors, p50 in rows
    }
