"""Building rollups from the calls' rows, week by week, while calls go on and readers read: at first, after a restore into another
cluster, for another time zone, and by hand.

A day whose calls are partly gone, by retention, keeps the rollups that it has: these are then all that is known of it.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from django.utils import timezone

from dashboards.models import RollupState
from dashboards.rollups import changes
from dashboards.rollups.changes import COLUMNS, SQL, TOTALS
from dashboards.rollups.roll import MOST_BYTES, add, compact, horizon, is_ours, locked
from dashboards.rollups.sets import HOURS_KEPT, SETS, RollupSet
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
            logger.warning(
                "rollups: days are those of %s now, and were of %s; they are made anew", name, state.time_zone
            )
            _fold_days(state)
            state.time_zone = name
        state.save()


def build(progress: Callable[[datetime], object] = lambda day: None) -> Built:
    """Goes on with building what `prepare` began, to the end. Several may do it at once: each week is built once."""
    done = Built(0, [])
    while True:
        with locked(wait=True) as state:
            if state is None or state.built or not is_ours(state):
                return done
            since = state.built_until or _first_day()
            until = _build_week(state, since, done, force=False)
            state.built, state.built_until = until is None, until
            state.save()
            if state.built:
                _analyze()
        progress(until or timezone.now())


def rebuild(
    since: datetime | None, *, force: bool = False, progress: Callable[[datetime], object] = lambda day: None
) -> Built:
    """Builds the days from `since` on (default: all) anew. With `force` also those whose calls are partly gone: the rollups then
    have what is left. Raises ValueError while they are not built at all."""
    done = Built(0, [])
    day: datetime | None = _day_of(since) if since else _first_day()
    while day is not None:
        with locked(wait=True) as state:
            if state is None or not state.built or not is_ours(state):
                raise ValueError("The rollups are not built yet; the worker does it.")
            day = _build_week(state, day, done, force=force)
        progress(day or timezone.now())
    return done


def _analyze() -> None:
    """So that readers' queries are planned by what there is."""
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {', '.join(TABLES)}, tollhouse_rollup_values")


def _begin() -> None:
    """The first state: nothing is counted, and whatever the tables have is from before a state was lost."""
    with locked():
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE tollhouse_rollup_state IN EXCLUSIVE MODE")
            if RollupState.objects.exists():
                return
            cursor.execute(f"TRUNCATE {', '.join(TABLES)}, tollhouse_rollup_values")
        name, shift_s = changes.zone()
        state = RollupState(
            watermark=0, cluster=_cluster(), time_zone=name, shift_s=shift_s, hours_since=_hours_since()
        )
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


def _build_week(state: RollupState, since: datetime, done: Built, *, force: bool) -> datetime | None:
    """Builds the days from `since` to the end of its week, and the week from its days. Returns where the next one begins; None
    where this one is not over."""
    first = monday(since)
    following = _day_of(first + timedelta(days=7, hours=12))
    last = following > timezone.now()
    built = done.days
    day = since
    while day < following:
        # A day has up to 25 hours, and the one after it begins before 47 are over. What is later is built with the last.
        until = _day_of(day + timedelta(hours=36))
        _build_day(state, day, LATEST if last and until >= following else until, done, force=force)
        day = until
    if done.days > built:
        given = {"since": first, "until": LATEST if last else following}
        _delete(given, "week")
        for one in SETS:
            _fold(one, {**given, "grain": "week", "of": "day"})
    return None if last else following


def _build_day(state: RollupState, since: datetime, until: datetime, done: Built, *, force: bool) -> None:
    given: dict[str, Any] = {
        "since": since, "until": until, "first": first_id(since), "last": first_id(until), "upto": state.watermark,
        "shift": state.shift_s, "hours_since": state.hours_since,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(SQL["compare"], given)
        [(calls, counted)] = cursor.fetchall()
    if calls < counted and not force:
        done.kept.append(since)
        return
    _delete(given, "hour", "day")
    if calls:
        add(changes.of_range(), given, grains=("hour", "day"))
    done.days += 1


def _delete(given: Mapping[str, Any], *grains: str) -> None:
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(
                SQL["clear"].format(table=table), {**given, "grains": list(grains), "zone": changes.zone()[0]}
            )


def _fold(one: RollupSet, given: Mapping[str, Any]) -> None:
    """Makes sums of a `grain` from those `of` another, whose times are from `since` to before `until`."""
    given = {**given, "kind": one.kind, "zone": changes.zone()[0], "most_bytes": MOST_BYTES}
    with connection.cursor() as cursor:
        cursor.execute(SQL["fold"].format(columns=", ".join(COLUMNS), totals=TOTALS), given)
        if one.found:
            cursor.execute(SQL["fold_entities"], given)
        if one.sketched:
            cursor.execute(SQL["fold_sketches"], given)
            compact(one, cursor)


def _fold_days(state: RollupState) -> None:
    """Makes days and weeks anew from the hours, for another time zone, as far as there are hours; what has none is to be built
    from the calls, and stays by the days that it had where these are gone."""
    given = {"since": datetime(1970, 1, 1, tzinfo=UTC), "until": LATEST}
    hourly = [one for one in SETS if one.hourly]
    with connection.cursor() as cursor:
        for table in TABLES:
            query = f"DELETE FROM {table} WHERE grain <> 'hour' AND kind = ANY(%s)"  # noqa: S608 (our names)
            cursor.execute(query, [[one.kind for one in hourly]])
    for one in hourly:
        _fold(one, {**given, "grain": "day", "of": "hour"})
        _fold(one, {**given, "grain": "week", "of": "day"})
    state.built, state.built_until = False, None


def prune() -> None:
    """Removes the hours that are not kept any more."""
    since = _hours_since()
    if not RollupState.objects.filter(hours_since__lt=since).exists():
        return
    with locked() as state, connection.cursor() as cursor:
        if state is None or not state.built or state.hours_since >= since:
            return
        kinds = [one.kind for one in SETS if not one.hourly]
        for table in TABLES:
            cursor.execute(SQL["prune"].format(table=table), {"kinds": kinds, "since": since})
        state.hours_since = since
        state.save()


def _hours_since() -> datetime:
    return _day_of(timezone.now() - HOURS_KEPT)


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


def day_after(at: datetime) -> datetime:
    """The start of the first day that begins then or later."""
    day = _day_of(at)
    return day if day == at else _day_of(day + timedelta(hours=36))


def monday(day: datetime) -> datetime:
    """The start of the week that the day is in."""
    local = day.astimezone(ZoneInfo(changes.zone()[0]))
    return _day_of(local - timedelta(days=local.weekday()))
