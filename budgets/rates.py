"""Rate limits: token buckets that refill evenly, counted in whole numbers. `gateway.ledger.buckets` takes from them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

#: Levels are counted in parts of a request or token: what a limit of one a minute refills in a microsecond, so that no
#: refill, however short, leaves a remainder.
PARTS = 60_000_000
PARTS_IN_A_SECOND = PARTS // 60
#: What a limit may name: the first fields of a call's scope. The target is not among them, as it may change in mid-call.
RATE_FIELDS = ("feature", "tenant", "key", "user", "cohort")
#: Most that a rate and a burst may be, so that a level fits the database's integers.
MOST_PER_MINUTE, MOST_BURST_S = 10**9, 3600
#: Nobody knows when one of the calls under way ends, so a caller that finds all places taken is told to wait this long.
PLACE_WAIT_S = 1.0

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRule:
    """An active rate limit. `scope` has a value for each of RATE_FIELDS, empty where any will do.

    With `each`, one of RATE_FIELDS, every value of that field has a bucket of its own. A rate that is None is not limited;
    a bucket holds what its rate makes in `burst_s` seconds: `full_requests` and `full_tokens`, in parts.
    """

    id: int
    scope: tuple[str, ...]
    each: str = ""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    burst_s: int = 60
    full_requests: int = field(init=False)
    full_tokens: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "full_requests", self._full(self.requests_per_minute))
        object.__setattr__(self, "full_tokens", self._full(self.tokens_per_minute))

    def __str__(self) -> str:
        named = [f"{name} {value}" for name, value in zip(RATE_FIELDS, self.scope, strict=True) if value]
        return ", ".join([*named, *([f"each {self.each}"] if self.each else [])]) or "everything"

    def value(self, scope: Sequence[str]) -> str:
        """Which of this limit's buckets a call of that scope takes from; calls without the field share one."""
        # As PostgreSQL stores no NUL, it becomes what the ledger makes of one in any other text.
        return scope[RATE_FIELDS.index(self.each)].replace("\0", "\ufffd") if self.each else ""

    def _full(self, per_minute: int | None) -> int:
        """What a bucket of that rate holds at most, in parts; one request or token at least."""
        return max(PARTS, (per_minute or 0) * self.burst_s * PARTS_IN_A_SECOND)


class Limits:
    """All active rate limits, indexed so that a call's cost does not grow with those of others."""

    def __init__(self, limits: Iterable[LimitRule]) -> None:
        self.by_id = {limit.id: limit for limit in limits}
        # One index for each set of fields that some limit names; a call makes one look-up in each.
        self._index: dict[tuple[int, ...], dict[tuple[str, ...], list[LimitRule]]] = {}
        for limit in self.by_id.values():
            fields = tuple(i for i, value in enumerate(limit.scope) if value)
            index = self._index.setdefault(fields, {})
            index.setdefault(tuple(limit.scope[i] for i in fields), []).append(limit)

    def __bool__(self) -> bool:
        return bool(self.by_id)

    def of(self, scope: Sequence[str]) -> list[tuple[int, str]]:
        """Ids of all limits that a call of this scope is under, each with the value that names its bucket."""
        return [
            (limit.id, limit.value(scope))
            for fields, index in self._index.items()
            for limit in index.get(tuple(scope[i] for i in fields), ())
        ]


class Gauge(NamedTuple):
    """How a bucket stands: what it holds when full, what is left, in whole requests or tokens; seconds until it is full."""

    limit: int
    remaining: int
    reset_s: float


class Rates(NamedTuple):
    """The tightest of a call's buckets for requests, and for tokens; None where none of its limits says so."""

    requests: Gauge | None
    tokens: Gauge | None


class Shortage(NamedTuple):
    """Why a bucket does not let a call pass. `wait_s` is when it would, if nobody else came; None: never."""

    of: Literal["requests", "tokens", "concurrent"]
    wait_s: float | None


@dataclass(slots=True)
class Bucket:
    """A bucket of a limit. Levels are in PARTS of a request or token; None is full, or not limited."""

    requests: int | None
    tokens: int | None
    in_flight: int
    refilled_at: datetime

    def refill(self, rule: LimitRule, now: datetime) -> None:
        """Adds what has come in since the last refill, up to what the limit says is full.

        Where the clock was set back nothing comes in, and counting begins again from what it says now.
        """
        elapsed_us = max(0, (now - self.refilled_at) // MICROSECOND)
        self.requests = _refilled(self.requests, rule.full_requests, rule.requests_per_minute, elapsed_us)
        self.tokens = _refilled(self.tokens, rule.full_tokens, rule.tokens_per_minute, elapsed_us)
        self.refilled_at = now

    def shortage(self, rule: LimitRule, *, requests: int, tokens: int, places: int) -> Shortage | None:
        """What there is too little of for a call that needs this much; of several, that with the longest wait."""
        found = []
        if requests > 0 and self.requests is not None and requests * PARTS > self.requests:
            found.append(
                Shortage("requests", _wait_s(requests, self.requests, rule.full_requests, rule.requests_per_minute))
            )
        if tokens > 0 and self.tokens is not None and tokens * PARTS > self.tokens:
            found.append(Shortage("tokens", _wait_s(tokens, self.tokens, rule.full_tokens, rule.tokens_per_minute)))
        if places > 0 and rule.concurrent is not None and self.in_flight + places > rule.concurrent:
            found.append(Shortage("concurrent", PLACE_WAIT_S))
        return max(found, key=patience) if found else None

    def change(self, rule: LimitRule, *, requests: int = 0, tokens: int = 0, in_flight: int = 0) -> None:
        """Adds these, or takes them where they are negative. A level never passes what is full, and never falls below zero."""
        if requests and self.requests is not None:
            self.requests = min(rule.full_requests, max(0, self.requests + requests * PARTS))
        if tokens and self.tokens is not None:
            self.tokens = min(rule.full_tokens, max(0, self.tokens + tokens * PARTS))
        self.in_flight = max(0, self.in_flight + in_flight)

    def rates(self, rule: LimitRule) -> Rates:
        """How it stands."""
        return Rates(
            _gauge(self.requests, rule.full_requests, rule.requests_per_minute),
            _gauge(self.tokens, rule.full_tokens, rule.tokens_per_minute),
        )


def patience(shortage: Shortage) -> float:
    """How long a call has to wait for the lack to end, so that lacks can be ordered."""
    return float("inf") if shortage.wait_s is None else shortage.wait_s


def tightest(found: Iterable[Rates]) -> Rates:
    """Of several buckets' states, the least that is left of each."""
    states = list(found)
    if len(states) == 1:
        return states[0]
    requests = [rates.requests for rates in states if rates.requests]
    tokens = [rates.tokens for rates in states if rates.tokens]
    return Rates(
        min(requests, key=lambda gauge: gauge.remaining, default=None),
        min(tokens, key=lambda gauge: gauge.remaining, default=None),
    )


def _refilled(level: int | None, full: int, per_minute: int | None, elapsed_us: int) -> int | None:
    if per_minute is None:
        return None
    return full if level is None else min(full, level + per_minute * elapsed_us)


def _wait_s(need: int, level: int, full: int, per_minute: int | None) -> float | None:
    """When the level will be high enough, to the microsecond; None: never."""
    if need * PARTS > full or per_minute is None:
        return None
    return -(-(need * PARTS - level) // per_minute) / 1_000_000


def _gauge(level: int | None, full: int, per_minute: int | None) -> Gauge | None:
    if per_minute is None:
        return None
    level = full if level is None else level
    return Gauge(full // PARTS, level // PARTS, -(-(full - level) // per_minute) / 1_000_000)
