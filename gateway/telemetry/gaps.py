"""How long a stream's chunks took, each from the end of the one before: what `time_per_output_chunk` is made of."""

from time import perf_counter

#: Times that are kept of one stream: telling OpenTelemetry of one takes some microseconds of the loop that serves other calls.
MOST = 128


class Gaps:
    """The times of one stream, in seconds. Of a stream with more than MOST, an even sample: every second, fourth, … one.

    A chunk is an event. Those that arrived with one before took no time.
    """

    __slots__ = ("_at", "_each", "_seen", "kept")

    def __init__(self) -> None:
        self.kept: list[float] = []
        self._at = 0.0
        self._seen = 0
        self._each = 1

    def note(self, events: int) -> None:
        """So many events have just arrived together."""
        if not events:
            return
        now = perf_counter()
        if self._at:
            self._keep(now - self._at)
        for _ in range(events - 1):
            self._keep(0.0)
        self._at = now

    def _keep(self, gap: float) -> None:
        if self._seen % self._each == 0:
            if len(self.kept) == MOST:
                del self.kept[1::2]
                self._each *= 2
            self.kept.append(gap)
        self._seen += 1
