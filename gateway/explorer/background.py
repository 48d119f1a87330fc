"""Exports in the background: asked for on a page, made by a worker, kept in the database until they expire.

A worker reads an export's range of ids in slices, each in a transaction of its own that also keeps what was read and notes how
far it came. So no reader stands in the way of retention or vacuum for long, an export can be cancelled at any moment, and
one whose worker died is taken up by another where it stopped (Parquet, whose end lists all of it, from the beginning).
"""

import json
import logging
import zlib
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec
from io import BytesIO
from time import perf_counter
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import DatabaseError, transaction
from django.db.models import Max, Q, QuerySet
from django.db.models.functions import Now

from gateway.access import User, tenants_of, visible_calls
from gateway.conf import settings
from gateway.explorer.conditions import conditions
from gateway.explorer.export import BLOCK, Parquet, copy_rows
from gateway.explorer.fields import Kind
from gateway.explorer.query import parse
from gateway.explorer.search import Range
from gateway.models import Call, Export, ExportPart

logger = logging.getLogger("tollhouse.worker")
State = Export.State

#: What somebody needs who exports calls.
PERMISSIONS = ("tollhouse_gateway.view_call", "tollhouse_gateway.export_call")
#: Exports of one user that may wait or run at a time.
MOST_OPEN = 3
#: Rows of one slice at most; and the time that the first one covers. Later ones are as long as is read in about a second.
SLICE_ROWS = 50_000
FIRST, LEAST = timedelta(hours=1), timedelta(minutes=1)
QUICK_S, SLOW_S = 0.5, 2.0
#: An export whose worker has not written for so long is taken up by another; so often at most.
SILENT = timedelta(seconds=120)
MOST_ATTEMPTS = 5
#: Characters of an id, and the comma after it.
ID = 37


class Refused(Exception):
    """The export cannot be made; the message says why, and what to do."""


class _Stopped(Exception):
    """Somebody cancelled the export, or another worker has taken it up."""


def may_export(user: User) -> bool:
    """Whether the user may export calls at all; which ones, limits to tenants say."""
    return user.has_perms(PERMISSIONS)


def ask(user: User, *, query: str, within: Range, columns: Sequence[str], format: str) -> Export:
    """Puts an export into the workers' line. Raises Refused where the user has enough of them there."""
    waiting = Export.objects.filter(asked_by=user.pk, state__in=[State.WAITING, State.RUNNING])
    if waiting.count() >= MOST_OPEN:
        raise Refused(f"{MOST_OPEN} exports of yours are not finished yet; wait for one, or cancel it.")
    assert user.pk is not None  # somebody who may do nothing has none
    return Export.objects.create(
        asked_by_id=user.pk, tenants=_limits(user), format=format, query=query, since=within.since,
        until=within.until, columns=list(columns),
    )  # fmt: skip


def cancel(export: Export) -> bool:
    """Ends an export that waits or runs; False where it has ended already."""
    with transaction.atomic():
        row = Export.objects.select_for_update().filter(pk=export.pk).first()
        if row is None or not row.open:
            return False
        _end(row, State.CANCELLED)
    return True


def pieces(export: Export) -> Iterator[bytes]:
    """The file, piece by piece."""
    for number in range(export.parts.count()):
        yield _piece(export, number)


async def apieces(export: Export) -> AsyncIterator[bytes]:
    """The same, for asynchronous servers."""
    for number in range(await export.parts.acount()):
        yield await sync_to_async(_piece)(export, number)


def make_waiting() -> None:
    """Makes the exports that wait, one after the other, the oldest first. Any number of workers may do it."""
    while export := _take():
        try:
            _make(export)
        except _Stopped:
            pass
        except Refused as problem:
            _fail(export, str(problem))
        except DatabaseError:
            # Taken up again after a while, where it stopped.
            raise
        except Exception:
            logger.exception("worker: export %s failed", export.pk)
            _fail(export, "It failed for a reason that the log of the worker tells. Ask for it again.")


@contextmanager
def erasing(user_ref: str, calls: Sequence[UUID]) -> Iterator[None]:
    """Takes back the files in which an erased person's calls may be; `calls` are in order."""
    made = Export.objects.select_for_update().filter(state__in=[State.RUNNING, State.READY])
    for export in made.order_by("pk") if calls else ():
        within = Range(export.since, export.until)
        if bisect_left(calls, within.low) < bisect_left(calls, within.high):
            _end(export, State.FAILED, "A person in it was erased since. Ask for it again.")
    yield


def _limits(user: User) -> list[str] | None:
    tenants = tenants_of(user)
    return None if tenants is None else sorted(tenants)


def _piece(export: Export, number: int) -> bytes:
    content = bytes(ExportPart.objects.values_list("content", flat=True).get(export=export, number=number))
    return zlib.decompress(content) if export.format == Export.Format.CSV else content


def _take() -> Export | None:
    """The oldest export that nobody makes, now this worker's."""
    free = Q(state=State.WAITING) | Q(state=State.RUNNING, seen_at__lt=Now() - SILENT)
    with transaction.atomic():
        found = Export.objects.select_for_update(skip_locked=True, of=("self",)).filter(free)
        export = found.select_related("asked_by").order_by("id").first()
        if export is None:
            return None
        if export.attempts and export.format == Export.Format.PARQUET:
            export.parts.all().delete()
            export.rows = export.size = export.stored = export.share = 0
            export.next_id = None
        export.attempts += 1
        export.state = State.RUNNING
        export.seen_at = Now()
        export.save()
        return export


def _make(export: Export) -> None:
    if export.attempts > MOST_ATTEMPTS:
        raise Refused(f"Given up after {MOST_ATTEMPTS} attempts; the log of the worker tells why. Narrow the query.")
    calls, within = _calls(export), Range(export.since, export.until)
    file = _Csv(export) if export.format == Export.Format.CSV else _Parquet(export)
    whole = _weight(within.low, within.high)
    low, width = export.next_id or within.low, _width(FIRST)
    while low < within.high:
        end = min(within.high, UUID(int=low.int + width))
        began = perf_counter()
        count, rows, last = _slice(calls.filter(id__gte=low, id__lt=end), export.columns, guarded=file.guarded)
        took = perf_counter() - began
        low = end if last is None else UUID(int=last.int + 1)
        share = 1 - _weight(low, within.high) / whole if low < within.high else 1.0
        _keep(export, file.add(rows), count=count, low=low, share=share)
        if last is None:
            factor = 2.0 if took < QUICK_S else 0.5 if took > SLOW_S else 1.0
            width = max(_width(LEAST), int(width * factor))
    _keep(export, file.end(), count=0, low=low, share=1.0, ready=True)


def _calls(export: Export) -> QuerySet[Call]:
    """The calls that fit and that the user may see, who has to be one still that may export them."""
    user = export.asked_by
    if not may_export(user):
        raise Refused(f"{user} may not export calls any more.")
    if export.tenants != _limits(user):
        raise Refused(f"The tenants that {user} may see were changed since. Ask for it again.")
    if export.format == Export.Format.PARQUET and find_spec("pyarrow") is None:
        raise Refused("Parquet needs pyarrow: install tollhouse[parquet] where the worker runs.")
    query, within = parse(export.query, now=export.asked_at), Range(export.since, export.until)
    if query.asking(Kind.SCORE) and not user.has_perm("tollhouse_gateway.view_score"):
        raise Refused(f"{user} may not view scores any more. Ask for it again without them.")
    return visible_calls(user).filter(conditions(query, within.low, within.high))


def _slice(calls: QuerySet[Call], columns: Sequence[str], *, guarded: bool) -> tuple[int, bytes, UUID | None]:
    """How many rows, their CSV, and the id of the last one where there may be more."""
    rows, id = [], b""
    for row in copy_rows(calls.order_by("id")[:SLICE_ROWS], ["id", *columns], guarded=guarded, header=False):
        id = row[: ID - 1]
        rows.append(row[ID:])
    return len(rows), b"".join(rows), UUID(id.decode()) if len(rows) == SLICE_ROWS else None


class _Csv:
    """The file's pieces: as many rows as were read at a time, each compressed alone."""

    guarded = True

    def __init__(self, export: Export) -> None:
        self._begin = b"" if export.size else ",".join(export.columns).encode() + b"\n"

    def add(self, rows: bytes) -> tuple[bytes, int]:
        """What is to be kept now, and how many bytes of the file that is."""
        piece, self._begin = self._begin + rows, b""
        return (zlib.compress(piece, 3) if piece else b""), len(piece)

    def end(self) -> tuple[bytes, int]:
        return self.add(b"")


class _Parquet:
    """The file's pieces: a group of rows each, and its end."""

    guarded = False

    def __init__(self, export: Export) -> None:
        self._sink = _Sink()
        self._rows: list[bytes] = []
        self._size = 0
        self._file = Parquet(self._sink, export.columns)

    def add(self, rows: bytes) -> tuple[bytes, int]:
        self._rows.append(rows)
        self._size += len(rows)
        if self._size > BLOCK:
            self._write()
        return self._sink.drained()

    def end(self) -> tuple[bytes, int]:
        self._write()
        self._file.close()
        return self._sink.drained()

    def _write(self) -> None:
        if self._size:
            self._file.add(b"".join(self._rows))
        self._rows, self._size = [], 0


class _Sink(BytesIO):
    """Takes what is written; `tell` goes on counting when some of it was taken out."""

    _before = 0

    def tell(self) -> int:
        return self._before + super().tell()

    def drained(self) -> tuple[bytes, int]:
        found = self.getvalue()
        self._before += len(found)
        self.seek(0)
        self.truncate()
        return found, len(found)

    def close(self) -> None:
        """Whoever writes closes it, and what was written last is still wanted."""


def _keep(
    export: Export, piece: tuple[bytes, int], *, count: int, low: UUID, share: float, ready: bool = False
) -> None:
    """Keeps a piece of the file and notes how far the export is. Raises _Stopped and Refused."""
    content, size = piece
    with transaction.atomic():
        row = Export.objects.select_for_update().filter(pk=export.pk).first()
        if row is None or row.state != State.RUNNING or row.attempts != export.attempts:
            raise _Stopped
        if content:
            last = row.parts.aggregate(last=Max("number"))["last"]
            row.parts.create(number=0 if last is None else last + 1, content=content)
        row.rows += count
        row.size += size
        row.stored += len(content)
        row.next_id, row.share, row.seen_at = low, max(row.share, share), Now()
        if row.stored > (most := settings().EXPORT_MAX_BYTES):
            raise Refused(f"It takes more than {most / 1e6:,.0f} MB. Narrow the query, or use manage.py calls export.")
        row.save()
        if ready:
            _end(row, State.READY)


def _fail(export: Export, error: str) -> None:
    with transaction.atomic():
        row = Export.objects.select_for_update().filter(pk=export.pk, attempts=export.attempts).first()
        if row is not None and row.state == State.RUNNING:
            _end(row, State.FAILED, error)


def _end(row: Export, state: Export.State, error: str = "") -> None:
    row.state, row.error, row.ended_at = state, error, Now()
    row.expires_at = Now() + timedelta(hours=settings().EXPORT_KEEP_HOURS)
    if state != State.READY:
        row.parts.all().delete()
        row.stored = 0
    row.save()


def _weight(low: UUID, high: UUID) -> int:
    """About how many calls are in a range, by the planner's figures, which cost no reading; at least 1."""
    [found] = json.loads(Call.objects.filter(id__gte=low, id__lt=high).explain(format="json"))
    return max(1, int(found["Plan"]["Plan Rows"]))


def _width(span: timedelta) -> int:
    """How far ids are apart that were made with this time between them."""
    return int(span / timedelta(milliseconds=1)) << 80
