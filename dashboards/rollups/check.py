"""Whether the rollups equal the calls, to the nano-dollar."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from dashboards.rollups import changes
from dashboards.rollups.build import LATEST, day_after, monday
from dashboards.rollups.changes import PIECES, SQL
from dashboards.rollups.roll import GRAINS, is_ours, locked
from dashboards.rollups.sets import SETS
from gateway.ledger.partitions import first_id
from gateway.types import TOKEN_PARTS

#: Calls, nano-dollars and tokens.
Sums = tuple[int, int, int]
NOTHING: Sums = (0, 0, 0)
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
        if not is_ours(state):
            raise ValueError(
                f"The rollups have days of {state.time_zone}; the worker makes those of {changes.zone()[0]}."
            )
        given = {
            "first": first_id(datetime(1970, 1, 1, tzinfo=UTC)), "last": first_id(LATEST), "upto": state.watermark,
            "shift": state.shift_s, "zone": changes.zone()[0],
        }  # fmt: skip
        rows = changes.of_range()
        once, labelled = (_calls(some, given) for some in (rows, changes.labelled(rows)))
        found: list[Difference] = []
        for one in SETS:
            there = labelled if "label" in one.dimensions else once
            for grain in GRAINS:
                since = day_after(state.hours_since) if grain == "hour" and not one.hourly else None
                found += _compared(one.kind, grain, there, given, since)
        return found


def _compared(
    kind: str,
    grain: str,
    calls: Mapping[str, Mapping[datetime, Sums]],
    given: Mapping[str, Any],
    since: datetime | None,
) -> Iterator[Difference]:
    """Sums of a grain, from the day `since` on, beside what the calls come to."""
    unit = "week" if grain == "week" else "day"
    counted = _sums(SQL["counted"].format(tokens=TOKENS), {**given, "kind": kind, "grain": grain, "unit": unit})
    for day in sorted(counted.keys() | calls[unit].keys()):
        has, should = counted.get(day, NOTHING), calls[unit].get(day, NOTHING)
        if has != should and (since is None or day >= since):
            yield Difference(kind, grain, day, has, should)


def _calls(rows: str, given: Mapping[str, Any]) -> dict[str, dict[datetime, Sums]]:
    """What calls come to, by day and by week."""
    query = SQL["to_count"].format(tokens=TOKENS, hour=PIECES["hour"], changes=rows)
    days = _sums(query, {**given, "unit": "day"})
    weeks: dict[datetime, Sums] = {}
    for day, (calls, nano, tokens) in days.items():
        before = weeks.get(monday(day), NOTHING)
        weeks[monday(day)] = (before[0] + calls, before[1] + nano, before[2] + tokens)
    return {"day": days, "week": weeks}


def _sums(query: str, given: Mapping[str, Any]) -> dict[datetime, Sums]:
    with connection.cursor() as cursor:
        cursor.execute(query, given)
        return {day: (calls, nano, tokens) for day, calls, nano, tokens in cursor.fetchall()}
