"""Counting rows into the rollups: each committed row once, however late it commits.

Every call and adjustment has the id of the transaction that wrote it (`written`). All transactions before the oldest one still
running are over, so their rows are all there; those of the watermark up to that one are counted in one transaction that moves
the watermark on. Whoever counts, or builds anew, has the lock on the state's row.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from dashboards.models import RollupState
from dashboards.rollups import changes, sketch
from dashboards.rollups.changes import COLUMNS, CONSTANTS, COUNTED, PIECES, SQL
from dashboards.rollups.sets import SETS, RollupSet
from gateway.types import TOKEN_PARTS

#: A sketch whose entries of one metric take more than this is written anew with one entry for each bucket.
MOST_BYTES = 3000
GRAINS = ("hour", "day", "week")
BEGINS = {"hour": "c.at", "day": "c.day", "week": "date_trunc('week', c.day, %(zone)s)"}
#: Of calls on their way: their texts, and all else that sums are made of.
TEXTS = ", ".join(sorted({name for one in SETS for name in one.dimensions} - {"label"} | {"labels"}))
TIMES = {"latency": "latency_ms", "first_token": "first_token_ms", "gate": "gate_ms", "provider_time": "provider_ms"}
NUMBERS = ", ".join(
    ("sign", "cost_nano", "unpriced", "cache_hit", "retried", "fallback", "has_entities", "entities", *TOKEN_PARTS,
     "adjusted_tokens", *TIMES)
)  # fmt: skip
#: The tables, of one transaction, that they are put into.
TEMPORARY = ", ".join(f"pg_temp.tollhouse_rollup_{name}" for name in ("found", "combinations", "numbered", "keyed"))


def roll() -> bool:
    """Counts what has been written since the last time. False where somebody else is at it, or they are not built yet, or of
    another time zone.
    """
    with locked() as state:
        if state is None or not state.built or not is_ours(state):
            return False
        upto = horizon(state)
        if upto > state.watermark:
            given = {"after": state.watermark, "upto": upto, "shift": state.shift_s, "hours_since": state.hours_since}
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
            # Many short texts are compared: to sort them for a join takes ten times as long as to hash them.
            cursor.execute("SET LOCAL jit = off; SET LOCAL work_mem = '128MB'; SET LOCAL enable_mergejoin = off")
            cursor.execute("SET LOCAL tollhouse.sees_expired = 'on'")
        yield RollupState.objects.select_for_update(skip_locked=not wait).first()


def is_ours(state: RollupState) -> bool:
    """Whether the sums are of this process's time zone. While a new one comes to one process after the other, another may have
    it already, or not yet: days of two zones would not fit together."""
    return state.time_zone == changes.zone()[0]


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


def add(rows: str, given: Mapping[str, Any], sets: Sequence[RollupSet] = SETS, grains: Sequence[str] = GRAINS) -> None:
    """Adds calls to the rollups of these kinds and grains; `rows` is the query that finds them, with `given` as its values, of
    which `hours_since` says since when hours of all kinds are kept, and `zone` whose days they are, where it is not ours.
    """
    given = {**CONSTANTS, "zone": changes.zone()[0], "most_bytes": MOST_BYTES, **given}
    buckets = ", ".join(
        f"CASE WHEN {ms} IS NOT NULL THEN {PIECES['bucket'].format(ms=ms)}::int2 END AS {name}"
        for name, ms in TIMES.items()
    )
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {TEMPORARY}")
        cursor.execute(SQL["found"].format(rows=rows, hour=PIECES["hour"], buckets=buckets), given)
        cursor.execute(SQL["combinations"].format(texts=TEXTS))
        cursor.execute(SQL["numbered"].format(texts=TEXTS, numbers=NUMBERS), given)
        cursor.execute(SQL["keyed"])
        cursor.execute(
            "ANALYZE tollhouse_rollup_combinations (combination); ANALYZE tollhouse_rollup_numbered (combination, at)"
        )
        for one in sets:
            _add_keys(one, {**given, "kind": one.kind}, cursor)
        cursor.execute("ANALYZE tollhouse_rollup_keyed")
        for one, grain in product(sets, grains):
            hours = {"hours_since": "-infinity"} if one.hourly else {}
            _add_sums(one, grain, {**given, "kind": one.kind, "grain": grain, **hours}, cursor)


def _add_keys(one: RollupSet, given: Mapping[str, Any], cursor: Any) -> None:
    combinations = "tollhouse_rollup_combinations"
    if "label" in one.dimensions:
        combinations = f"({changes.labelled(f'SELECT * FROM {combinations}')})"  # noqa: S608 (our name)
    dimensions = ", ".join(one.dimensions)
    digest = PIECES["digest"].format(dimensions=dimensions)
    block = PIECES["block"] if "feature" in one.dimensions else "0"
    query = SQL["keys"].format(combinations=combinations, dimensions=dimensions, digest=digest, block=block)
    cursor.execute(query, given)


def _add_sums(one: RollupSet, grain: str, given: Mapping[str, Any], cursor: Any) -> None:
    pieces = {
        **PIECES, "begins": BEGINS[grain], "columns": ", ".join(COLUMNS),
        "counts": COUNTED,
        "added": ", ".join(f"{name} = r.{name} + excluded.{name}" for name in COLUMNS),
    }  # fmt: skip
    cursor.execute(SQL["roll"].format(**pieces), given)
    if one.found:
        cursor.execute(SQL["entities"].format(**pieces), given)
    if one.sketched:
        # Few calls of a tenant, or of an hour, are in one bucket: to count them first would take longer than to keep them all.
        few = grain == "hour" or not one.hourly
        buckets = PIECES["buckets"].format(**pieces)
        placed = buckets if few else PIECES["counted_buckets"].format(buckets=buckets)
        cursor.execute(SQL["sketch"].format(placed=placed), given)
        compact(one, cursor)


def compact(one: RollupSet, cursor: Any) -> None:
    """Writes the sketches anew that the cursor's last query has found to be long."""
    # A row is its grain, time and key, and a sketch of each metric.
    found = [[*map(sketch.compact, row[3:]), one.kind, *row[:3]] for row in cursor.fetchall()]
    cursor.executemany(SQL["compact"], found)
