"""Whether the rollups equal the calls, to the nano-dollar."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from dashboards.rollups import changes
from dashboards.rollups.build import LATEST
from dashboards.rollups.changes import PIECES, SQL
from dashboards.rollups.roll import locked
from dashboards.rollups.sets import SETS
from gateway.ledger.partitions import first_id
from gateway.types import TOKEN_PARTS

#: Calls, nano-dollars and tokens.
Sums = tuple[int, int, int]
TOKENS = " + ".join([*(f"{part}::bigint" for part in TOKEN_PARTS), "adjusted_tokens"])


@dataclass(frozen=True, slots=True)
class Difference:
    """A day whose rollups of a kind and grain do not have what its calls come to."""

    kind: str
    grain: str
    day: datetime
    counted: Sums
    calls: Sums

    @property
    def gone(self) -> bool:
        """Whether it may be that retention removed calls, which is no fault."""
        return self.calls[0] < self.counted[0]


def differences() -> list[Difference]:
    """Where they differ. Reads every call; nothing is counted meanwhile. Raises ValueError while they are not built."""
    with locked(wait=True) as state:
        if state is None or not state.built:
            raise ValueError("The rollups are not built yet; the worker does it.")
        given = {
            "first": first_id(datetime(1970, 1, 1, tzinfo=UTC)), "last": first_id(LATEST), "upto": state.watermark,
            "shift": state.shift_s, "zone": changes.zone()[0],
        }  # fmt: skip
        once, labelled = (_calls(rows, given) for rows in (changes.of_range(), changes.labelled(changes.of_range())))
        found = []
        for one in SETS:
            there = labelled if "label" in one.dimensions else once
            for grain in ("hour", "day"):
                counted = _sums(SQL["counted"].format(tokens=TOKENS), {**given, "kind": one.kind, "grain": grain})
                for day in sorted(counted.keys() | there.keys()):
                    has, should = counted.get(day, (0, 0, 0)), there.get(day, (0, 0, 0))
                    if has != should:
                        found.append(Difference(one.kind, grain, day, has, should))
        return found


def _calls(rows: str, given: Mapping[str, Any]) -> dict[datetime, Sums]:
    return _sums(SQL["to_count"].format(tokens=TOKENS, hour=PIECES["hour"], changes=rows), given)


def _sums(query: str, given: Mapping[str, Any]) -> dict[datetime, Sums]:
    with connection.cursor() as cursor:
        cursor.execute(query, given)
        return {day: (calls, nano, tokens) for day, calls, nano, tokens in cursor.fetchall()}
