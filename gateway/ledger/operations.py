"""What can be asked of the ledger, and what it answers. Amounts are US dollars, tokens and calls."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Protocol
from uuid import UUID

from budgets.rates import PARTS, LimitRule, Rates, Shortage
from budgets.rules import BudgetRule, Metric, Scope
from gateway.types import TOKEN_PARTS, ZERO

Row = dict[str, Any]

#: A row that says nothing yet, but for its dicts, which each row has of its own.
BLANK: Row = {
    "tenant": "", "user_ref": "", "cohort": "", "session_id": "", "key": "", "trace_id": "", "span_id": "",
    "streamed": False,
    "prompt_version": "", "variant": "", "route": "", "provider": "", "model_asked": "", "model_served": "",
    "attempts": 0, "fallback_from": "", "cache_hit": False, "spooled": False, "parent": None,
    **dict.fromkeys(TOKEN_PARTS, 0),
    "usage_estimated": False, "usage_adds_up": True,
    "price_id": None, "cost_usd": ZERO, "held_usd": None, "overrun_usd": ZERO,
    "latency_ms": 0.0, "first_token_ms": None, "gate_ms": 0.0, "redaction_ms": 0.0,
    "tool_calls": 0, "outcome": "ok", "error_class": "", "reason": "", "http_status": None, "finish_reason": "",
    "policy": "",
}  # fmt: skip


EMPTY: Row = {}


def empties() -> Row:
    """What is still empty of a row besides BLANK."""
    return {"labels": {}, "entities": {}, "trace": {}}


def beyond_blank(row: Row) -> Row:
    """What the row says besides BLANK and `empties`. It began as BLANK, so what was left alone is the same object."""
    blank = BLANK.get
    return {name: value for name, value in row.items() if value is not blank(name) and value != EMPTY}


def lost_row(call_id: UUID, draft: Row) -> Row:
    """The row of a call whose process died, from what its hold knew: all that was held counts as spent, as an estimate."""
    return {
        **BLANK,
        **empties(),
        **draft,
        "id": call_id,
        "outcome": "lost",
        "reason": "The process that made this call ended before it was settled; all that was held counts as spent.",
        "held_usd": draft.get("cost_usd"),
        "usage_estimated": True,
    }


@dataclass(slots=True, kw_only=True)
class Bid:
    """The most that a call can cost at one target. `usd` is None when no price is known for it."""

    provider: str
    model: str
    usd: Decimal | None
    input_tokens: int
    output_tokens: int
    price_id: int | None = None

    def __hash__(self) -> int:
        # The amounts stay out: to hash a Decimal takes longer than all else that is done with a bid.
        return hash((self.provider, self.model))

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(slots=True, kw_only=True)
class Grant:
    """A hold that was admitted: for which of the bids, the ids of the windows that it counts in, and the amount held in each.

    `buckets` are ids of those that it took from, `rates` how they stand after it (None: it is under no rate limit).
    """

    bid: Bid
    windows: tuple[int, ...]
    amounts: tuple[Decimal, ...] = ()
    buckets: tuple[int, ...] = ()
    rates: Rates | None = None

    def is_for(self, provider: str, model: str) -> bool:
        """Whether that is the target of the granted bid."""
        return (self.bid.provider, self.bid.model) == (provider, model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A hold that was not admitted, and why. `retry_after_s` is when that is over by itself, where that is known.

    `budget` is the one that it did not fit, `window` the id of the window of it, which ends at `resets_at`; `shortage` what a
    rate limit lacked for it, and `rates` how the call's buckets stand.
    """

    by: Literal["budget", "switch", "price", "lost", "ledger", "rate"]
    reason: str
    budget: BudgetRule | None = None
    window: int | None = None
    resets_at: datetime | None = None
    retry_after_s: float | None = None
    shortage: Shortage | None = None
    rates: Rates | None = None

    @classmethod
    def of_rate(cls, limit: LimitRule, shortage: Shortage, *, tokens: int, rates: Rates | None) -> "Refusal":
        """The refusal of a call that may need so many tokens and finds too little of something."""
        if shortage.of == "concurrent":
            reason = (
                f"{limit.concurrent} calls of {limit} are under way, as many as may be at once. Try again in a moment."
            )
        elif shortage.wait_s is None:
            most = limit.full_tokens // PARTS
            reason = (
                f"This call may need {tokens} tokens, and the rate limit of {limit.tokens_per_minute} tokens a minute for "
                f"{limit} never lets more than {most} through at once. Ask for fewer tokens, or raise the limit."
            )
        else:
            rate = limit.requests_per_minute if shortage.of == "requests" else limit.tokens_per_minute
            needs = f"; this call may need {tokens}" if shortage.of == "tokens" else ""
            reason = (
                f"The rate limit of {rate} {shortage.of} a minute for {limit} is reached{needs}. "
                f"Try again in {shortage.wait_s:.3f} s."
            )
        return cls(by="rate", reason=reason, shortage=shortage, rates=rates)


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True, kw_only=True, eq=False)
class Hold:
    """Set aside the most that a call can cost. The first bid that no switch stops and that fits every budget wins.

    `scope` is the call's, without model and provider. `draft` is the row that the call gets if its owner dies.
    `moves` says that the call already has a hold, which this one replaces (and which stays when this one is refused);
    `spent_usd` and `spent_tokens` are what its earlier attempts may have cost. Budgets in `exempt` are left alone
    (their calls were diverted). `spool_limit_usd` lets the call pass while the ledger is away, up to so much of its feature
    (see `gateway.ledger.spool`). With `beside` an earlier attempt goes on, so the hold moves only where it counts in the
    same windows: what those of the earlier target hold may not be given to others meanwhile. An `abandoned` hold has nobody
    waiting for it any more and is not begun.
    """

    call_id: UUID
    scope: Scope
    bids: tuple[Bid, ...]
    draft: Row
    lifetime_s: float
    moves: bool = False
    spent_usd: Decimal = ZERO
    spent_tokens: int = 0
    exempt: frozenset[int] = frozenset()
    beside: bool = False
    spool_limit_usd: Decimal | None = None
    answer: asyncio.Future["Grant | Refusal"] = field(default_factory=_future)
    abandoned: bool = False

    @property
    def answered(self) -> bool:
        """Whether the waiter was told; one who left was not."""
        return self.answer.done() and not self.answer.cancelled()

    def at(self, bid: Bid) -> Scope:
        """The scope of this call when it goes to the bid's target."""
        # Twenty times as fast as `_replace`, for each bid of each call.
        feature, tenant, key, user, cohort, _, _ = self.scope
        return Scope(feature, tenant, key, user, cohort, bid.model, bid.provider)

    def amount(self, metric: Metric, bid: Bid) -> Decimal | None:
        """What this call would hold in a window of that metric; None for money without a price."""
        if metric == "calls":
            return Decimal(1)
        if metric == "tokens":
            return Decimal(bid.tokens + self.spent_tokens)
        return None if bid.usd is None else bid.usd + self.spent_usd

    def draft_for(self, bid: Bid) -> Row:
        """What the hold keeps for `lost_row`; the less, the better: the database reads it as a document."""
        return {
            **beyond_blank(self.draft),
            "provider": bid.provider,
            "model_served": bid.model,
            "price_id": bid.price_id,
            "cost_usd": None if bid.usd is None else bid.usd + self.spent_usd,
            "input_tokens": bid.input_tokens + self.spent_tokens,
            "output_tokens": bid.output_tokens,
        }


@dataclass(slots=True, kw_only=True, eq=False)
class Settle:
    """Write a call's row and replace its hold, if it has one, by what it did cost.

    `grant` is None for calls that were never admitted. `swept` marks the settlement of a dead owner's hold, which
    counts what was held; `spools` that it may be kept in a local file while the ledger is away.
    """

    call_id: UUID
    row: Row
    payload: Mapping[str, Any] | None = None
    grant: Grant | None = None
    swept: bool = False
    spools: bool = False
    answer: asyncio.Future[None] = field(default_factory=_future)

    @property
    def answered(self) -> bool:
        """Whether the waiter was told; one who left was not."""
        return self.answer.done() and not self.answer.cancelled()

    @property
    def never_admitted(self) -> bool:
        return self.grant is None and not self.swept

    @property
    def usd(self) -> Decimal:
        return self.row["cost_usd"] or ZERO

    @property
    def tokens(self) -> int:
        return sum([self.row[part] for part in TOKEN_PARTS])

    def amount(self, metric: Metric) -> Decimal:
        """What this call counts in a window of that metric; nothing where its hold was granted after it had left."""
        if self.never_admitted:
            return ZERO
        if metric == "usd":
            return self.usd
        return Decimal(self.tokens if metric == "tokens" else 1)


Operation = Hold | Settle


def one_of_each(settles: Iterable[Settle]) -> list[Settle]:
    """One settlement for each call: where its hold expired while its own settlement waited, that, and not the sweep's."""
    return list({op.call_id: op for op in sorted(settles, key=lambda op: not op.swept)}.values())


class Ledger(Protocol):
    """What the pipeline needs of a ledger. `problem` says why the database did not answer, empty when it did; `spools`
    whether calls can pass while it does not.
    """

    @property
    def problem(self) -> str: ...

    @property
    def spools(self) -> bool: ...

    def state(self) -> dict[str, object]:
        """What `/readyz` tells of it."""

    async def hold(self, op: Hold) -> Grant | Refusal:
        """The grant, or why there is none."""

    def settle(self, op: Settle) -> "asyncio.Future[None]":
        """Answers when the settlement is committed."""

    async def stop(self) -> None:
        """Writes what is still queued."""
