"""The worker's job: count what is new, build what is to be built, and tell when something holds it up."""

from datetime import timedelta

from django.db import connection
from django.utils import timezone

from budgets.models import Alert
from dashboards.models import RollupState
from dashboards.rollups.build import build, prepare, prune
from dashboards.rollups.changes import SQL
from dashboards.rollups.roll import roll

#: How often new rows are counted; until then readers add them up themselves. Seconds.
PERIOD_S = 10.0
#: A transaction that runs for longer than this is told of: the rollups cannot pass it, and readers have ever more to add up.
LATE = timedelta(minutes=30)


def count() -> None:
    """Counts what is new. Any number of workers may do it at the same time."""
    prepare()
    build()
    if roll():
        prune()
        _watch()


def counted() -> int | None:
    """Counts what is new and returns the transaction before which everything is counted: 0 while the rollups are built, None
    where nobody has begun to.
    """
    if not RollupState.objects.exists():
        return None
    prepare()
    roll()
    state = RollupState.objects.first()
    return None if state is None else state.watermark if state.built else 0


def holding() -> tuple[int, str, timedelta] | None:
    """The transaction that the rollups wait for: process id of the server, application, and how long it has run; None where
    there is none, or this user may not see it."""
    with connection.cursor() as cursor:
        cursor.execute(SQL["holding"])
        found: tuple[int, str, timedelta] | None = cursor.fetchone()
    return found


def _watch() -> None:
    found = holding()
    if found is None or found[2] < LATE:
        return
    pid, name, age = found
    now = timezone.now()
    Alert.objects.get_or_create(
        dedup_key=f"rollups_late:{now:%Y-%m-%dT%H}",
        defaults={
            "kind": "rollups_late",
            "severity": Alert.Severity.WARNING,
            "summary": f"A transaction of {name or 'an unnamed application'} (process {pid} of the database) has run for "
            f"{age // timedelta(minutes=1)} minutes. The rollups cannot count what came after it, and dashboards grow slow: "
            "end it.",
            "ends_at": now + timedelta(hours=1),
        },
    )


def late_s() -> float | None:
    """For how many seconds nothing has been counted; None while nothing ever was."""
    state = RollupState.objects.first()
    return (timezone.now() - state.rolled_at).total_seconds() if state and state.rolled_at else None
