"""Finds personal data in text: patterns first, then, where the policy needs it, the language model."""

import logging
import math
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache, lru_cache
from time import perf_counter
from typing import Any, Protocol

from django.conf import settings

from redaction import lists, patterns, places
from redaction.policies import KNOWN_ENTITIES, NER_ENTITIES, Policy
from redaction.spans import MOST_CHARACTERS, AnalyzerAway, Span, joined, parts, without_overlaps

__all__ = ["BUILT_IN", "MOST_CHARACTERS", "AnalyzerAway", "Span", "ahead", "model", "remote", "spans", "warm"]

#: The name of the tagger in this package; any other is that of a spaCy model.
BUILT_IN = "built-in"

logger = logging.getLogger("tollhouse.redaction")
_lock = threading.Lock()
#: Whether an IP address is on the public internet. The gate says it (`gateway.apps`); until then none is.
is_public: Callable[[str], bool] = lambda ip: False  # noqa: E731


class Names(Protocol):
    """What finds names and places: our tagger, or a spaCy model."""

    def find(self, text: str) -> list[Span]: ...


def spans(text: str, policy: Policy, *, ends_at: float = math.inf) -> list[Span]:
    """The policy's entities in the text, in order and without overlaps. Takes the CPU; safe from any thread.

    The language model runs only when the policy names an entity that needs it. Raises TimeoutError when it is not done
    at `ends_at`, by `perf_counter`.
    """
    wanted, own = policy.finds, policy.lists
    if not wanted or not text or text.isspace():
        return []
    names = _names(model()) if model() and not wanted.isdisjoint(NER_ENTITIES) else None
    rules = patterns.chosen(wanted, policy.threshold, policy.thresholds)
    found: list[Span] = []
    for offset, part in parts(text):
        if perf_counter() > ends_at:
            raise TimeoutError("the analysis took too long")
        results = rules.find(part, ends_at=ends_at)
        if names is not None:
            named = places.told_apart(part, _found(names, part), beside=results)
            results += _beside_marks(part, (span for span in named if span.type in wanted), policy)
        if own:
            results = lists.without_allowed(part, results, own) + lists.find(part, own, ends_at=ends_at)
        found += [_moved(span, offset) for span in results if span.score >= policy.least(span.type)]
    return joined(text, without_overlaps(text, found, last=NER_ENTITIES))


def ahead(texts: Iterable[str], policy: Policy, *, ends_at: float = math.inf) -> None:
    """Asks a remote analyzer for the names in many texts at once, so that `spans` need not for each. Else it does nothing."""
    if not remote() or policy.finds.isdisjoint(NER_ENTITIES):
        return
    names = _names(model())
    try:
        names.ahead(texts, ends_at=ends_at)  # type: ignore[attr-defined]
    except AnalyzerAway:
        if _setting("REDACTION_MODEL_AWAY", "refuse") == "refuse":
            raise


def _found(names: Names, text: str) -> list[Span]:
    """What the model finds; what the built-in tagger finds, where settings say so and a remote analyzer is away."""
    try:
        return names.find(text)
    except AnalyzerAway as error:
        if _setting("REDACTION_MODEL_AWAY", "refuse") == "refuse":
            raise
        logger.warning("%s The built-in tagger looks for names meanwhile.", error)
        return _names(BUILT_IN).find(text)


def _moved(span: Span, by: int) -> Span:
    return replace(span, start=span.start + by, end=span.end + by) if by else span


def _beside_marks(text: str, found: Iterable[Span], policy: Policy) -> list[Span]:
    """The findings that touch no placeholder or mask: to a tagger those read like names."""
    marks = [mark.span() for mark in _mark(policy.own_entities).finditer(text)]
    return [span for span in found if all(span.end <= start or end <= span.start for start, end in marks)]


@lru_cache(maxsize=100)
def _mark(own: frozenset[str]) -> re.Pattern[str]:
    """What stands for an entity that was found before: `[PERSON_1]`, `<PERSON>`."""
    known = "|".join((*KNOWN_ENTITIES, *sorted(own)))
    return re.compile(rf"\[(?:{known})_\d+\]|<(?:{known})>")


def model() -> str:
    """The language model that settings name; empty for patterns only."""
    given: str = _setting("REDACTION_MODEL", BUILT_IN)
    return given


def remote() -> bool:
    """Whether the model is an analyzer's address."""
    return model().startswith(("http://", "https://"))


def _setting(name: str, otherwise: Any) -> Any:
    return getattr(settings, "TOLLHOUSE", {}).get(name, otherwise)


def _allowed(ip: str) -> bool:
    return _setting("REDACTION_MODEL_PRIVATE", False) or _setting("ALLOW_PRIVATE_UPSTREAMS", False) or is_public(ip)


def warm() -> None:
    """Loads the language model now, so that the first call does not wait for it.

    Raises OSError for a missing model, ValueError for a wrong address, AnalyzerAway for a remote one that does not answer.
    """
    if model():
        _names(model()).find("Warm")


def _names(name: str) -> Names:
    with _lock:
        return _loaded(name)


@cache
def _loaded(name: str) -> Names:
    # Imported here, as numpy takes 14 MB and spaCy 45, which processes that look for patterns only never need.
    if name == BUILT_IN:
        from redaction.ner.tagger import Tagger

        return Tagger()
    if name.startswith(("http://", "https://")):
        from redaction.remote import Remote

        return Remote(name, _allowed)
    try:
        from redaction.nlp import Spacy

        return Spacy(name)
    except ModuleNotFoundError as error:
        raise OSError(f"{error.name} is missing; install tollhouse[spacy]") from None
