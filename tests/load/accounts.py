"""What must be true after a round of `make chaos`: rules about rows, windows and holds, and about what is left alive."""

import json
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import reduce
from operator import add
from pathlib import Path

from django.db import connection
from django.db.models import F, QuerySet, Sum

from budgets.models import SCOPE_FIELDS, Bucket, Budget
from budgets.rates import PARTS
from gateway.conf import settings
from gateway.ledger.replay import files
from gateway.ledger.spool_file import HEADER
from gateway.models import Adjustment, Call, Hold
from gateway.types import TOKEN_PARTS, ZERO
from tests.load.storm import Answer
from tests.provider import MockProvider
from tests.server import Server

#: A call that ended so was never admitted: no upstream may have seen it, and no window counts it.
NOT_ADMITTED = ("refused_budget", "refused_switch", "refused_policy", "refused_rate", "ledger_unavailable")
#: A reply that was handed over in full can only have ended so.
REPLIED = ("ok", "truncated")
#: Ends that the upstream told us about, so that every attempt reached it; it may not have seen one that was given up.
ANSWERED = ("ok", "truncated", "provider_error")
#: The name of a scope's field in a call's row, where it differs.
COLUMNS = {"user": "user_ref", "model": "model_served"}
TOKENS = reduce(add, (F(part) for part in TOKEN_PARTS))


def of_calls(served: Mapping[str, int], answers: Iterable[Answer], prefix: str) -> list[str]:
    """Broken rules of calls whose marker starts with `prefix`. `served` counts the upstream's requests by marker."""
    rows: dict[str, list[Call]] = defaultdict(list)
    for row in Call.objects.filter(session_id__startswith=prefix):
        rows[row.session_id].append(row)
    ended_late = dict(late().values_list("call_id", "outcome"))
    found = [
        f"call {marker}: the upstream served it, and it has {len(rows[marker])} rows"
        for marker in served
        if len(rows[marker]) != 1
    ]
    for marker, (row, *more) in [(m, r) for m, r in rows.items() if r]:
        named = f"call {marker} ({row.feature}, {row.outcome}, {row.id})"
        requests = served.get(marker, 0)
        if more:
            found.append(f"{named}: it has {1 + len(more)} rows")
        if row.outcome in NOT_ADMITTED and requests:
            found.append(f"{named}: it was refused, and the upstream served {requests} requests of it")
        if row.outcome in ANSWERED and row.attempts != requests:
            found.append(f"{named}: its row says {row.attempts} attempts, the upstream served {requests}")
        if row.outcome not in (*ANSWERED, "lost") and row.attempts < requests:
            found.append(f"{named}: its row says {row.attempts} attempts, the upstream served {requests}")
        if row.overrun_usd:
            found.append(f"{named}: an overrun of {row.overrun_usd}, where none is possible")
    for answer in answers:
        if not answer.complete:
            continue
        named = f"call {answer.marker} of {answer.feature}"
        if not rows[answer.marker]:
            found.append(f"{named}: its reply was handed over, and it has no row")
            continue
        row = rows[answer.marker][0]
        if ended_late.get(row.id, row.outcome) not in REPLIED:
            found.append(f"{named}: its reply was handed over, and its row says {row.outcome}")
        if answer.cost_usd is not None and row.outcome != "lost" and Decimal(answer.cost_usd) != row.cost_usd:
            found.append(f"{named}: its reply said {answer.cost_usd} USD, its row says {row.cost_usd}")
    return found


def late() -> QuerySet[Adjustment]:
    """What corrects calls that were written off as lost before their owner settled them."""
    return Adjustment.objects.filter(actor="ledger")


def holds() -> QuerySet[Hold]:
    """Calls in flight."""
    return Hold.objects.all()


def of_windows() -> list[str]:
    """Broken rules of budgets: sums that differ from the rows', amounts still held, limits passed, holds left over."""
    found = [f"hold of call {hold.call_id}: neither settled nor lost" for hold in holds()]
    for budget in Budget.objects.all():
        windows = budget.windows.aggregate(spent=Sum("spent", default=ZERO), held=Sum("held", default=ZERO))
        spent = spent_by_rows(budget)
        if windows["spent"] != spent:
            found.append(f"budget of {budget}: its windows say {windows['spent']} spent, the rows {spent}")
        if windows["held"]:
            found.append(f"budget of {budget}: {windows['held']} held while no call is in flight")
        if windows["spent"] > budget.limit:
            found.append(f"budget of {budget}: {windows['spent']} spent, of {budget.limit}")
    return found


def of_buckets() -> list[str]:
    """Broken rules of rate limits: places that nobody holds, levels above what is full."""
    found = []
    for bucket in Bucket.objects.select_related("rate_limit"):
        rule = bucket.rate_limit.as_rule()
        if bucket.in_flight:
            found.append(f"rate limit {bucket}: {bucket.in_flight} under way while no call is in flight")
        for level, full in ((bucket.requests_level, rule.full_requests), (bucket.tokens_level, rule.full_tokens)):
            if level is not None and level > full:
                found.append(f"rate limit {bucket}: {level // PARTS} left, of {full // PARTS}")
    return found


def spent_by_rows(budget: Budget) -> Decimal:
    """What admitted calls of the budget's scope and their adjustments add up to, in its metric."""
    scope = {COLUMNS.get(f, f): getattr(budget, f) for f in SCOPE_FIELDS if getattr(budget, f)}
    calls = Call.objects.filter(**scope, held_usd__isnull=False)  # Everything has a price here, so: admitted ones.
    adjustments = Adjustment.objects.filter(call_id__in=calls.values("id"))
    if budget.metric == "calls":
        return Decimal(calls.count())
    column, adjusted = (F("cost_usd"), "cost_usd") if budget.metric == "usd" else (TOKENS, "tokens")
    total: Decimal = calls.aggregate(sum=Sum(column, default=0))["sum"]
    return total + adjustments.aggregate(sum=Sum(adjusted, default=0))["sum"]


def census(server: Server) -> Counter[str]:
    """What is alive in the server's process, this question left out (see tests/load/census.py)."""
    with urllib.request.urlopen(f"{server.url}/census", timeout=10) as answer:
        found = Counter(json.load(answer))
    found["connections of clients"] -= 1
    return found


def sessions() -> Counter[str]:
    """Sessions of the database's clients by state, this one left out."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT state, count(*) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() GROUP BY state"
        )
        return Counter(dict(cursor.fetchall()))


def spooled() -> list[str]:
    """Calls that still wait in a spool file; one of a living process may be there, and empty."""
    directory = Path(settings().SPOOL_DIR)
    return [f"spool: {path.name} has {n} bytes" for path in files(directory) if (n := _waiting(path)) > 0]


def _waiting(path: Path) -> int:
    try:
        return path.stat().st_size - len(HEADER)
    except FileNotFoundError:
        return 0


def left_over(servers: list[Server], provider: MockProvider, idle: Counter[str], idle_sessions: int) -> list[str]:
    """What is alive that is not when nothing happens: `idle` of each server, and of the database's sessions."""
    found = []
    if provider.serving:
        found.append(f"upstream: {provider.serving} requests still under way")
    for server in servers:
        found += [f"{server.url}: {n} too many: {kind}" for kind, n in sorted((census(server) - idle).items())]
    open_sessions = sessions()
    if open_sessions.total() > idle_sessions or open_sessions.keys() - {"idle"}:
        found.append(f"database: sessions {dict(open_sessions)}, of which {idle_sessions} idle ones are due")
    return found
