"""Runs the rules over a text."""

import math
import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from time import perf_counter
from typing import Any

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
        found += (span for match in reading.matches(rule) if (span := _span(rule, reading.folded, match)))
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
        self._around_digits: dict[tuple[tuple[int, int], tuple[str, ...]], list[Window]] = {}
        self._words: dict[str, list[int]] = {}
        for match in WORD.finditer(self.lower):
            self._words.setdefault(match[0], []).append(match.start())
        self._longest = max(map(len, self._words), default=0)
        self._known: dict[tuple[str, ...], list[str]] = {}
        self._matched: dict[tuple[Any, ...], list[re.Match[str]]] = {}

    def matches(self, rule: Rule) -> list[re.Match[str]]:
        """What the rule's pattern matches; rules that differ in other things only share it."""
        same = (rule.pattern, rule.reach, rule.digits, rule.needs)
        found = self._matched.get(same)
        if found is None:
            begin = self._begin(rule)
            found = self._matched[same] = [
                match for start, end in self.windows(rule) for match in self._inside(rule.pattern, begin, start, end)
            ]
        return found

    def windows(self, rule: Rule) -> Iterator[tuple[int, int]]:
        """The ranges in which the rule's pattern is to be tried, in order and apart."""
        words: list[str] = []
        whole: list[str] = []
        if self._longest < rule.longest:
            return
        if rule.needs or rule.words:
            words = self._there(rule.needs)
            whole = [word for word in rule.words if word in self._words] if rule.words else []
            if not words and not whole:
                return
        if rule.digits:
            there = [*words, *whole]
            for start, end, digits in self._near_digits(rule.reach, rule.behind):
                if digits >= rule.digits and (
                    not there or any(self.lower.find(word, start, end) >= 0 for word in there)
                ):
                    yield start, end
        elif words or whole:
            places = [at for word in words for at in _all(self.lower, word)]
            places += [at for word in whole for at in self._words[word]]
            yield from ((start, end) for start, end, _ in self._apart(((at, at) for at in sorted(places)), rule.reach))
        else:
            yield 0, len(self.text)

    def _begin(self, rule: Rule) -> list[int] | None:
        """Where the rule's pattern can begin; None: anywhere."""
        if rule.first == "digits":
            return [at for at, _ in self._numbers]
        if rule.first == "words":
            return sorted(at for word in rule.words & self._words.keys() for at in self._words[word])
        return None

    def _inside(
        self, pattern: re.Pattern[str], begin: list[int] | None, start: int, end: int
    ) -> Iterator[re.Match[str]]:
        """What the pattern matches in a range, tried where it can begin."""
        if begin is None:
            yield from pattern.finditer(self.text, start, end)
            return
        over = start
        for at in begin[bisect_left(begin, start) : bisect_left(begin, end)]:
            if at >= over and (match := pattern.match(self.text, at, end)):
                yield match
                over = match.end()

    def _there(self, needs: tuple[str, ...]) -> list[str]:
        """Those of the strings that the text has."""
        parts = self._known.get(needs)
        if parts is None:
            lower = self.lower
            parts = self._known[needs] = [word for word in needs if word in lower]
        return parts

    def _near_digits(self, reach: tuple[int, int], behind: tuple[str, ...]) -> list[Window]:
        found = self._around_digits.get((reach, behind))
        if found is None:
            numbers = (
                [number for number in self._numbers if self._stands_behind(number[0], behind)]
                if behind
                else self._numbers
            )
            found = self._around_digits[reach, behind] = list(self._apart(numbers, reach))
        return found

    def _stands_behind(self, at: int, ends: tuple[str, ...]) -> bool:
        """Whether the text ends in one of these before `at`, a blank and a comma aside."""
        if self.lower[at - 1 : at].isspace():
            at -= 1
        if self.lower[at - 1 : at] == ",":
            at -= 1
        return self.lower.endswith(ends, 0, at)

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


def _span(rule: Rule, folded: Folded, match: re.Match[str]) -> Span | None:
    """The finding that a match is; None where it is not real."""
    start, end = match.span(rule.group)
    value = folded.text[start:end]
    stripped = value.rstrip(".,;: \n\t)")
    end -= len(value) - len(stripped)
    if start == end or (rule.check and not rule.check(stripped)):
        return None
    score = rule.score
    if rule.near and rule.near.search(folded.text, max(0, start - BEFORE), end + BEHIND):
        score = max(score, IN_CONTEXT)
    first, last = folded.origin(start, end)
    return Span(start=first, end=last, type=rule.entity, score=score)
