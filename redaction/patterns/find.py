"""Runs the rules over a text."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import lru_cache
from time import perf_counter

from redaction.patterns import addresses, contacts, dates, identities, names, secrets
from redaction.patterns.fold import Folded
from redaction.patterns.hints import Hints
from redaction.patterns.reading import Reading
from redaction.patterns.rule import BEFORE, BEHIND, IN_CONTEXT, UNUSUAL, Rule
from redaction.spans import Span

RULES: tuple[Rule, ...] = (
    *secrets.RULES, *contacts.RULES, *identities.RULES, *dates.RULES, *addresses.RULES, *names.RULES,
)  # fmt: skip

QUOTES = frozenset("\"'`")


def find(text: str, entities: Collection[str], *, ends_at: float = math.inf) -> list[Span]:
    """Every finding of these entities, overlaps included; offsets are those of the given text, whatever it is read as.

    Raises TimeoutError when it is not done at `ends_at`, by `perf_counter`.
    """
    return chosen(frozenset(entities), 0.0).find(text, ends_at=ends_at)


@lru_cache(maxsize=200)
def chosen(entities: frozenset[str], threshold: float, thresholds: tuple[tuple[str, float], ...] = ()) -> Chosen:
    """The rules for these entities whose findings can score as much as the threshold, or as that of their entity."""
    least = dict(thresholds)
    return Chosen((rule, least.get(rule.entity, threshold)) for rule in RULES if rule.entity in entities)


class Chosen:
    """Rules, each with the least score that counts, by what a text must have for them: few are worth trying on most texts."""

    def __init__(self, rules: Iterable[tuple[Rule, float]]) -> None:
        self._rules = [
            (rule, least) for rule, least in rules if rule.score >= least or (rule.near and least <= IN_CONTEXT)
        ]
        self._by_string: defaultdict[str, list[int]] = defaultdict(list)
        self._by_word: defaultdict[str, list[int]] = defaultdict(list)
        #: Rules that need no string and no word.
        self._others = [at for at, (rule, _) in enumerate(self._rules) if not rule.needs and not rule.words]
        for at, (rule, _) in enumerate(self._rules):
            for string in rule.needs:
                self._by_string[string].append(at)
            for word in rule.words:
                self._by_word[word].append(at)
        near = (string for rule, _ in self._rules for string in rule.near_strings)
        self._hints = Hints(self._by_string, near)

    def find(self, text: str, *, ends_at: float = math.inf) -> list[Span]:
        """Every finding that scores enough, overlaps included. Raises TimeoutError as `find` does."""
        reading = self.read(text)
        found: list[Span] = []
        for rule, least in self._worth_trying(reading):
            if perf_counter() > ends_at:
                raise TimeoutError("the analysis took too long")
            near = rule.near if _may_be_near(rule, reading.beginnings) else None
            if rule.score >= least or near:
                for match in reading.matches(rule):
                    span = _span(rule, near, reading.folded, match)
                    if span and span.score >= least:
                        found.append(span)
        return found

    def read(self, text: str) -> Reading:
        return Reading(text, self._hints)

    def _worth_trying(self, reading: Reading) -> list[tuple[Rule, float]]:
        """The rules that could match anything in the text, in their own order."""
        worth = set(self._others)
        for string in reading.strings:
            worth.update(self._by_string[string])
        for word in reading.words & self._by_word.keys():
            worth.update(self._by_word[word])
        rules = [self._rules[at] for at in sorted(worth)]
        return [
            (rule, least)
            for rule, least in rules
            if rule.digits <= reading.digits
            and rule.longest <= reading.longest
            and (not rule.shape or rule.shape.search(reading.text))
        ]


def _may_be_near(rule: Rule, beginnings: set[str]) -> bool:
    """Whether the text that has these beginnings of words may have one of the rule's context words at all."""
    return rule.near is not None and (not rule.near_strings or not beginnings.isdisjoint(rule.near_strings))


def _span(rule: Rule, near: re.Pattern[str] | None, folded: Folded, match: re.Match[str]) -> Span | None:
    """The finding that a match is, surer with a context word beside it; None where it is not real."""
    start, end = match.span(rule.group)
    value = folded.text[start:end]
    # Signs at the end belong to the sentence, but not before a closing quote.
    stripped = value if folded.text[end : end + 1] in QUOTES else value.rstrip(".,;: \n\t)")
    end -= len(value) - len(stripped)
    if start == end or (rule.check and not rule.check(stripped)):
        return None
    score = rule.score if not rule.usual or rule.usual(stripped) else UNUSUAL
    if near and score < IN_CONTEXT and near.search(folded.text, max(0, start - BEFORE), end + BEHIND):
        score = IN_CONTEXT
    first, last = folded.origin(start, end)
    return Span(start=first, end=last, type=rule.entity, score=score)
