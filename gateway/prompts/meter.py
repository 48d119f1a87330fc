"""What the rendering under way in a thread has used of its time, and of what it may write."""

from threading import local
from time import perf_counter, sleep

from jinja2.exceptions import SecurityError

#: What one rendering may take and make.
MOST_SECONDS = 1.0
MOST_CHARACTERS = 1_000_000
#: What its expressions may write, blocks that are kept for later included: such a block is in memory before it is a message.
MOST_WRITTEN = 4 * MOST_CHARACTERS
#: A rendering that makes way for other threads does so this often, and for so long; seconds.
YIELD_EVERY_S, YIELD_S = 0.001, 0.0001


class Meter(local):
    """When the rendering under way in this thread has to end, and how many characters its expressions may still write; one
    template may be rendered in several threads at once.
    """

    ends_at = float("inf")
    left = float("inf")
    #: When other threads are let run for a moment; Python itself would have each of them wait 5 ms for its turn.
    yields_at = float("inf")

    def start(self, *, yielding: bool) -> None:
        now = perf_counter()
        self.ends_at, self.left = now + MOST_SECONDS, MOST_WRITTEN
        self.yields_at = now + YIELD_EVERY_S if yielding else float("inf")

    def tick(self) -> None:
        now = perf_counter()
        if now > self.ends_at:
            raise SecurityError(f"rendering took longer than {MOST_SECONDS:g} s")
        if now > self.yields_at:
            sleep(YIELD_S)
            self.yields_at = perf_counter() + YIELD_EVERY_S

    def wrote(self, characters: int) -> None:
        self.left -= characters
        if self.left < 0:
            raise SecurityError(f"its blocks are longer than {MOST_WRITTEN:,} characters")


meter = Meter()
