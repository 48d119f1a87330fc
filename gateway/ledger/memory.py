"""What a writer knows from earlier transactions, so that the next one has less to ask."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from budgets.rules import Rules
from gateway.ledger.buckets import BucketKey
from gateway.ledger.windows import LockedWindow, WindowKey, WindowRow

#: Ids of windows that a writer remembers; the older half is forgotten when there are more.
MOST_WINDOWS = 50_000
#: Windows of which it remembers how it left them, likewise.
MOST_LEFT = 20_000
#: Ids of buckets that it remembers; all are forgotten when there are more.
MOST_BUCKETS = 20_000


class Left(NamedTuple):
    """A window as a transaction left it. `alone`: nobody else had changed it since this writer's transaction before."""

    row: WindowRow
    alone: bool


@dataclass(slots=True)
class Memory:
    """What a writer knows from earlier transactions; only what was committed enters it.

    `now` is the last one's moment, by the database's clock; None before the first.
    """

    owner: UUID
    rules: Rules
    now: datetime | None = None
    windows: dict[WindowKey, int] = field(default_factory=dict)
    buckets: dict[BucketKey, int] = field(default_factory=dict)
    left: dict[int, Left] = field(default_factory=dict)

    def alone(self, windows: Iterable[int]) -> list[WindowRow] | None:
        """These windows as they were left, if all of them are this writer's alone as far as it knows; else None."""
        found = [self.left.get(id) for id in windows]
        rows = [left.row for left in found if left and left.alone]
        return rows if len(rows) == len(found) else None

    def surprised(self, windows: Iterable[int]) -> None:
        """They were not as they had been left."""
        for id in windows:
            self.left.pop(id, None)

    def learn(self, windows: dict[WindowKey, int], buckets: dict[BucketKey, int]) -> None:
        """Windows and buckets that were found or made."""
        if windows:
            self.windows.update(windows)
            _forget_old(self.windows, MOST_WINDOWS)
        if len(self.buckets) > MOST_BUCKETS:
            self.buckets.clear()
        self.buckets.update(buckets)

    def leave(self, found: Sequence[WindowRow], locked: dict[int, LockedWindow]) -> None:
        """Notes how a transaction left the windows that it had found so."""
        for row in found:
            # The last one is the last to be forgotten.
            before = self.left.pop(row.id, None)
            # Where nothing counts yet, nobody else has been.
            alone = before.row == row if before else not (row.spent or row.held)
            self.left[row.id] = Left(locked[row.id].row(row), alone)
        _forget_old(self.left, MOST_LEFT)


def _forget_old(known: dict[Any, Any], most: int) -> None:
    if len(known) > most:
        for key in list(islice(known, len(known) // 2)):
            del known[key]
