"""Comparisons kept as bills, and their differences as adjustments. Both once, however often a file is given."""

import hashlib
import json
from dataclasses import asdict
from decimal import Decimal

from django.db import connection

from gateway.bills.compare import SQL, Comparison, Line
from gateway.models import Adjustment, AuditEntry, Bill, BillLine
from gateway.types import ZERO

#: Key of the advisory lock that lets one bill be compared and booked at a time; any number that nothing else takes.
LOCK = 7_065_810_051


def lock() -> None:
    """Waits for whoever books a bill now, until the end of the transaction under way."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def store(provider: str, found: Comparison, tolerance: Decimal, actor: str) -> Bill:
    """The bill of this comparison with its lines; the one that exists where the same was found before."""
    fingerprint = _fingerprint(provider, found, tolerance)
    if known := Bill.objects.filter(fingerprint=fingerprint).first():
        return known
    bill = Bill.objects.create(
        provider=provider,
        files=", ".join(found.files)[:500],
        fingerprint=fingerprint,
        since=found.since,
        until=found.until,
        billed_usd=sum((line.billed.usd or ZERO for line in found.own), ZERO) if found.has_cost else None,
        ledger_usd=sum((line.booked.usd for line in found.own), ZERO),
        tolerance_percent=tolerance,
        matches=found.matches,
        made_by=actor,
    )
    BillLine.objects.bulk_create((_row(bill, line) for line in found.lines), batch_size=1000)
    return bill


def book(bill: Bill, reason: str, actor: str) -> list[Adjustment]:
    """Adjustments that make the ledger agree with each of the bill's lines that differ; those that there are, stay.

    Lines of keys that are not the gate's are left alone. In the transaction under way, with an entry in the audit log.
    """
    lines = bill.lines.filter(differs=True, adjustment=None, billed_usd__isnull=False).exclude(provider="")
    made = [
        Adjustment(
            bill_line=line,
            cost_usd=(line.billed_usd or ZERO) - line.ledger_usd,
            tokens=0 if line.billed_tokens is None else line.billed_tokens - line.ledger_tokens,
            reason=reason,
            actor=actor,
        )
        for line in lines
    ]
    if made:
        Adjustment.objects.bulk_create(made, batch_size=1000)
        total = sum((adjustment.cost_usd for adjustment in made), ZERO)
        AuditEntry.objects.create(
            actor=actor,
            action="bill.book",
            subject=f"bill {bill}"[:255],
            reason=reason,
            detail={"bill": bill.pk, "adjustments": len(made), "cost_usd": f"{total:f}"},
        )
    return made


def _row(bill: Bill, line: Line) -> BillLine:
    return BillLine(
        bill=bill,
        day=line.day,
        provider=line.provider,
        model=line.model,
        key=line.key,
        billed_usd=line.billed.usd,
        ledger_usd=line.booked.usd,
        billed_tokens=line.billed.tokens,
        ledger_tokens=line.booked.tokens,
        calls=line.booked.calls,
        differs=line.differs,
        causes=line.causes,
    )


def _fingerprint(provider: str, found: Comparison, tolerance: Decimal) -> str:
    """Of all that was compared, and of how often these days were corrected before: afterwards it is another bill."""
    owners = sorted({line.provider for line in found.own})
    with connection.cursor() as cursor:
        cursor.execute(SQL["bill_adjustments"], [owners, found.since, found.until])
        [corrected] = cursor.fetchone()
    digest = hashlib.sha256(json.dumps([provider, found.files, f"{tolerance:f}", corrected]).encode())
    for line in found.lines:
        digest.update(json.dumps(asdict(line), default=str, sort_keys=True).encode())
    return digest.hexdigest()
