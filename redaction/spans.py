"""What a finding is, and how findings are put together: in order, without overlaps, over parts of long texts."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

#: Longer texts are analysed in parts, so that memory is bounded and time grows with the length.
MOST_CHARACTERS = 20_000
#: Parts overlap by this much, so that what stands at a cut is whole in one of them; no private key is longer.
OVERLAP = 5_000
#: Ranks of findings that meet: credentials before all else, places and names last; the rest by score.
FIRST = ("SECRET", "PASSWORD")
#: What may stand between two findings of a type that are one: parts of a name, of an address.
JOINTS = {"PERSON": (" ", "-"), "STREET_ADDRESS": (" ", "-", ",", ", ")}


class AnalyzerAway(Exception):
    """The analyzer that settings name did not answer. The message says so, and holds none of the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where an entity stands in a text (end exclusive), and how sure the finding is, 0 to 1."""

    start: int
    end: int
    type: str
    score: float


def parts(text: str) -> Iterator[tuple[int, str]]:
    """Parts of the text with their offsets, cut between words where there is a blank to cut at."""
    start = 0
    while len(text) - start > MOST_CHARACTERS:
        end = _blank_before(text, start + MOST_CHARACTERS)
        yield start, text[start:end]
        start = _blank_before(text, end - OVERLAP)
    yield start, text[start:]


def _blank_before(text: str, end: int) -> int:
    """Behind the last blank of the 1,000 characters before `end`, or `end` where there is none."""
    blank = max(text.rfind(" ", end - 1000, end), text.rfind("\n", end - 1000, end))
    return blank + 1 if blank >= 0 else end


def without_overlaps(text: str, found: Iterable[Span], last: Iterable[str] = ()) -> list[Span]:
    """The findings in order, cut so that none meets another: the surer one stays whole, the longer one of equals.

    What is left of the other stays too, where it holds a word: a name beside an address is still a name. Types in `last`
    give way to all others.
    """
    last = frozenset(last)
    kept: list[Span] = []
    ranked = sorted(found, key=lambda s: (s.type not in FIRST, s.type in last, -s.score, s.start - s.end, s.start))
    for span in ranked:
        first = bisect_right(kept, span.start, key=lambda other: other.end)
        until = bisect_left(kept, span.end, key=lambda other: other.start)
        if first == until:
            kept.insert(first, span)
            continue
        edges = [span.start, *(edge for other in kept[first:until] for edge in (other.start, other.end)), span.end]
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            if end - start >= 2 and (piece := trimmed(text, replace(span, start=start, end=end))):
                kept.insert(bisect_left(kept, piece.start, key=lambda other: other.start), piece)
    return kept


def joined(text: str, found: Iterable[Span]) -> list[Span]:
    """The findings in order, neighbours of one type as one where only a joint is between them; as sure as the less sure one."""
    kept: list[Span] = []
    for span in found:
        last = kept[-1] if kept else None
        if last and last.type == span.type and text[last.end : span.start] in JOINTS.get(span.type, ()):
            kept[-1] = replace(last, end=span.end, score=min(last.score, span.score))
        else:
            kept.append(span)
    return kept


def trimmed(text: str, span: Span) -> Span | None:
    """The span without blanks and punctuation around it; None if not even two letters or digits are left."""
    start, end = span.start, span.end
    while start < end and not text[start].isalnum():
        start += 1
    while start < end and not text[end - 1].isalnum():
        end -= 1
    if end - start < 2:
        return None
    return span if (start, end) == (span.start, span.end) else replace(span, start=start, end=end)
