"""What was said of the demo's calls. Their scores have the source `demo`."""

import json
from collections.abc import Mapping

from django.db import connection

from gateway.sql import queries

SOURCE = "demo"
#: By feature and version, how often a reply is edited before it is sent, liked, and passes the eval; None: nobody says so.
ODDS: Mapping[str, tuple[tuple[float | None, float | None, float | None], ...]] = {
    "support.reply": ((0.44, 0.81, 0.93), (0.35, 0.84, 0.93)),
    "editor.improve": ((0.31, 0.77, 0.90), (0.31, 0.76, 0.87)),
    "docs.answer": ((None, 0.72, 0.88),),
    "mail.summary": ((None, 0.86, None),),
    "search.rewrite": ((None, None, 0.96),),
}
#: The share of calls of which something is said, and of about how many at most.
SHARE, MOST = 0.06, 80_000
SQL = queries("scores.sql")


def make(versions: Mapping[str, tuple[str, ...]], calls: int) -> None:
    """Scores of some of the calls; `versions` are the addresses of each feature's versions."""
    rows = [
        {"feature": feature, "prompt_version": address, "edited": edited, "liked": liked, "passed": passed}
        for feature, odds in ODDS.items()
        for address, (edited, liked, passed) in zip(versions[feature], odds, strict=False)
    ]
    with connection.cursor() as cursor:
        below = f"{round(4096 * min(SHARE, MOST / max(calls, 1))):03x}"
        cursor.execute(SQL["demo"], {"odds": json.dumps(rows), "below": below})
        cursor.execute("ANALYZE tollhouse_score")


def remove() -> None:
    """Takes them out again."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM tollhouse_score WHERE source = %s", [SOURCE])
