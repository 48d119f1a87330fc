"""What happened in a call, and in calls that belong together, as lines of a waterfall."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import OperationalError, transaction
from django.db import connection as database
from django.db.models import Q, QuerySet

from gateway.ledger.partitions import first_id
from gateway.models import Call

STAGES = ("identify", "render", "redact", "cache", "price", "hold", "send", "redact_reply")
#: How far from a call those of its trace are looked for, as neither trace nor parent has an index; and how many are shown.
AROUND, MOST = timedelta(hours=1), 200
TIMEOUT_MS = 1000
#: Pauses that are longer than this share of the time in which something happened, and this many seconds, are cut short.
PAUSE_SHARE, PAUSE_S = 0.1, 1.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A stage or attempt of a call; start and width in thousandths of the whole."""

    name: str
    ms: float
    start: int
    width: int
    kind: str = "stage"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A call among others: when it began, in thousandths of the whole, how deep it is nested, and the pause before it."""

    call: Call
    start: int
    width: int
    depth: int
    pause_s: float = 0.0


def stages(call: Call) -> Iterator[Bar]:
    """The stages of a call, one after the other, with failed attempts inside of the sending."""
    # The database keeps an object's keys in an order of its own; a stage that is no longer known comes last.
    order = {name: place for place, name in enumerate(STAGES)}
    found = call.trace.get("stages", {})
    times = {name: found[name] for name in sorted(found, key=lambda name: order.get(name, len(order)))}
    whole = max(sum(times.values()), 0.001)
    at = 0.0
    for name, ms in times.items():
        yield Bar(name, ms, *_place(ms, at, whole))
        if name == "send":
            inside = at
            for attempt in call.trace.get("attempts", []):
                note = f"{attempt['outcome']}{' ' + str(attempt['status']) if attempt.get('status') else ''}"
                place = _place(attempt["ms"], inside, whole)
                yield Bar(attempt["target"], attempt["ms"], *place, kind="attempt", note=note)
                inside += attempt["ms"]
        at += ms


def related(call: Call, readable: QuerySet[Call]) -> list[Call] | None:
    """The calls of the same trace, its parent, siblings and children, in order; None where looking takes too long.

    Only those that were made within an hour of it; the call itself is among them unless it is alone.
    """
    asked = Q(parent=call.id)
    if call.parent:
        asked |= Q(id=call.parent) | Q(parent=call.parent)
    if call.trace_id:
        asked |= Q(trace_id=call.trace_id)
    near = readable.filter(id__gte=first_id(call.started_at - AROUND), id__lt=first_id(call.started_at + AROUND))
    found = _in_time(near.filter(asked).exclude(id=call.id).order_by("id")[:MOST])
    if not found:
        return found
    return sorted([*found, call], key=lambda each: each.id)


def of_session(session: str, tenant: str, readable: QuerySet[Call]) -> list[Call] | None:
    """The newest calls of a tenant's session, the oldest first; None where looking takes too long."""
    found = _in_time(readable.filter(session_id=session, tenant=tenant).order_by("-id")[:MOST])
    return found and found[::-1]


def waterfall(calls: Sequence[Call]) -> list[Step]:
    """The calls, in order of their start, on one line of time in which long pauses are cut out."""
    if not calls:
        return []
    starts = [call.started_at.timestamp() * 1000 for call in calls]
    ends = [start + call.latency_ms for start, call in zip(starts, calls, strict=True)]
    longest = max(PAUSE_S * 1000, PAUSE_SHARE * sum(call.latency_ms for call in calls))
    reached, cut, places, pauses = ends[0], starts[0], [], []
    for start, end in zip(starts, ends, strict=True):
        pause = start - reached
        pauses.append(pause / 1000 if pause > longest else 0.0)
        if pause > longest:
            cut += pause
        places.append(start - cut)
        reached = max(reached, end)
    whole = max(max(at + call.latency_ms for at, call in zip(places, calls, strict=True)), 0.001)
    depths = _depths(calls)
    return [
        Step(call, *_place(call.latency_ms, at, whole), depth=depths[call.id], pause_s=pause)
        for call, at, pause in zip(calls, places, pauses, strict=True)
    ]


def _depths(calls: Sequence[Call]) -> dict[UUID, int]:
    """How many parents of each call are among these; a parent is older than its children."""
    found: dict[UUID, int] = {}
    for call in calls:
        found[call.id] = found[call.parent] + 1 if call.parent in found else 0
    return found


def _place(ms: float, at: float, whole: float) -> tuple[int, int]:
    start = min(996, max(0, round(1000 * at / whole)))
    return start, min(1000 - start, max(4, round(1000 * ms / whole)))


def _in_time(calls: QuerySet[Call]) -> list[Call] | None:
    try:
        with transaction.atomic(), database.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = %s", [TIMEOUT_MS])
            return list(calls)
    except OperationalError as error:
        if "statement timeout" in str(error):
            return None
        raise
