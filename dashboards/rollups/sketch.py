"""Quantiles of latencies from counts in logarithmic buckets, which can be added up; the error is at most ERROR.

After DDSketch: C. Masson, J. E. Rim, H. K. Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with
Relative-Error Guarantees", PVLDB 12(12), 2019. Bucket i holds the values in (GAMMA^(i-1), GAMMA^i]; the value that is told for
it lies within ERROR of every value in it (their Lemma 2). All buckets are kept, so the bound holds for every quantile.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The largest relative error of a quantile.
ERROR = 0.01
GAMMA = (1 + ERROR) / (1 - ERROR)
#: Shorter times count as this, in milliseconds.
LEAST_MS = 0.001
#: An entry as the database keeps it, as numpy's dtype.
ENTRY = [("bucket", ">i2"), ("count", ">i4")]


def bucket_of(ms: float) -> int:
    """The bucket of a latency; the same arithmetic as in rollups.sql."""
    return math.ceil(math.log(max(ms, LEAST_MS)) / math.log(GAMMA))


def value_of(bucket: int) -> float:
    """The latency that is told for a bucket, in milliseconds."""
    return 2 * GAMMA**bucket / (GAMMA + 1)


def merged(entries: bytes) -> tuple["NDArray[np.int64]", "NDArray[np.int64]"]:
    """Buckets in ascending order, and how many calls are in each; those without any are left out."""
    # Here and below, as it takes long to load: servers and most commands never look into a sketch.
    import numpy as np

    found = np.frombuffer(entries, ENTRY)
    if not found.size:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    buckets = found["bucket"].astype(np.int64)
    least = int(buckets.min())
    counts = np.bincount(buckets - least, weights=found["count"]).astype(np.int64)
    kept = np.flatnonzero(counts)
    return kept + least, counts[kept]


def compact(entries: bytes) -> bytes:
    """The same sketch with one entry for each bucket."""
    import numpy as np

    buckets, counts = merged(entries)
    made = np.empty(len(buckets), ENTRY)
    made["bucket"], made["count"] = buckets, counts
    return made.tobytes()


def quantiles(entries: bytes, q: Sequence[float]) -> tuple[int, tuple[float | None, ...]]:
    """How many values there are, and the quantiles, each 0 to 1: the value at rank q(n-1), rounded down. None without any."""
    import numpy as np

    buckets, counts = merged(entries)
    total = int(counts.sum())
    if total <= 0:
        return 0, tuple(None for _ in q)
    upto = np.cumsum(counts)
    places = [int(np.searchsorted(upto, math.floor(one * (total - 1)), side="right")) for one in q]
    return total, tuple(value_of(int(buckets[place])) for place in places)
