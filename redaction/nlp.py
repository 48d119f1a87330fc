"""Names, places, groups and organisations by a spaCy model. Imported only where one is set and a policy asks for them."""

import importlib
import sys
from types import ModuleType
from typing import Any

from redaction.spans import Span, trimmed

#: Labels of spaCy's English and multilingual models → entities. Others (dates, numbers, works) are no personal data to us.
LABELS = {
    "PERSON": "PERSON",
    "PER": "PERSON",
    "GPE": "LOCATION",
    "LOC": "LOCATION",
    "FAC": "LOCATION",
    "NORP": "NRP",
    "ORG": "ORGANIZATION",
}
#: spaCy gives no score; this is what Presidio takes for it.
SCORE = 0.85
UNUSED = ["tagger", "parser", "attribute_ruler", "lemmatizer", "senter", "morphologizer"]


class Spacy:
    """A spaCy model's named entities, and no other part of its pipeline. Raises OSError when it is not installed."""

    def __init__(self, model: str) -> None:
        # Imported here, as it takes seconds and 45 MB, which processes without a model never need.
        _import_spacy()
        import spacy

        self._nlp: Any = spacy.load(model, exclude=UNUSED)

    def find(self, text: str) -> list[Span]:
        """The entities in the text. Takes the CPU."""
        found = []
        for entity in self._nlp(text).ents:
            if (label := LABELS.get(entity.label_)) and (
                span := _plausible(text, Span(start=entity.start_char, end=entity.end_char, type=label, score=SCORE))
            ):
                found.append(span)
        return found


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


def _plausible(text: str, span: Span) -> Span | None:
    """The finding, trimmed; None where the model is known to be wrong: names have capitals, and neither digits nor brackets."""
    end = span.end - 2 if text[span.start : span.end].endswith(("'s", "’s")) else span.end
    found = trimmed(text, Span(start=span.start, end=end, type=span.type, score=span.score))
    if found is None:
        return None
    value = text[found.start : found.end]
    if value.islower() or any(c.isdigit() or c in "_[]{}<>@/=" for c in value):
        return None
    return found
