"""What happened in a call, and in calls and steps that belong together, as lines of a waterfall."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.db import OperationalError, transaction
from django.db import connection as database
from django.db.models import Q, QuerySet

from gateway.explorer.export import added_to
from gateway.ledger.partitions import first_id
from gateway.models import Call, Step

Item = Call | Step

STAGES = ("identify", "render", "redact", "cache", "price", "hold", "send", "redact_reply")
#: How far from a call those of its trace are looked for, as neither trace nor parent of calls has an index; and how many of them,
#: and of steps, are shown.
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
class Line:
    """A call or a step among others: when it began, in thousandths of the whole, how deep it is nested, the pause before it.

    `cost_usd` is what a call cost, corrections included; None where it has no price, and of steps.
    """

    item: Item
    start: int
    width: int
    depth: int
    pause_s: float = 0.0
    cost_usd: Decimal | None = None

    @property
    def call(self) -> Call | None:
        return self.item if isinstance(self.item, Call) else None

    @property
    def step(self) -> Step | None:
        return self.item if isinstance(self.item, Step) else None


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


def related(call: Call, readable: QuerySet[Call], steps: QuerySet[Step]) -> list[Item] | None:
    """The calls and steps of the same trace, its parent, siblings and children; None where looking takes too long.

    Calls only where they were made within an hour of it; the call itself is among them unless it is alone.
    """
    return _in_time(lambda: _related(call, readable, steps))


def _related(call: Call, readable: QuerySet[Call], steps: QuerySet[Step]) -> list[Item]:
    asked = Q(parent=call.id)
    if call.parent:
        asked |= Q(id=call.parent) | Q(parent=call.parent)
    if call.trace_id:
        asked |= Q(trace_id=call.trace_id)
    around = list(steps.filter(asked).order_by("id")[:MOST])
    # Calls of a step that answers this one's tool calls may be of another trace.
    asked |= Q(parent__in=[step.id for step in around]) | Q(id__in=[step.parent for step in around if step.parent])
    if traces := {step.trace_id for step in around if step.trace_id}:
        asked |= Q(trace_id__in=traces)
    near = readable.filter(id__gte=first_id(call.started_at - AROUND), id__lt=first_id(call.started_at + AROUND))
    found = list(near.filter(asked).exclude(id=call.id).order_by("id")[:MOST])
    return [*around, *found, call] if around or found else []


def of_session(session: str, tenant: str, readable: QuerySet[Call]) -> list[Call] | None:
    """The newest calls of a tenant's session, the oldest first; None where looking takes too long."""
    rows = readable.filter(session_id=session, tenant=tenant).order_by("-id")
    found = _in_time(lambda: list(rows[:MOST]))
    return found and found[::-1]


def steps_of_session(session: str, tenant: str, steps: QuerySet[Step]) -> list[Step]:
    """The newest steps of a tenant's session; none where looking takes too long."""
    rows = steps.filter(session_id=session, tenant=tenant).order_by("-id")
    return _in_time(lambda: list(rows[:MOST])) or []


def waterfall(items: Sequence[Item]) -> list[Line]:
    """The calls and steps on one line of time in which long pauses are cut out, each below its parent, siblings in order of
    their start.
    """
    if not items:
        return []
    ordered = sorted(items, key=lambda item: item.id)
    starts = [item.started_at.timestamp() * 1000 for item in ordered]
    longest = max(PAUSE_S * 1000, PAUSE_SHARE * sum(item.latency_ms for item in ordered))
    reached, cut = starts[0], starts[0]
    places: dict[UUID, tuple[float, float]] = {}
    for item, start in zip(ordered, starts, strict=True):
        pause = start - reached if start - reached > longest else 0.0
        cut += pause
        places[item.id] = start - cut, pause / 1000
        reached = max(reached, start + item.latency_ms)
    whole = max(reached - cut, 0.001)
    added = added_to([item for item in ordered if isinstance(item, Call)])
    lines = []
    for item, depth in _nested(ordered):
        at, pause_s = places[item.id]
        cost = item.cost_usd if isinstance(item, Call) else None
        if item.id in added:
            cost = (cost or 0) + added[item.id]
        lines.append(Line(item, *_place(item.latency_ms, at, whole), depth=depth, pause_s=pause_s, cost_usd=cost))
    return lines


def _nested(ordered: Sequence[Item]) -> Iterator[tuple[Item, int]]:
    """Each with its depth, below its parent where that is among them. A parent is older than its children."""
    known = {item.id for item in ordered}
    children: dict[UUID | None, list[Item]] = defaultdict(list)
    for item in ordered:
        inside = item.parent in known and item.parent is not None and item.parent < item.id
        children[item.parent if inside else None].append(item)
    waiting = [(item, 0) for item in reversed(children[None])]
    while waiting:
        item, depth = waiting.pop()
        yield item, depth
        waiting += [(child, depth + 1) for child in reversed(children[item.id])]


def _place(ms: float, at: float, whole: float) -> tuple[int, int]:
    start = min(996, max(0, round(1000 * at / whole)))
    return start, min(1000 - start, max(4, round(1000 * ms / whole)))


def _in_time[Found](read: Callable[[], Found]) -> Found | None:
    """What is read; None where a statement of it takes too long."""
    try:
        with transaction.atomic(), database.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = %s", [TIMEOUT_MS])
            return read()
    except OperationalError as error:
        if "statement timeout" in str(error):
            return None
        raise
