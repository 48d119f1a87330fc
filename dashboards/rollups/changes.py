"""The SQL that rollups are written and read with, put together from the pieces in rollups.sql."""

import math
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings

from dashboards.rollups.sketch import GAMMA, LEAST_MS
from gateway.sql import queries
from gateway.types import OUTCOMES, TOKEN_PARTS

SQL = {name: text.strip() for name, text in queries("rollups.sql").items()}
# Pieces stand in the middle of others, without the comment that opens them.
PIECES = {
    name: "\n".join(line for line in SQL[name].splitlines() if not line.startswith("--"))
    for name in (
        "call",
        "corrected",
        "corrected_in_range",
        "old",
        "sums",
        "hour",
        "labelled",
        "bucket",
        "digest",
        "counting",
        "buckets",
        "counted_buckets",
        "any_label",
        "entries_of",
        "block",
    )
}
#: Sums that a rollup has, as columns.
COUNTS = (
    "calls", "cost_nano", "unpriced_calls", "cached_calls", "retried_calls", "retried_nano", "fallback_calls", "fallback_nano",
    "entity_calls", *TOKEN_PARTS, "adjusted_tokens",
)  # fmt: skip
COLUMNS = (*COUNTS, "cost_squared")
#: The same where sums of nothing are null.
COUNTED = ", ".join([*(f"coalesce({name}, 0)::bigint AS {name}" for name in COUNTS), "coalesce(cost_squared, 0)"])
TOTALS = ", ".join(
    f"coalesce(sum({name}), 0){kind} AS {name}"
    for name, kind in [*((name, "::bigint") for name in COUNTS), ("cost_squared", "")]
)
#: What readers are told besides: calls by outcome, and what lost ones count. Of rollups, and of calls.
ENDS = (*(("calls", name) for name in OUTCOMES), ("cost_nano", "lost"))
TOLD = ", ".join(
    [TOTALS, *(f"coalesce(sum({what}) FILTER (WHERE k.outcome = '{name}'), 0)::bigint" for what, name in ENDS)]
)
TOLD_SUMS = ", ".join(
    [PIECES["sums"], *(
        f"sum({'sign' if what == 'calls' else 'sign * cost_nano'}) FILTER (WHERE k.outcome = '{name}') AS {name}_{what}"
        for what, name in ENDS
    )]
)  # fmt: skip
TOLD_COUNTED = ", ".join([COUNTED, *(f"coalesce({name}_{what}, 0)::bigint" for what, name in ENDS)])
#: Later than every transaction.
EVER = 2**63 - 1
NEW = "c.written >= %(after)s AND c.written < %(upto)s"
CONSTANTS = {"least": LEAST_MS, "ln_gamma": math.log(GAMMA)}


def written_since(new: str = "true", old: str = "true") -> str:
    """What counts differently since the watermark `after`, up to that of `upto`: new calls, and old ones taken away as they were
    counted and added as they count now. Of both those that fulfil a condition; none where it is empty.
    """
    counted = f"c.written < %(after)s AND {old}"
    return " UNION ALL ".join(
        _calls(sign, upto, source, which)
        for sign, upto, source, which, any_of_them in (
            (1, "%(upto)s", "tollhouse_call c", f"{NEW} AND {new}", new),
            (-1, "%(after)s", PIECES["old"], counted, old),
            (1, "%(upto)s", PIECES["old"], counted, old),
        )
        if any_of_them
    )


def of_range(first: str = "first", last: str = "last", upto: str = "upto", sign: int = 1) -> str:
    """Calls of the ids from `first` to before `last` that transactions before `upto` wrote, the names of these values; added, or
    with the sign -1 taken away."""
    corrected = PIECES["corrected_in_range"].format(first=first, last=last, upto=f"%({upto})s")
    which = f"c.written < %({upto})s AND c.id >= %({first})s AND c.id < %({last})s"
    return PIECES["call"].format(sign=sign, source="tollhouse_call c", which=which, corrected=corrected)


def of_ids(sign: int, which: str = "true") -> str:
    """The calls of the ids `calls`, as transactions before `upto` wrote and corrected them, added or taken away."""
    return _calls(sign, "%(upto)s", "tollhouse_call c", f"c.written < %(upto)s AND c.id = ANY(%(calls)s) AND {which}")


def _calls(sign: int, upto: str, source: str, which: str) -> str:
    corrected = PIECES["corrected"].format(upto=upto)
    return PIECES["call"].format(sign=sign, source=source, which=which, corrected=corrected)


def labelled(rows: str) -> str:
    """The same calls, or combinations of values, once for each of their labels."""
    return PIECES["labelled"].format(rows=rows)


def zone() -> tuple[str, int]:
    """The reporting time zone, and how many seconds past the full hour in UTC its hours begin."""
    name = settings.TIME_ZONE
    offset = datetime.now(ZoneInfo(name)).utcoffset() or timedelta(0)
    return name, int(-offset.total_seconds()) % 3600
