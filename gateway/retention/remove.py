"""Removing what has expired: whole partitions where all of one has, batches of rows where it is mixed."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import OperationalError, connection, transaction
from psycopg import sql

from gateway.ledger.partitions import SPANS, first_id
from gateway.models import RetentionKind
from gateway.retention.derived import EVER, counted
from gateway.retention.kinds import CALL, PAYLOAD, REGISTERED, KeptTable, defaults
from gateway.retention.schedule import Fate, ends_at, fate, shorter
from gateway.sql import queries

logger = logging.getLogger("tollhouse.retention")

#: Rows that one transaction deletes.
BATCH = 5_000
#: How long dropping a partition waits for readers, in milliseconds: calls of the ledger queue behind it.
LOCK_WAIT_MS = 200

_parts = queries("retire.sql")
_pieces = {name: _parts[name].strip() for name in ("call_expired", "payload_expired", "book")}
# The first line of this one is its comment.
_pieces["held"] = _parts["held"].partition("\n")[2].strip()
TABLES = {CALL: "tollhouse_call", PAYLOAD: "tollhouse_payload"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What removal does to one partition, or to a table that has none (`start` and `end` are None)."""

    kind: str
    name: str
    start: datetime | None
    end: datetime | None
    fate: Fate
    rows: int
    held: int


def sync() -> None:
    """Writes what the settings and the registered apps say into the database, where readers' policies look it up."""
    wanted = defaults()
    known = dict(RetentionKind.objects.values_list("kind", "keep_days"))
    for kind, days in wanted.items():
        if known.get(kind) != days:
            RetentionKind.objects.update_or_create(kind=kind, defaults={"keep_days": days})


def sync_after_migrate(*, using: str, plan: Any = (), **kwargs: Any) -> None:
    """For the signal `post_migrate`: rows expire from the first day on, before any worker has run."""
    if using == "default" and RetentionKind._meta.db_table in connection.introspection.table_names():
        sync()


def plan() -> list[Step]:
    """What would go now, and what stays of it for a legal hold. Changes nothing, but counts all rows that it names."""
    sync()
    with seeing_expired():
        steps = [
            Step(kind=kind, name=name, start=start, end=end, fate=_fate(found, held), rows=rows, held=held)
            for kind in (PAYLOAD, CALL)
            for name, start, end, found in _partitions(kind)
            if found != "keep"
            for rows, held in [_count(kind, start, end)]
        ]
        for table in REGISTERED.values():
            rows, held = _one(
                _of(table, "SELECT count(*) FILTER (WHERE NOT ({held})), count(*) FILTER (WHERE {held}) {found}")
            )
            steps.append(
                Step(kind=table.kind, name=table.table, start=None, end=None, fate="delete", rows=rows, held=held)
            )
    return [step for step in steps if step.rows or step.held or step.fate == "drop"]


def kept_for(kind: str) -> str:
    """How long rows of a kind are kept, in words, e.g. "30 days; support.reply: 90 days"."""
    days: dict[str, int] = _one(_parts["keep_days"], [kind])[1]
    own = [f"{feature}: {count} days" for feature, count in sorted(days.items()) if feature]
    return "; ".join([f"{days['']} days" if days[""] else "until the time that each row says", *own])


def next_removal() -> dict[str, datetime]:
    """When the next partition of calls and of payloads will have expired as a whole, by kind."""
    found = {}
    for kind in (PAYLOAD, CALL):
        now, days = _kept(kind)
        ends = (ends_at(end, days) for _, _, end, _ in _partitions(kind))
        if later := [at for at in ends if at > now]:
            found[kind] = min(later)
    return found


def remove() -> dict[str, dict[str, int]]:
    """Removes all that has expired and is not under a legal hold: by kind, how many rows and whole partitions.

    A partition that readers keep busy is left for the next time. Any number of workers may do it.
    """
    sync()
    done = {}
    for kind in (PAYLOAD, *REGISTERED, CALL):
        done[kind] = _remove_rows(REGISTERED[kind]) if kind in REGISTERED else _remove_partitions(kind)
        with connection.cursor() as cursor:
            cursor.execute(_parts["ran"], [kind])
            if any(done[kind].values()):
                cursor.execute(_parts["removed"], [json.dumps(done[kind]), kind])
                logger.info("retention: %s: %s", kind, ", ".join(f"{n} {what}" for what, n in done[kind].items()))
    return done


def _remove_partitions(kind: str) -> dict[str, int]:
    done = {"rows": 0, "partitions": 0}
    with seeing_expired():
        partitions = [part for part in _partitions(kind) if part[3] != "keep"]
    # What is not counted yet stays until it is.
    before = counted() if kind == CALL and partitions else EVER
    for name, start, end, found in partitions:
        if found == "drop" and (rows := _drop(kind, name, start, end, before)) is not None:
            done["rows"] += rows
            done["partitions"] += 1
            continue
        while count := _delete(kind, start, end, before):
            done["rows"] += count
    return done


def _delete(kind: str, start: datetime, end: datetime, before: int) -> int:
    with seeing_expired(lock=True):
        values = {"first": first_id(start), "last": first_id(end), "batch": BATCH, "before": before}
        count: int = _one(_query(f"delete_{kind}", source="gone"), values)[0]
    return count


def _drop(kind: str, name: str, start: datetime, end: datetime, before: int = EVER) -> int | None:
    """Drops the partition and returns how many rows that were; None where something in it stays, or readers are in the way.

    What stays is under a legal hold, or not counted before the transaction `before`, or has not expired after all, as a rule was
    changed since the partition was looked at.
    """
    try:
        with seeing_expired(lock=True), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
            # Nothing is written into it any more, so that what is counted is what is dropped.
            cursor.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(sql.Identifier(name)).as_string(None))
            rows, _ = _count(kind, start, end)
            there = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name)).as_string(None)
            cursor.execute(there)
            if cursor.fetchone() != (rows,):
                return None
            if kind == CALL:
                cursor.execute(f"{there} WHERE written >= %s", [before])
                if cursor.fetchone() != (0,):
                    return None
                source = "(SELECT * FROM tollhouse_call WHERE id >= %(first)s AND id < %(last)s)"
                cursor.execute(_query("book", source=source), {"first": first_id(start), "last": first_id(end)})
            cursor.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)).as_string(None))
    except OperationalError as error:
        if "lock timeout" not in str(error):
            raise
        logger.info("retention: %s is in use and is dropped another time", name)
        return None
    return rows


def _remove_rows(table: KeptTable) -> dict[str, int]:
    done = 0
    query = "WITH gone AS (DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT t.ctid {found} AND NOT ({held}) LIMIT {batch}))"
    query += " RETURNING 1) SELECT count(*) FROM gone"
    while True:
        with seeing_expired(lock=True):
            count = _one(_of(table, query))[0]
        done += count
        if count < BATCH:
            return {"rows": done}


def _of(table: KeptTable, query: str) -> str:
    """The query with `{found}` as the rows of the table that have expired, and `{held}` as those under a legal hold."""
    days = f"(SELECT tollhouse_keep_days_v1('{table.kind}'))"
    own = f"{days} ->> t.{table.feature}, " if table.feature else ""
    whose = (("tenant", table.tenant), ("user_ref", table.user_ref), ("user_ref", table.author))
    same = [f"h.{mine} <> '' AND h.{mine} = t.{theirs}" for mine, theirs in whose if theirs]
    held = f"EXISTS (SELECT FROM tollhouse_legal_hold h WHERE h.lifted_at IS NULL AND ({' OR '.join(same) or 'false'}))"
    found = f"FROM {table.table} t WHERE t.{table.at} <= now() - coalesce({own}{days} ->> '', '36500')::int * interval '24 hours'"
    return query.format(table=table.table, found=found, held=held, batch=BATCH)


def _partitions(kind: str) -> Iterator[tuple[str, datetime, datetime, Fate]]:
    """Name, start, end and fate of each partition, oldest first."""
    table = TABLES[kind]
    now, days = _kept(kind)
    with connection.cursor() as cursor:
        cursor.execute(_parts["partitions"], [table])
        names = [name for (name,) in cursor.fetchall()]
    for name in names:
        if made := re.search(r"_(\d{8})\Z", name):
            start = datetime.strptime(made[1], "%Y%m%d").replace(tzinfo=UTC)
            yield name, start, start + SPANS[table], fate(start, start + SPANS[table], now, days)


def _kept(kind: str) -> tuple[datetime, dict[str, int]]:
    """The database's now, and the days that rows of the kind are kept, by feature."""
    now, days = _one(_parts["keep_days"], [kind])
    if kind == PAYLOAD:
        days = shorter(days, _one(_parts["keep_days"], [CALL])[1])
    return now, days


def _fate(found: Fate, held: int) -> Fate:
    return "delete" if held else found


def _count(kind: str, start: datetime, end: datetime) -> tuple[int, int]:
    rows, held = _one(_query(f"count_{kind}"), {"first": first_id(start), "last": first_id(end)})
    return rows, held


def _query(name: str, **values: str) -> str:
    pieces = {**_pieces, **values}
    if "source" in values:
        pieces["book"] = _pieces["book"].format(**values)
    return _parts[name].format(**pieces)


def _one(query: str, values: Any = None) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        row: tuple[Any, ...] = cursor.fetchone()
    return tuple(json.loads(v) if isinstance(v, str) and v.startswith("{") else v for v in row)


@contextmanager
def seeing_expired(*, lock: bool = False) -> Iterator[None]:
    """A transaction that sees expired rows; with `lock`, the only one that removes, and in which no legal hold is set."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_parts["begin"])
        if lock:
            cursor.execute(_parts["lock"])
        yield
        # In a test's transaction, which goes on, it must not stay.
        cursor.execute("SET LOCAL tollhouse.sees_expired = 'off'")
