"""Counting rows into the rollups: each committed row once, however late it commits.

Every call and adjustment has the id of the transaction that wrote it (`written`). All transactions before the oldest one still
running are over, so their rows are all there; those of the watermark up to that one are counted in one transaction that moves
the watermark on. Whoever counts, or builds anew, has the lock on the state's row.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from dashboards.models import RollupState
from dashboards.rollups import changes, sketch
from dashboards.rollups.changes import COLUMNS, CONSTANTS, PIECES, SQL, TOTALS
from dashboards.rollups.sets import SETS, RollupSet

#: A sketch whose entries of one metric take more than this is written anew with one entry for each bucket.
MOST_BYTES = 3000
#: The table, of one transaction, that calls are put into on their way.
FOUND = "tollhouse_rollup_found"


def roll() -> bool:
    """Counts what has been written since the last time. False where somebody else is at it, or they are not built yet."""
    with locked() as state:
        if state is None or not state.built:
            return False
        upto = horizon(state)
        if upto > state.watermark:
            given = {"after": state.watermark, "upto": upto, "shift": state.shift_s}
            if _anything(given):
                add(changes.written_since(), given)
            state.watermark, state.moved_at = upto, timezone.now()
        state.rolled_at = timezone.now()
        state.save()
    return True


@contextmanager
def locked(*, wait: bool = False) -> Iterator[RollupState | None]:
    """A transaction that has the state's row for itself; None where there is no row, or another has it and we do not wait."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL jit = off; SET LOCAL work_mem = '64MB'; SET LOCAL tollhouse.sees_expired = 'on'")
        yield RollupState.objects.select_for_update(skip_locked=not wait).first()


def horizon(state: RollupState) -> int:
    """Rows of transactions before this one are all there."""
    with connection.cursor() as cursor:
        cursor.execute(SQL["horizon"])
        found: int = cursor.fetchone()[0]
    return found + state.offset


def _anything(given: Mapping[str, Any]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(SQL["anything"], given)
        found: bool = cursor.fetchone()[0]
    return found


def add(rows: str, given: Mapping[str, Any], sets: Iterable[RollupSet] = SETS) -> None:
    """Adds calls to the rollups of these kinds; `rows` is the query that finds them, with `given` as its values."""
    with connection.cursor() as cursor:
        # Once for all kinds, and where the planner can see how many there are.
        cursor.execute(
            f"DROP TABLE IF EXISTS pg_temp.{FOUND}; CREATE TEMP TABLE {FOUND} ON COMMIT DROP AS {rows}", given
        )
        cursor.execute(f"ANALYZE {FOUND}")
    for one in sets:
        _add_kind(one, {**CONSTANTS, **given, "zone": changes.zone()[0], "kind": one.kind})


def _add_kind(one: RollupSet, given: Mapping[str, Any]) -> None:
    rows = f"SELECT * FROM {FOUND}"  # noqa: S608 (our name)
    dimensions = ", ".join(one.dimensions)
    digest = PIECES["digest"].format(dimensions=dimensions)
    pieces = {
        **PIECES, "dimensions": dimensions, "totals": TOTALS, "columns": ", ".join(COLUMNS), "digest": digest,
        "key_id": PIECES["key_id"].format(digest=digest),
        "added": ", ".join(f"{name} = r.{name} + excluded.{name}" for name in COLUMNS),
        "changes": changes.labelled(rows) if "label" in one.dimensions else rows,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(SQL["values"].format(**pieces), given)
        cursor.execute(SQL["roll"].format(**pieces), given)
        if one.kind == "core":
            cursor.execute(SQL["entities"].format(**pieces), given)
        if one.sketched:
            cursor.execute(SQL["sketch"].format(**pieces), {**given, "most_bytes": MOST_BYTES})
            compact(one, cursor)


def compact(one: RollupSet, cursor: Any) -> None:
    """Writes the sketches anew that the cursor's last query has found to be long."""
    # A row is its grain, time and key, and a sketch of each metric.
    found = [[*map(sketch.compact, row[3:]), one.kind, *row[:3]] for row in cursor.fetchall()]
    cursor.executemany(SQL["compact"], found)
