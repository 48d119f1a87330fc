"""The list of calls: keyset pages over id ranges, so that its cost does not grow with the table."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import OperationalError, transaction
from django.db import connection as database
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.http import urlencode

from gateway.ledger.partitions import first_id
from gateway.models import Call
from gateway.types import OUTCOMES

PAGE = 50
#: A page that takes longer is given up, and the reader asked to narrow the range.
TIMEOUT_MS = 5000
PERIODS = {
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("Last 24 hours", timedelta(days=1)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
}
EXACT = ("feature", "tenant", "outcome", "provider", "model_served", "key", "user_ref", "session_id", "prompt_version")


class TooMuch(Exception):
    """The page could not be read in time."""


@dataclass(frozen=True)
class Filters:
    """What the URL asks for. Unknown values ask for nothing rather than fail."""

    period: str
    since: datetime | None
    until: datetime | None
    exact: Mapping[str, str]
    before: UUID | None
    after: UUID | None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Filters":
        period = query.get("period", "24h")
        exact = {name: query[name].strip() for name in EXACT if query.get(name, "").strip()}
        if exact.get("outcome") not in (None, *OUTCOMES):
            exact.pop("outcome")
        return cls(
            period=period if period in PERIODS or period == "custom" else "24h",
            since=_moment(query.get("since", "")),
            until=_moment(query.get("until", "")),
            exact=exact,
            before=_id(query.get("before", "")),
            after=_id(query.get("after", "")),
        )

    def calls(self, rows: QuerySet[Call]) -> QuerySet[Call]:
        """Those of the rows that are asked for, without paging. Always bounded by ids, so that only their partitions are read."""
        now = timezone.now()
        since = self.since if self.period == "custom" else now - PERIODS[self.period][1]
        until = self.until if self.period == "custom" else None
        found = rows.filter(id__gte=first_id(since or now - timedelta(days=1)))
        found = found.filter(id__lt=first_id(until or now + timedelta(minutes=5)))
        exact = dict(self.exact)
        if address := exact.pop("prompt_version", ""):
            found = found.filter(prompt_version__startswith=address.rpartition("@")[2])
        return found.filter(**exact)

    def link(self, **changes: str) -> str:
        """The query string of this view with something changed; pages start anew unless they are what changes."""
        query = {"period": self.period, **self.exact}
        if self.period == "custom":
            query |= {name: at.isoformat() for name, at in (("since", self.since), ("until", self.until)) if at}
        return "?" + urlencode(query | changes)


@dataclass(frozen=True)
class Page:
    """Some calls, newest first, and the ids from which the neighbouring pages go on (empty: there is none)."""

    calls: list[Call]
    older: str
    newer: str


def read(filters: Filters, among: QuerySet[Call]) -> Page:
    """One page of the calls among these, e.g. `visible_calls(user)`. Raises TooMuch when it takes longer than allowed."""
    calls = filters.calls(among)
    upwards = filters.after is not None
    if filters.after:
        calls = calls.filter(id__gt=filters.after).order_by("id")
    elif filters.before:
        calls = calls.filter(id__lt=filters.before).order_by("-id")
    else:
        calls = calls.order_by("-id")
    try:
        with transaction.atomic(), database.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = %s", [TIMEOUT_MS])
            rows = list(calls[: PAGE + 1])
    except OperationalError as error:
        if "statement timeout" in str(error):
            raise TooMuch from None
        raise
    more, rows = len(rows) > PAGE, rows[:PAGE]
    if upwards:
        rows.reverse()
    has_older = bool(rows) and (more or upwards)
    has_newer = bool(rows) and (more if upwards else filters.before is not None)
    return Page(calls=rows, older=str(rows[-1].id) if has_older else "", newer=str(rows[0].id) if has_newer else "")


def _moment(text: str) -> datetime | None:
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    if found is None:
        return None
    return (found if found.tzinfo else timezone.make_aware(found)).astimezone(UTC)


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
