"""What a batch of the ledger's operations comes to: arithmetic on windows, buckets and holds, and rows to write."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from uuid import UUID

from budgets.rules import Rules
from gateway.ledger import alerts
from gateway.ledger.buckets import Buckets, lack, rates
from gateway.ledger.memory import Memory
from gateway.ledger.operations import (
    Grant,
    Hold,
    Operation,
    Refusal,
    Row,
    Settle,
    beyond_blank,
    lost_row,
    one_of_each,
)  # fmt: skip
from gateway.ledger.windows import Candidate, LockedWindow, TakenHold
from gateway.types import ZERO

#: Of a call that has its row: outcome, provider and model, US dollars and tokens that it counts, whether it was adjusted.
Counted = tuple[str, str, str, Decimal | None, int, bool]
WRITES = ("insert_holds", "insert_calls", "insert_payloads", "insert_adjustments", "insert_alerts")


class Decision:
    """Settles and admits on what the transaction has locked and taken. Afterwards `answers` holds what to tell the waiters."""

    def __init__(self, memory: Memory, buckets: Buckets) -> None:
        self.memory = memory
        self._buckets = buckets
        self._forget()

    def _forget(self) -> None:
        """Begins anew: nothing is locked, taken or decided."""
        self.answers: list[tuple[Operation, Grant | Refusal | None]] = []
        self._locked: dict[int, LockedWindow] = {}
        self._taken: dict[UUID, TakenHold] = {}
        self._writes: dict[str, list[Row]] = {name: [] for name in WRITES}
        self._buckets.forget()

    def _in_doubt(self, settles: Iterable[Settle]) -> list[UUID]:
        """The calls of which it depends on their rows, if they have any, what their settlement comes to."""
        return [op.call_id for op in one_of_each(settles) if (op.swept if op.call_id in self._taken else op.grant)]

    def _settle(self, settles: Sequence[Settle], calls: Mapping[UUID, Counted]) -> None:
        """`calls` are those in doubt that have their rows."""
        self.answers += [(op, None) for op in settles]
        for op in one_of_each(settles):
            # It is nobody's any more: a move in the same batch finds its call settled.
            hold = self._taken.pop(op.call_id, None)
            if hold and op.call_id in calls:
                # The server committed it after its process had given it up and settled the call without it.
                self._free(hold)
                self._buckets.settle(hold, 0)
            elif hold:
                self._settle_hold(op, hold)
            elif op.call_id in calls:
                self._adjust(op, *calls[op.call_id])
            elif not op.swept:
                for window in self._granted(op):
                    window.change(spent=op.amount(window.metric))
                self._write_call(op)

    def _settle_hold(self, op: Settle, hold: TakenHold) -> None:
        self._free(hold)
        for id, held in zip(hold.windows, hold.amounts, strict=True):
            window = self._locked[id]
            window.change(spent=held if op.swept else op.amount(window.metric))
        if hold.buckets:
            self._buckets.settle(hold, None if op.swept else int(op.amount("tokens")))
        if op.swept and hold.draft is not None:
            # As it stands now: the hold may have moved since somebody saw that it was dead.
            op.row |= lost_row(op.call_id, hold.draft)
        if op.grant and not op.grant.is_for(hold.provider, hold.model):
            # The hold moved and its call never heard of it, as its caller left or the connection broke. The
            # amounts count in the windows of the new target, so the row names that one.
            op.row |= {"provider": hold.provider, "model_served": hold.model, "price_id": hold.price_id}
        self._write_call(op)

    def _granted(self, op: Settle) -> list[LockedWindow]:
        """The windows that the call was granted in, as far as they still exist."""
        return [self._locked[id] for id in (op.grant.windows if op.grant else ()) if id in self._locked]

    def _free(self, hold: TakenHold) -> None:
        """Nothing is held any more for a hold that was taken."""
        for id, amount in zip(hold.windows, hold.amounts, strict=True):
            self._locked[id].change(held=-amount)

    def _write_call(self, op: Settle) -> None:
        self._writes["insert_calls"].append(beyond_blank(op.row))
        if op.payload is not None:
            self._writes["insert_payloads"].append({"id": op.call_id, "content": op.payload})
        self._writes["insert_alerts"] += alerts.of_call(op.row)

    def _adjust(
        self, op: Settle, outcome: str, provider: str, model: str, cost_usd: Decimal | None, tokens: int, adjusted: bool
    ) -> None:
        """An owner that was only slow settles a call that was written off as lost; anything else was settled before."""
        assert op.grant is not None
        # Where the hold had moved without its call's knowing, nobody knows the windows any more: the estimate stays.
        if outcome != "lost" or adjusted or not op.grant.is_for(provider, model):
            return
        change = {"usd": op.usd - (cost_usd or ZERO), "tokens": Decimal(op.tokens - tokens), "calls": ZERO}
        for window in self._granted(op):
            window.change(spent=change[window.metric])
        self._writes["insert_adjustments"].append({
            "call_id": op.call_id,
            "cost_usd": change["usd"],
            "tokens": op.tokens - tokens,
            "outcome": op.row["outcome"],
            "reason": "Settled after it had been written off as lost.",
            "actor": "ledger",
        })  # fmt: skip

    def _admit_all(self, holds: Sequence[Hold], candidates: Sequence[list[Candidate]]) -> None:
        """Decides on the holds in turn, then tells of thresholds that were crossed; `candidates` are each hold's bids."""
        for hold, listed in zip(holds, candidates, strict=True):
            self._admit(hold, listed, self.memory.rules)
        for window in self._locked.values():
            if crossed := alerts.crossed(window):
                self._writes["insert_alerts"] += [alerts.threshold(window, percent) for percent in crossed]
                window.alerted, window.touched = crossed[-1], True

    def _admit(self, hold: Hold, candidates: list[Candidate], rules: Rules) -> None:
        """Grants the first bid that no switch stops and that fits all its budgets; else the first one's refusal."""
        refusal: Refusal | None = None
        earlier = self._taken.get(hold.call_id)
        if earlier:
            # Not before it is this one's turn: where the move is refused, the room has to be there for the earlier one.
            self._free(earlier)
        for candidate in candidates:
            answer = self._judge(hold, candidate, rules)
            if isinstance(answer, Grant):
                self.answers.append((hold, answer))
                return
            # Waiting helps against a rate limit, whatever stands against the other targets.
            refusal = answer if refusal is None or answer.by == "rate" else refusal
        assert refusal is not None
        if hold.moves and earlier and earlier.draft is not None:
            self._hold(
                hold, earlier.windows, earlier.amounts, earlier.draft, earlier.buckets or (), earlier.bucket_tokens or 0
            )
        elif earlier:
            self._buckets.undo(earlier)
        if refusal.window and refusal.budget:
            window = self._locked[refusal.window]
            alert = alerts.exhausted(window, rules.last_raise(refusal.budget, window.value))
            self._writes["insert_alerts"].append(alert)
        self.answers.append((hold, refusal))

    def _judge(self, hold: Hold, candidate: Candidate, rules: Rules) -> Grant | Refusal:
        if hold.moves and hold.call_id not in self._taken:
            return Refusal(by="lost", reason="The ledger has written this call off as lost, as its process was silent.")
        assert self.memory.now is not None
        if switch := rules.switch_for(hold.at(candidate.bid), self.memory.now):
            left = (switch.expires_at - self.memory.now).total_seconds() if switch.expires_at else None
            return Refusal(by="switch", reason=switch.sentence, retry_after_s=left)
        windows, amounts = [], []
        for id, place in zip(candidate.windows, candidate.places, strict=True):
            rule, window = place.rule, self._locked[id]
            amount = hold.amount(rule.metric, candidate.bid)
            if rule.id in hold.exempt:
                continue
            if rule.is_foreign and window.rate is None:
                return Refusal(by="price", reason=f"There is no rate for {rule.currency}, which {rule} is in; add one.")
            if amount is None:
                return Refusal(
                    by="price",
                    reason=f"{candidate.bid.provider}/{candidate.bid.model} has no price, so it cannot be held to {rule}.",
                )
            if amount and window.spent + window.held + amount > window.limit:
                reason = alerts.no_room(rule, window, amount)
                return Refusal(by="budget", reason=reason, budget=rule, window=id, resets_at=window.ends_at)
            windows.append(id)
            amounts.append(amount)
        if hold.beside and set(windows) != set(self._taken[hold.call_id].windows):
            return Refusal(
                by="budget", reason="A budget counts only one of the two targets, so they are not asked at once."
            )
        tokens, earlier = candidate.bid.tokens + hold.spent_tokens, self._taken.get(hold.call_id)
        limited = self._buckets.of(hold)
        if found := lack(limited, tokens, earlier):
            return Refusal.of_rate(*found, tokens=tokens, rates=rates(limited))
        buckets = self._buckets.take(limited, tokens, earlier)
        self._hold(hold, windows, amounts, hold.draft_for(candidate.bid), buckets, tokens)
        return Grant(
            bid=candidate.bid, windows=tuple(windows), amounts=tuple(amounts), buckets=buckets, rates=rates(limited)
        )

    def _hold(
        self,
        hold: Hold,
        windows: list[int],
        amounts: list[Decimal],
        draft: Row,
        buckets: Sequence[int],
        bucket_tokens: int,
    ) -> None:
        for id, amount in zip(windows, amounts, strict=True):
            self._locked[id].change(held=amount)
        self._writes["insert_holds"].append({
            "call_id": hold.call_id,
            "owner": self.memory.owner,
            "lifetime_s": hold.lifetime_s,
            "windows": windows,
            "amounts": amounts,
            "draft": draft,
            **({"buckets": buckets, "bucket_tokens": bucket_tokens} if buckets else {}),
        })  # fmt: skip
