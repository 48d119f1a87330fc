"""Fifth stage: the hold. Switches, budgets and the amount set aside, in one transaction of the ledger."""

from concurrent.futures import Executor
from dataclasses import dataclass
from decimal import Decimal

from gateway.catalog import Catalog, TargetInfo
from gateway.entry import Entry
from gateway.errors import (
    BudgetExceeded,
    FeatureDisabled,
    GatewayError,
    InvalidRequest,
    LedgerUnavailable,
    PolicyRefused,
    RateLimited,
)
from gateway.identify import Identified
from gateway.ledger import Bid, Grant, Hold, Ledger, Refusal
from gateway.offload import offload
from gateway.price import price
from gateway.redact import Redacted
from gateway.types import ZERO

#: How much longer than its route's patience a hold lives, before it counts as lost; seconds.
GRACE_S = 60


@dataclass(slots=True, kw_only=True)
class Held:
    """A call that may be sent: its grant, the targets that it may go to, by bid, and the US dollars held (None: unpriced)."""

    call: Identified
    grant: Grant
    targets: dict[Bid, TargetInfo]
    usd: Decimal | None
    exempt: frozenset[int] = frozenset()


async def hold(
    call: Identified,
    safe: Redacted,
    bids: dict[Bid, TargetInfo],
    entry: Entry,
    catalog: Catalog,
    ledger: Ledger,
    executor: Executor,
) -> Held:
    """Sets the call's cost aside at the first target that switches and budgets allow.

    When the bound by bytes does not fit a budget or a limit of tokens a minute, the input is counted and tried again; when a
    budget diverts, the call goes on over its route and leaves that budget alone. Raises BudgetExceeded, FeatureDisabled,
    RateLimited, PolicyRefused or LedgerUnavailable.
    """
    exempt: frozenset[int] = frozenset()
    counted = False
    while True:
        answer = await ledger.hold(_operation(call, tuple(bids), entry, exempt=exempt))
        entry.rates = answer.rates
        if isinstance(answer, Grant):
            return Held(call=call, grant=answer, targets=bids, usd=answer.bid.usd, exempt=exempt)
        budget, shortage = answer.budget, answer.shortage
        if (budget or (shortage and shortage.of == "tokens")) and not counted and any(b.input_tokens for b in bids):
            counted, bids = True, await offload(executor, price, call, safe.body, catalog, counted=True)
        elif budget and budget.divert_to in catalog.routes and budget.id not in exempt:
            exempt, counted = exempt | {budget.id}, False
            call = call.diverted(catalog.routes[budget.divert_to])
            try:
                bids = price(call, safe.body, catalog)
            except InvalidRequest:
                # The caller's request is in order; it is the other route that cannot take it.
                raise refused(answer, entry) from None
        else:
            raise refused(answer, entry)


async def move(
    held: Held,
    bids: dict[Bid, TargetInfo],
    entry: Entry,
    ledger: Ledger,
    *,
    usd: Decimal,
    tokens: int,
    beside: bool = False,
) -> Held:
    """Replaces the hold before a further attempt, on top of what earlier attempts may have cost; `beside` one that goes on.

    Raises as `hold` does.
    """
    answer = await ledger.hold(
        _operation(
            held.call,
            tuple(bids),
            entry,
            exempt=held.exempt,
            moves=True,
            spent_usd=usd,
            spent_tokens=tokens,
            beside=beside,
        )
    )
    if isinstance(answer, Refusal):
        raise refused(answer, entry)
    total = None if answer.bid.usd is None else answer.bid.usd + usd
    return Held(call=held.call, grant=answer, targets=bids, usd=total, exempt=held.exempt)


def _operation(
    call: Identified,
    bids: tuple[Bid, ...],
    entry: Entry,
    *,
    exempt: frozenset[int],
    moves: bool = False,
    spent_usd: Decimal = ZERO,
    spent_tokens: int = 0,
    beside: bool = False,
) -> Hold:
    return Hold(
        call_id=entry.call_id, scope=call.scope, bids=bids, draft=entry.row, lifetime_s=call.route.timeout_s + GRACE_S,
        moves=moves, spent_usd=spent_usd, spent_tokens=spent_tokens, exempt=exempt, beside=beside,
        spool_limit_usd=call.feature.spool_limit_usd,
    )  # fmt: skip


def refused(refusal: Refusal, entry: Entry) -> GatewayError:
    """The error that tells a caller about a refusal."""
    if refusal.by == "switch":
        return FeatureDisabled(refusal.reason, retry_after_s=refusal.retry_after_s, call_id=entry.call_id)
    if refusal.by == "budget":
        return BudgetExceeded(refusal.reason, call_id=entry.call_id, resets_at=refusal.resets_at)
    if refusal.shortage:
        return RateLimited(
            refusal.reason, retry_after_s=refusal.shortage.wait_s, call_id=entry.call_id, rates=refusal.rates
        )
    kinds: dict[str, type[GatewayError]] = {
        "price": PolicyRefused, "lost": LedgerUnavailable, "ledger": LedgerUnavailable,
    }  # fmt: skip
    return kinds[refusal.by](refusal.reason, call_id=entry.call_id)
