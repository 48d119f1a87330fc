"""How the breakers of all processes are, as the rows of their trips say.

Each process has breakers of its own. Of a target's, one is told here for all processes that live: open where any of them
leaves the target alone, half open where none does and in any the next call is a probe, else closed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.db import connection
from django.db.models import BooleanField, Count, ExpressionWrapper, Q, QuerySet
from django.db.models.functions import Now

from gateway.conf import settings
from gateway.models import BreakerTrip, Owner
from gateway.sql import queries

SQL = queries("breakers.sql")
#: Provider and model.
Target = tuple[str, str]
State = Literal["open", "half open", "closed"]
ORDER: tuple[State, ...] = ("open", "half open", "closed")
#: Trips without an end that are looked at; more of them at once are no news.
MOST_OPEN = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """A target's breaker now. `since`: when it opened first, when its first probe became due, or when the newest trip ended;
    None where there was none, or nobody saw its end. `retry_at` is when an open one lets a call through again, `processes` the
    number of those in which it is not closed, `trips` how often it opened in the range asked for, in any process.
    """

    provider: str
    model: str
    state: State
    since: datetime | None
    why: str
    retry_at: datetime | None
    processes: int
    trips: int


def alive() -> QuerySet[Owner]:
    """The processes that make calls now."""
    return Owner.objects.filter(seen_at__gt=Now() - timedelta(seconds=settings().OWNER_DEAD_AFTER_S))


def trips(since: datetime, until: datetime) -> QuerySet[BreakerTrip]:
    """Breakers that opened in that time."""
    return BreakerTrip.objects.filter(opened_at__gte=since, opened_at__lt=until)


def breakers(targets: Iterable[Target], since: datetime, until: datetime) -> list[Breaker]:
    """The breakers of these targets, and of all others that are open or opened in the range; what is worst comes first."""
    counted = {
        (provider, model): count
        for provider, model, count in trips(since, until).values_list("provider", "model").annotate(n=Count("pk"))
    }
    now_open: dict[Target, list[BreakerTrip]] = {}
    is_open = ExpressionWrapper(Q(retry_at__gt=Now()), output_field=BooleanField())
    unclosed = BreakerTrip.objects.filter(closed_at=None, process__in=alive().values("pk")).annotate(is_open=is_open)
    for trip in unclosed.order_by("-retry_at")[:MOST_OPEN]:
        now_open.setdefault((trip.provider, trip.model), []).append(trip)
    names = sorted({*targets, *counted, *now_open})
    ended = _ended([name for name in names if name not in now_open])
    found = [
        _opened(name, now_open[name], counted.get(name, 0)) if name in now_open else _closed(name, ended, counted.get(name, 0))
        for name in names
    ]  # fmt: skip
    return sorted(found, key=lambda breaker: (ORDER.index(breaker.state), -breaker.trips))


def _opened(target: Target, here: list[BreakerTrip], count: int) -> Breaker:
    """Of trips that have not ended, one for each process, the one that waits longest first."""
    left_alone = [trip for trip in here if trip.is_open]  # type: ignore[attr-defined]  # annotated
    last = here[0]
    status = f" with status {last.http_status}" if last.http_status else ""
    why = f"{last.failures} failures in a row, the last: {last.error_class}{status}."
    if last.failed_probes:
        why += f" Since then {last.failed_probes} {'probe' if last.failed_probes == 1 else 'probes'} failed."
    if not left_alone:
        why += " The next call is let through as a probe."
    return Breaker(
        provider=target[0], model=target[1], state="open" if left_alone else "half open", why=why,
        since=min(trip.opened_at if left_alone else trip.retry_at for trip in here),
        retry_at=min((trip.retry_at for trip in left_alone), default=None), processes=len(here), trips=count,
    )  # fmt: skip


def _closed(target: Target, ended: dict[Target, datetime | None], count: int) -> Breaker:
    since = ended.get(target)
    why = "A probe found it well." if since else "The process that left it alone has ended." if target in ended else ""
    return Breaker(
        provider=target[0], model=target[1], state="closed", since=since, why=why, retry_at=None, processes=0, trips=count
    )  # fmt: skip


def _ended(targets: list[Target]) -> dict[Target, datetime | None]:
    """When the newest trip of each of these targets ended; None where its process took that with it."""
    with connection.cursor() as cursor:
        cursor.execute(
            SQL["newest"],
            {"providers": [provider for provider, _ in targets], "models": [model for _, model in targets]},
        )
        return {(provider, model): closed_at for provider, model, closed_at in cursor.fetchall()}
