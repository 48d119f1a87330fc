"""The SQL that rollups are written and read with, put together from the pieces in rollups.sql."""

import math
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings

from dashboards.rollups.sketch import GAMMA, LEAST_MS
from gateway.sql import queries
from gateway.types import TOKEN_PARTS

SQL = {name: text.strip() for name, text in queries("rollups.sql").items()}
# Pieces stand in the middle of others, without the comment that opens them.
PIECES = {
    name: "\n".join(line for line in SQL[name].splitlines() if not line.startswith("--"))
    for name in ("call", "old", "sums", "hour", "day", "labelled", "bucket", "digest", "key_id", "any_label")
}
#: Sums that a rollup has, as columns.
COUNTS = (
    "calls", "cost_nano", "unpriced_calls", "cached_calls", "retried_calls", "retried_nano", "fallback_calls", "fallback_nano",
    "entity_calls", *TOKEN_PARTS, "adjusted_tokens",
)  # fmt: skip
COLUMNS = (*COUNTS, "cost_squared")
TOTALS = ", ".join(
    f"coalesce(sum({name}), 0){kind} AS {name}"
    for name, kind in [*((name, "::bigint") for name in COUNTS), ("cost_squared", "")]
)
#: Later than every transaction.
EVER = 2**63 - 1
NEW, IN_RANGE = "c.written >= %(after)s AND c.written < %(upto)s", "c.id >= %(first)s AND c.id < %(last)s"
CONSTANTS = {"least": LEAST_MS, "ln_gamma": math.log(GAMMA)}


def written_since(which: str = "true") -> str:
    """What counts differently since the watermark `after`, up to that of `upto`: new calls, and old ones taken away as they were
    counted and added as they count now."""
    old = f"c.written < %(after)s AND {which}"
    return " UNION ALL ".join(
        PIECES["call"].format(sign=sign, upto=upto, source=source, which=where)
        for sign, upto, source, where in (
            (1, "%(upto)s", "tollhouse_call c", f"{NEW} AND {which}"),
            (-1, "%(after)s", PIECES["old"], old),
            (1, "%(upto)s", PIECES["old"], old),
        )
    )


def of_range(which: str = "true") -> str:
    """Calls of the ids from `first` to before `last` that transactions before `upto` wrote."""
    return PIECES["call"].format(
        sign=1, upto="%(upto)s", source="tollhouse_call c", which=f"c.written < %(upto)s AND {IN_RANGE} AND {which}"
    )


def of_ids(sign: int, which: str = "true") -> str:
    """The calls of the ids `calls`, as transactions before `upto` wrote and corrected them, added or taken away."""
    which = f"c.written < %(upto)s AND c.id = ANY(%(calls)s) AND {which}"
    return PIECES["call"].format(sign=sign, upto="%(upto)s", source="tollhouse_call c", which=which)


def labelled(changes: str) -> str:
    """The same calls, once for each of their labels."""
    return PIECES["labelled"].format(changes=changes)


def zone() -> tuple[str, int]:
    """The reporting time zone, and how many seconds past the full hour in UTC its hours begin."""
    name = settings.TIME_ZONE
    offset = datetime.now(ZoneInfo(name)).utcoffset() or timedelta(0)
    return name, int(-offset.total_seconds()) % 3600
