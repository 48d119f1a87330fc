"""Runs the rules over a text."""

import math
from collections.abc import Collection, Iterator
from functools import cache
from time import perf_counter

from redaction.patterns import addresses, contacts, dates, identities, names, secrets
from redaction.patterns.fold import Folded
from redaction.patterns.rule import BEFORE, BEHIND, IN_CONTEXT, Rule
from redaction.spans import Span

RULES: tuple[Rule, ...] = (
    *secrets.RULES, *contacts.RULES, *identities.RULES, *dates.RULES, *addresses.RULES, *names.RULES,
)  # fmt: skip


def find(text: str, entities: Collection[str], *, ends_at: float = math.inf) -> list[Span]:
    """Every finding of these entities, overlaps included; offsets are those of the given text, whatever it is read as.

    Raises TimeoutError when it is not done at `ends_at`, by `perf_counter`.
    """
    folded = Folded(text)
    lower = folded.text.lower()
    found: list[Span] = []
    for rule in _chosen(frozenset(entities)):
        if rule.needs and not any(word in lower for word in rule.needs):
            continue
        if perf_counter() > ends_at:
            raise TimeoutError("the analysis took too long")
        found += _matches(rule, folded)
    return found


@cache
def _chosen(entities: frozenset[str]) -> tuple[Rule, ...]:
    return tuple(rule for rule in RULES if rule.entity in entities)


def _matches(rule: Rule, folded: Folded) -> Iterator[Span]:
    group = rule.group()
    for match in rule.pattern.finditer(folded.text):
        start, end = match.span(group)
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
