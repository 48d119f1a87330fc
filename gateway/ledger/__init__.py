"""The ledger: holds before calls, settles after them, one group-committed transaction at a time."""

from gateway.ledger.operations import Bid, Grant, Hold, Ledger, Refusal, Settle
from gateway.ledger.writer import Writer

__all__ = ["Bid", "Grant", "Hold", "Ledger", "Refusal", "Settle", "Writer"]
