"""The list of calls as its address asks for it: `?q=QUERY&since=…&until=…`, and the page to go on from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.http import urlencode

from gateway.access import visible, visible_calls
from gateway.explorer.fields import Kind
from gateway.explorer.query import Problem, Query, moment, parse, quote
from gateway.explorer.search import Page, Range, search
from gateway.explorer.search import TooMuch as TooMuch
from gateway.models import Call, Step
from gateway.models.calls import uuid7_time

PERIODS = {
    "1h": "Last hour",
    "24h": "Last 24 hours",
    "7d": "Last 7 days",
    "30d": "Last 30 days",
    "90d": "Last 90 days",
    "all": "Any time",
}
PERIOD = "30d"
#: Kinds of outcome, for colour; the word itself is always shown too.
TONES = {
    "ok": "good", "truncated": "warn", "filtered": "warn", "cancelled": "warn", "lost": "bad", "provider_error": "bad",
    "timeout": "bad", "ledger_unavailable": "bad",
}  # fmt: skip
#: Parameters of older addresses, and the fields that they are.
OLDER = {
    "feature": "feature", "tenant": "tenant", "outcome": "outcome", "provider": "provider", "model_served": "model",
    "key": "key", "user_ref": "user", "session_id": "session", "prompt_version": "prompt",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What the address asks for. A query with a `problem` asks for nothing until it is mended."""

    text: str
    since: str
    until: str
    query: Query
    now: datetime
    problem: Problem | None = None
    before: UUID | None = None
    after: UUID | None = None

    @classmethod
    def of(cls, given: Mapping[str, str]) -> "Filters":
        """The filters of an address's parameters, older ones too; times that cannot be read count as not given."""
        now = timezone.now()
        text, since, until = _current(given)
        problem = None
        try:
            query = parse(text, now=now)
        except Problem as found:
            query, problem = Query(text=text), found
        return cls(
            text=text,
            since=since if since in PERIODS or moment(since, now) else PERIOD,
            until=until if moment(until, now) else "",
            query=query,
            now=now,
            problem=problem,
            before=_id(given.get("before", "")),
            after=_id(given.get("after", "")),
        )

    @classmethod
    def asked(cls, request: HttpRequest) -> "Filters":
        """Those of a request's address, as far as its user may ask: what a score says is told to those who may view scores."""
        found = cls.of(request.GET.dict())
        term = found.query.asking(Kind.SCORE)
        if term is None or request.user.has_perm("tollhouse_gateway.view_score"):
            return found
        problem = Problem(
            "It takes the permission to view scores to look for them. Leave this out.", term.start, term.end
        )
        return replace(found, problem=problem)

    @property
    def custom(self) -> bool:
        """Whether the range is none of the periods."""
        return self.since not in PERIODS or bool(self.until)

    @property
    def since_at(self) -> datetime | None:
        """From when on; None for any time."""
        return self.query.since or moment(self.since, self.now)

    @property
    def until_at(self) -> datetime | None:
        """Before when; None for now."""
        return self.query.until or moment(self.until, self.now)

    def within(self) -> Range:
        """Where to look; from the oldest call on where nothing else is said."""
        until = self.until_at or self.now + timedelta(minutes=5)
        since = self.since_at
        if since is None:
            first = Call.objects.order_by("id").values_list("id", flat=True).first()
            since = uuid7_time(first) if first else until
        return Range(since, max(since, until))

    @property
    def pieces(self) -> tuple[str, str, str]:
        """The query before, within and after the place that its problem means."""
        assert self.problem
        start, end = self.problem.start, max(self.problem.end, self.problem.start + 1)
        return self.text[:start], self.text[start:end] or " ", self.text[end:]

    @property
    def period(self) -> str:
        """The range in words."""
        return "" if self.custom or self.query.since or self.query.until else PERIODS[self.since].lower()

    def link(self, **changes: str) -> str:
        """The query string of this view with something changed; pages start anew unless they are what changes."""
        found = {"q": self.text, "since": self.since, "until": self.until} | changes
        return "?" + urlencode({name: value for name, value in found.items() if value})

    def narrowed(self, name: str, value: str) -> str:
        """The query string of this view with one more condition."""
        term = f"{name}:{quote(value)}"
        return self.link() if term in self.text.split() else self.link(q=f"{self.text} {term}".strip())


def read(filters: Filters, among: QuerySet[Call] | None = None) -> Page:
    """One page of the calls among these (None: of all). Raises TooMuch; a query with a problem finds nothing."""
    if filters.problem:
        return Page(calls=[])
    return search(filters.query, filters.within(), before=filters.before, after=filters.after, among=among)


def readable(request: HttpRequest) -> QuerySet[Call]:
    """The calls that the reader may see, at any time. Every page of calls asks here."""
    return visible_calls(request.user)


def readable_steps(request: HttpRequest) -> QuerySet[Step]:
    """The steps that the reader may see."""
    steps = visible(Step.objects.all(), request.user)
    return steps if request.user.has_perm("tollhouse_gateway.view_step") else steps.none()


def renamed(given: Mapping[str, str]) -> str:
    """The address that an older one means, as a query string; empty for one that is none."""
    if not any(name in given for name in ("period", "from", "to", *OLDER)):
        return ""
    text, since, until = _current(given)
    found = {"q": text, "since": since, "until": until}
    found |= {name: given[name] for name in ("before", "after") if name in given}
    return "?" + urlencode({name: value for name, value in found.items() if value})


def _current(given: Mapping[str, str]) -> tuple[str, str, str]:
    """Query, since and until, with what older parameters say."""
    older = (f"{field}:{quote(given[name].strip())}" for name, field in OLDER.items() if given.get(name, "").strip())
    text = " ".join([part for part in (given.get("q", "").strip(), *older) if part])
    since, until = given.get("since", "").strip(), given.get("until", "").strip()
    if (period := given.get("period", "")) in PERIODS:
        since, until = period, ""
    # The form's own moments, beside its list of periods.
    since, until = given.get("from", "").strip() or since, given.get("to", "").strip() or until
    return text, since, until


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
