"""Rows of the ledger's tables, as tests of readers need them."""

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import connection
from django.utils import timezone
from uuid_utils.compat import uuid7

from gateway.ledger.partitions import EXISTING, SPANS, first_id, make_ahead, missing
from gateway.models import Call, Payload
from gateway.retention.remove import seeing_expired


def make_call(*, at: datetime | None = None, payload: dict | None = None, **values) -> Call:
    """A call's row, made `at` that time (default: now), with its payload if one is given."""
    make_ahead(1)
    if at is not None:
        make_partitions(at)
    id = uuid7() if at is None else UUID(int=first_id(at).int | (7 << 76) | (2 << 62) | (uuid7().int & (1 << 62) - 1))
    defaults = {
        "feature": "support.reply", "source": "http", "operation": "chat", "route": "fast", "provider": "openai",
        "model_served": "gpt-4o-mini", "attempts": 1, "input_tokens": 1200, "output_tokens": 240,
        "cost_usd": Decimal("0.000324"), "held_usd": Decimal("0.0012"), "latency_ms": 812.4, "gate_ms": 4.2,
        "redaction_ms": 1.9, "outcome": "ok", "http_status": 200, "finish_reason": "stop", "policy": "default",
        "trace": {"stages": {"identify": 0.02, "render": 0.1, "redact": 1.9, "price": 0.05, "hold": 1.1, "send": 808.2}},
    }  # fmt: skip
    call = Call(id=id, **{**defaults, **values})
    # The ORM reads back what it wrote, which one that has expired already would not allow.
    with seeing_expired():
        Call.objects.bulk_create([call])
        if payload is not None:
            Payload.objects.bulk_create([Payload(id=id, content=payload)])
    return call


def make_partitions(*times: datetime) -> None:
    """The partitions that rows made at these times need."""
    with connection.cursor() as cursor:
        cursor.execute(EXISTING, [list(SPANS)])
        existing = {name for (name,) in cursor.fetchall()}
        for statement in missing(times, existing):
            cursor.execute(statement.as_string(cursor.connection))


def many_calls(count: int, *, days: int = 1) -> None:
    """Many plain rows, spread evenly over the last days, made by the database itself."""
    make_ahead(1)
    start = timezone.now() - timedelta(days=days)
    make_partitions(*(start + timedelta(days=n) for n in range(days)))
    with connection.cursor() as cursor:
        columns = ", ".join(f.column for f in Call._meta.concrete_fields)
        template = make_call(feature="template")
        values = columns.replace("id,", "new.id,", 1).replace("feature", "'f' || n %% 20")
        cursor.execute(
            f"INSERT INTO tollhouse_call ({columns}) SELECT {values} FROM tollhouse_call c,"
            " LATERAL (SELECT n, (lpad(to_hex((extract(epoch FROM %s::timestamptz) * 1000)::bigint + n::bigint * %s / %s), 12, '0')"
            " || '7000' || '8000' || lpad(to_hex(n), 12, '0'))::uuid AS id FROM generate_series(1, %s) n) new WHERE c.id = %s",
            [start, days * 86_400_000, count, count, template.id],
        )
