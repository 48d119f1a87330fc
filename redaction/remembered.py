"""What was found in texts of late, so that a conversation's history is not analysed again with every turn.

Findings are kept by a keyed hash of the text and by the policy, as numbers and names of entities; never the text. The key is
made when the process begins and never leaves it, so that nobody can try texts against what a memory dump holds.
"""

import math
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from hashlib import blake2b
from time import monotonic

from redaction import apart, engine
from redaction.policies import Policy
from redaction.spans import Span

#: What is kept at most: texts, bytes (by estimate), and for how many seconds since a text was last met.
MOST_TEXTS = 20_000
MOST_BYTES = 16_000_000
LIFETIME_S = 3_600.0
#: What an entry takes without findings, and what a finding takes.
ENTRY_BYTES, SPAN_BYTES = 400, 200

#: Keyed hash of a text, the policy, the language model.
Key = tuple[bytes, Policy, str]


class Memory:
    """Findings by text and policy. Safe from any thread."""

    def __init__(
        self,
        analyse: Callable[..., list[Span]] = apart.spans,
        *,
        most_texts: int = MOST_TEXTS,
        most_bytes: int = MOST_BYTES,
        lifetime_s: float = LIFETIME_S,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._analyse = analyse
        self._most_texts, self._most_bytes, self._lifetime_s, self._clock = most_texts, most_bytes, lifetime_s, clock
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        #: In the order of their last use: until when they hold, and what was found.
        self._entries: OrderedDict[Key, tuple[float, tuple[Span, ...]]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def spans(self, text: str, policy: Policy, *, ends_at: float = math.inf) -> list[Span]:
        """As `redaction.engine.spans`; a text that was met before is not analysed again."""
        key = self._key(text, policy)
        found = self._get(key)
        if found is None:
            found = tuple(self._analyse(text, policy, ends_at=ends_at))
            self._put(key, found)
        return list(found)

    def ahead(self, texts: Iterable[str], policy: Policy, *, ends_at: float = math.inf) -> None:
        """As `redaction.engine.ahead`, for those of the texts that were not met before."""
        if engine.remote():
            engine.ahead(
                [text for text in texts if self._get(self._key(text, policy)) is None], policy, ends_at=ends_at
            )

    def _key(self, text: str, policy: Policy) -> Key:
        digest = blake2b(text.encode("utf-8", "surrogatepass"), key=self._secret, digest_size=16).digest()
        return digest, policy, engine.model()

    def _get(self, key: Key) -> tuple[Span, ...] | None:
        now = self._clock()
        with self._lock:
            self._forget(now)
            if (entry := self._entries.pop(key, None)) is None:
                return None
            self._entries[key] = (now + self._lifetime_s, entry[1])
            return entry[1]

    def _put(self, key: Key, found: tuple[Span, ...]) -> None:
        now = self._clock()
        with self._lock:
            if previous := self._entries.pop(key, None):
                self._bytes -= _size(previous[1])
            self._entries[key] = (now + self._lifetime_s, found)
            self._bytes += _size(found)
            self._forget(now)

    def _forget(self, now: float) -> None:
        """Drops what is too old, and the oldest of what is too much."""
        while self._entries:
            key, (until, found) = next(iter(self._entries.items()))
            if until > now and len(self._entries) <= self._most_texts and self._bytes <= self._most_bytes:
                return
            del self._entries[key]
            self._bytes -= _size(found)


def _size(found: tuple[Span, ...]) -> int:
    return ENTRY_BYTES + SPAN_BYTES * len(found)


_memory = Memory()
#: As in `redaction.engine`, with the memory of this process.
spans, ahead = _memory.spans, _memory.ahead
