"""Runs the rules over a text."""

import math
import re
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from time import perf_counter

from redaction.patterns import addresses, contacts, dates, identities, names, secrets
from redaction.patterns.fold import Folded
from redaction.patterns.rule import BEFORE, BEHIND, IN_CONTEXT, Rule
from redaction.spans import Span

RULES: tuple[Rule, ...] = (
    *secrets.RULES, *contacts.RULES, *identities.RULES, *dates.RULES, *addresses.RULES, *names.RULES,
)  # fmt: skip

DIGITS = re.compile(r"\d+")
WORD = re.compile(r"\w+")
#: A window ends at a blank, which is at most this far from where it would.
STRETCH = 64

#: Where a pattern is tried: from, to, and how many digits there are between.
Window = tuple[int, int, int]


def find(text: str, entities: Collection[str], *, ends_at: float = math.inf) -> list[Span]:
    """Every finding of these entities, overlaps included; offsets are those of the given text, whatever it is read as.

    Raises TimeoutError when it is not done at `ends_at`, by `perf_counter`.
    """
    reading = Reading(text)
    found: list[Span] = []
    for rule in _chosen(frozenset(entities)):
        if perf_counter() > ends_at:
            raise TimeoutError("the analysis took too long")
        for start, end in reading.windows(rule):
            found += _matches(rule, reading.folded, start, end)
    return found


class Reading:
    """A text as the rules read it, and the places where each is worth trying."""

    def __init__(self, text: str) -> None:
        self.folded = Folded(text)
        self.text = self.folded.text
        lower = self.text.lower()
        # Some capitals have small forms of two characters.
        self.lower = lower if len(lower) == len(self.text) else "".join(c.lower()[0] for c in self.text)
        self._numbers = [match.span() for match in DIGITS.finditer(self.text)]
        self._around_digits: dict[tuple[int, int], list[Window]] = {}
        self._words = frozenset(WORD.findall(self.lower))
        self._known: dict[tuple[str, ...], list[str]] = {}

    def windows(self, rule: Rule) -> Iterator[tuple[int, int]]:
        """The ranges in which the rule's pattern is to be tried, in order and apart."""
        words: list[str] = []
        if rule.needs or rule.words:
            words = self._there(rule)
            if not words:
                return
        if rule.digits:
            for start, end, digits in self._near_digits(rule.reach):
                if digits >= rule.digits and (
                    not words or any(self.lower.find(word, start, end) >= 0 for word in words)
                ):
                    yield start, end
        elif words:
            places = sorted((at, at) for word in words for at in _all(self.lower, word))
            yield from ((start, end) for start, end, _ in self._apart(places, rule.reach))
        else:
            yield 0, len(self.text)

    def _there(self, rule: Rule) -> list[str]:
        """Those of the rule's words that the text has at all."""
        parts = self._known.get(rule.needs)
        if parts is None:
            lower = self.lower
            parts = self._known[rule.needs] = [word for word in rule.needs if word in lower]
        return [*parts, *(rule.words & self._words)] if rule.words else parts

    def _near_digits(self, reach: tuple[int, int]) -> list[Window]:
        found = self._around_digits.get(reach)
        if found is None:
            found = self._around_digits[reach] = list(self._apart(self._numbers, reach))
        return found

    def _apart(self, anchors: Iterable[tuple[int, int]], reach: tuple[int, int]) -> Iterator[Window]:
        """Windows around anchors, those that meet as one, stretched to the next blank so that none ends within a word."""
        before, behind = reach
        start, end, digits = 0, -1, 0
        for first, last in anchors:
            if first - before > end + STRETCH:
                if end >= 0:
                    yield start, self._blank(end), digits
                start, digits = max(0, first - before), 0
            end = max(end, last + behind)
            digits += last - first
        if end >= 0:
            yield start, self._blank(end), digits

    def _blank(self, end: int) -> int:
        if end >= len(self.text):
            return len(self.text)
        blank = self.text.find(" ", end, end + STRETCH)
        return blank if blank >= 0 else min(end + STRETCH, len(self.text))


def _all(text: str, word: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + 1)


@cache
def _chosen(entities: frozenset[str]) -> tuple[Rule, ...]:
    return tuple(rule for rule in RULES if rule.entity in entities)


def _matches(rule: Rule, folded: Folded, begin: int, until: int) -> Iterator[Span]:
    for match in rule.pattern.finditer(folded.text, begin, until):
        start, end = match.span(rule.group)
        value = folded.text[start:end]
        stripped = value.rstrip(".,;: \n\t)")
        end -= len(value) - len(stripped)
        if start == end or (rule.check and not rule.check(stripped)):
            continue
        score = rule.score
        if rule.near and rule.near.search(folded.text, max(0, start - BEFORE), end + BEHIND):
            score = max(score, IN_CONTEXT)
        first, last = folded.origin(start, end)
        yield Span(start=first, end=last, type=rule.entity, score=score)
