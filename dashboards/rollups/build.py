"""Building rollups from the calls' rows, day by day, while calls go on and readers read: at first, after a restore into another
cluster, for another time zone, and by hand.

A day whose calls are partly gone, by retention, keeps the rollups that it has: these are then all that is known of it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from django.utils import timezone

from dashboards.models import RollupState
from dashboards.rollups import changes
from dashboards.rollups.changes import COLUMNS, SQL, TOTALS
from dashboards.rollups.roll import MOST_BYTES, add, compact, horizon, locked
from dashboards.rollups.sets import SETS
from gateway.ledger.partitions import first_id
from gateway.models import Call
from gateway.models.calls import uuid7_time

logger = logging.getLogger("tollhouse.rollups")

TABLES = ("tollhouse_rollup", "tollhouse_rollup_sketch", "tollhouse_rollup_entity")
#: Clocks that go ahead of ours may make calls later than today; they are built with the last day.
LATEST = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Built:
    """How many days were built, and which kept what they had, as calls of them are gone."""

    days: int
    kept: list[datetime]


def prepare() -> None:
    """Sees to it that there is a state, of this cluster and this time zone; what does not fit any more is to be built anew.

    Where the hours of the time zone begin at other minutes than before, the old sums are of no use, and what is left of the calls
    is all that counts.
    """
    name, shift_s = changes.zone()
    RollupState.objects.exclude(shift_s=shift_s).delete()
    if not RollupState.objects.exists():
        _begin()
    with locked() as state:
        if state is None:
            return
        if state.cluster != _cluster():
            _adopt(state)
        if state.time_zone != name:
            _fold_days()
            state.time_zone = name
        state.save()


def build(progress: Callable[[datetime], object] = lambda day: None) -> Built:
    """Goes on with building what `prepare` began, to the end. Several may do it at once: each day is built once."""
    done = Built(0, [])
    while True:
        with locked(wait=True) as state:
            if state is None or state.built:
                return done
            since = state.built_until or _first_day()
            until = _next_day(since)
            last = until > timezone.now()
            _build_day(state, since, LATEST if last else until, done, force=False)
            state.built, state.built_until = last, None if last else until
            state.save()
        progress(since)


def rebuild(
    since: datetime | None, *, force: bool = False, progress: Callable[[datetime], object] = lambda day: None
) -> Built:
    """Builds the days from `since` on (default: all) anew. With `force` also those whose calls are partly gone: the rollups then
    have what is left. Raises ValueError while they are not built at all."""
    done = Built(0, [])
    day = _day_of(since) if since else _first_day()
    last = False
    while not last:
        with locked(wait=True) as state:
            if state is None or not state.built:
                raise ValueError("The rollups are not built yet; the worker does it.")
            until = _next_day(day)
            last = until > timezone.now()
            _build_day(state, day, LATEST if last else until, done, force=force)
        progress(day)
        day = until
    return done


def _begin() -> None:
    """The first state: nothing is counted, and whatever the tables have is from before a state was lost."""
    with locked():
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE tollhouse_rollup_state IN EXCLUSIVE MODE")
            if RollupState.objects.exists():
                return
            cursor.execute(f"TRUNCATE {', '.join(TABLES)}, tollhouse_rollup_values")
        name, shift_s = changes.zone()
        state = RollupState(watermark=0, cluster=_cluster(), time_zone=name, shift_s=shift_s)
        state.watermark = horizon(state)
        state.save(force_insert=True)


def _adopt(state: RollupState) -> None:
    """The database was restored into another cluster, whose transactions count from anew: from now on so much is added to their
    ids that they come after all that is there, and everything is built anew, as some rows may have been written already."""
    with connection.cursor() as cursor:
        # Whoever calls waits behind this; where it takes long, it is tried again another time.
        cursor.execute("SET LOCAL lock_timeout = '2s'")
        cursor.execute("LOCK TABLE tollhouse_call, tollhouse_adjustment IN ACCESS EXCLUSIVE MODE")
        cursor.execute(SQL["newest"])
        [(newest,)] = cursor.fetchall()
        state.offset = max(newest, state.watermark)
        for table in ("tollhouse_call", "tollhouse_adjustment"):
            cursor.execute(f"ALTER TABLE {table} ALTER COLUMN written SET DEFAULT txid_current() + {state.offset:d}")
    logger.warning("rollups: this is another database cluster than the one they were made in; they are built anew")
    state.cluster, state.built, state.built_until = _cluster(), False, None
    state.watermark = horizon(state)


def _build_day(state: RollupState, since: datetime, until: datetime, done: Built, *, force: bool) -> None:
    given: dict[str, Any] = {
        "since": since, "until": until, "first": first_id(since), "last": first_id(until), "upto": state.watermark,
        "shift": state.shift_s,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(SQL["compare"], given)
        [(calls, counted)] = cursor.fetchall()
        if calls < counted and not force:
            done.kept.append(since)
            return
        if counted:
            for table in TABLES:
                cursor.execute(f"DELETE FROM {table} WHERE at >= %(since)s AND at < %(until)s", given)  # noqa: S608 (our names)
    if calls:
        add(changes.of_range(), given)
    done.days += 1


def _fold_days() -> None:
    """Makes the days anew from the hours, for another time zone."""
    given: dict[str, Any] = {"zone": changes.zone()[0], "most_bytes": MOST_BYTES}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DELETE FROM {table} WHERE grain = 'day'")  # noqa: S608 (our names)
        columns = ", ".join(COLUMNS)
        cursor.execute(SQL["fold"].format(columns=columns, totals=TOTALS), given)
        cursor.execute(SQL["fold_entities"], given)
        for one in (one for one in SETS if one.sketched):
            cursor.execute(SQL["fold_sketches"], {**given, "kind": one.kind})
            compact(one, cursor)


def _cluster() -> str:
    with connection.cursor() as cursor:
        cursor.execute(SQL["cluster"])
        found: str = cursor.fetchone()[0]
    return found


def _first_day() -> datetime:
    """The start of the day of the oldest call; today's where there is none."""
    oldest = Call.objects.order_by("id").values_list("id", flat=True).first()
    return _day_of(uuid7_time(oldest) if oldest else timezone.now())


def _day_of(at: datetime) -> datetime:
    place = ZoneInfo(changes.zone()[0])
    return datetime.combine(at.astimezone(place).date(), time(), place).astimezone(UTC)


def _next_day(day: datetime) -> datetime:
    # A day has up to 25 hours, and the one after it begins before 47 are over.
    return _day_of(day + timedelta(hours=36))
