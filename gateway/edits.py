"""How much of a reply a person changed before sending it. Arithmetic alone: no text is kept."""

import re
from collections import Counter
from difflib import SequenceMatcher

WORD = re.compile(r"\w+|[^\w\s]")
#: Of longer texts, what is left between their common beginning and end is compared without regard to order: with it, the time
#: grows with the square.
MOST_WORDS = 1000


def edit_share(reply: str, sent: str) -> float:
    """The share of a reply that was changed before it was sent, 0.0 (nothing) to 1.0 (nothing of it is left).

    Counted in words and signs, spaces aside: what the two texts do not have in common in the same order, by all they
    have. Where more than 1,000 words lie between their common beginning and end, their order does not count there, so
    that the share is rather too small than too large.
    """
    before, after = WORD.findall(reply), WORD.findall(sent)
    whole = len(before) + len(after)
    if not whole:
        return 0.0
    start = _common(before, after)
    before, after = before[start:], after[start:]
    end = _common(before[::-1], after[::-1])
    before, after = before[: len(before) - end], after[: len(after) - end]
    if max(len(before), len(after)) > MOST_WORDS:
        alike = (Counter(before) & Counter(after)).total()
    else:
        alike = sum(block.size for block in SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks())
    return 1 - 2 * (start + end + alike) / whole


def _common(one: list[str], other: list[str]) -> int:
    """How many words both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
