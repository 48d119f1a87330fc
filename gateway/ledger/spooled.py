"""A call that passed the gate, or was settled, while the ledger's database was away; and its record in a spool file."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from budgets.rules import Scope
from gateway import secrets
from gateway.ledger.operations import BLANK, Bid, Grant, Row, Settle, empties
from gateway.models.calls import uuid7_time

MONEY = ("cost_usd", "held_usd", "overrun_usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """The row of a call as known so far, and for which target it passed.

    `windows` are the ids of those that it is held in; None: it passed without a hold, and counts in whatever its scope has.
    Until it is `settled` the row is what the call leaves if its process dies: `lost`, at the most that it could cost.
    """

    call_id: UUID
    scope: Scope
    bid: Bid
    row: Row
    settled: bool
    payload: Mapping[str, Any] | None = None
    windows: tuple[int, ...] | None = None

    @property
    def made_at(self) -> datetime:
        return uuid7_time(self.call_id)

    def settlement(self) -> Settle:
        """What the ledger is asked to do with it."""
        grant = Grant(bid=self.bid, windows=self.windows or ())
        row = {**BLANK, **empties(), **self.row, "id": self.call_id}
        return Settle(call_id=self.call_id, row=row, payload=self.payload, grant=grant)

    def record(self) -> bytes:
        """Its record, encrypted: rows name tenants and users, payloads what they wrote."""
        bid = self.bid
        told = {
            "call_id": self.call_id, "scope": self.scope._asdict(), "settled": self.settled, "row": self.row,
            "payload": self.payload, "windows": self.windows,
            "bid": {
                "provider": bid.provider, "model": bid.model, "usd": bid.usd, "input_tokens": bid.input_tokens,
                "output_tokens": bid.output_tokens, "price_id": bid.price_id,
            },
        }  # fmt: skip
        return secrets.encrypt(orjson.dumps(told, default=str).decode(), bound_to="spool").encode()

    @classmethod
    def read(cls, record: bytes) -> "Spooled":
        """The call of a record. Raises CannotDecrypt."""
        told = orjson.loads(secrets.decrypt(record.decode(), bound_to="spool"))
        bid, row, windows = told["bid"], told["row"], told["windows"]
        row |= {name: Decimal(row[name]) for name in MONEY if row.get(name) is not None}
        return cls(
            call_id=UUID(told["call_id"]),
            scope=Scope(**told["scope"]),
            bid=Bid(**{**bid, "usd": None if bid["usd"] is None else Decimal(bid["usd"])}),
            row=row,
            settled=told["settled"],
            payload=told["payload"],
            windows=None if windows is None else tuple(windows),
        )


def latest(records: list[bytes]) -> dict[UUID, Spooled]:
    """What a file says last of each call, in the order in which they came. Raises CannotDecrypt."""
    found: dict[UUID, Spooled] = {}
    for call in map(Spooled.read, records):
        if not ((earlier := found.get(call.call_id)) and earlier.settled):
            found[call.call_id] = call
    return found
