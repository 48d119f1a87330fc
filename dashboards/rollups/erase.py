"""A person's erasure from the rollups: the money stays, as nobody's."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db import connection

from dashboards.models import RollupState
from dashboards.rollups import changes
from dashboards.rollups.build import LATEST
from dashboards.rollups.changes import SQL
from dashboards.rollups.roll import add
from dashboards.rollups.sets import SETS
from gateway.ledger.partitions import first_id

#: Kinds that tell calls apart by what an erasure takes from them.
TOLD_APART = tuple(one for one in SETS if {"user_ref", "label"} & {*one.dimensions})


@contextmanager
def erasing(user_ref: str, calls: Sequence[UUID]) -> Iterator[None]:
    """Around the statements that take user reference and labels from these calls, in their transaction: takes the calls out of
    the rollups as they were counted, and adds them as they are then. What is left under the reference, of calls that were
    removed before, becomes nobody's; labels that no call has any more go.
    """
    # Counting waits, so that a call of the user's is not counted under the reference after this.
    state = RollupState.objects.select_for_update().first()
    if state is None:
        yield
        return
    until = LATEST if state.built else state.built_until
    given: dict[str, Any] = {
        "calls": list(calls), "upto": state.watermark, "shift": state.shift_s, "last": first_id(until) if until else None,
        "hours_since": state.hours_since, "zone": state.time_zone,
    }  # fmt: skip
    # While they are built, it is the days before that are counted; of an id that is null there is none.
    which = "c.id < %(last)s"
    with connection.cursor() as cursor:
        cursor.execute(SQL["labels_of"], [given["calls"]])
        labels = [label for (label,) in cursor.fetchall()]
    add(changes.of_ids(-1, which), given, TOLD_APART)
    yield
    add(changes.of_ids(1, which), given, TOLD_APART)
    forget(user_ref)
    with connection.cursor() as cursor:
        cursor.execute(SQL["sweep"], [labels])


def forget(user_ref: str) -> int:
    """Makes what the user's calls came to that of nobody; returns how many combinations of values named the user. To be called
    in the transaction that erases the calls' references.
    """
    if not user_ref:
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM tollhouse_rollup_state FOR UPDATE")
        cursor.execute(SQL["forget"], [user_ref])
        count: int = cursor.rowcount
    return count
