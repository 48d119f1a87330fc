"""spaCy for Presidio, with only what is used: a tokenizer, and the named entities where a policy asks for them."""

from typing import Any

import spacy
from presidio_analyzer.nlp_engine import NerModelConfiguration, NlpArtifacts, SpacyNlpEngine

#: Labels of spaCy's English models → Presidio's entities. Others (dates, numbers, works) are no personal data to us.
LABELS = {
    "PERSON": "PERSON",
    "PER": "PERSON",
    "GPE": "LOCATION",
    "LOC": "LOCATION",
    "FAC": "LOCATION",
    "NORP": "NRP",
    "ORG": "ORGANIZATION",
}
OTHERS = {
    *("CARDINAL", "DATE", "EVENT", "LANGUAGE", "LAW", "MISC", "MONEY"),
    *("ORDINAL", "PERCENT", "PRODUCT", "QUANTITY", "TIME", "WORK_OF_ART"),
}


class Spacy(SpacyNlpEngine):
    """A tokenizer; with a model's name or path, that model's named entities too, and no other part of its pipeline."""

    def __init__(self, model: str) -> None:
        super().__init__(
            models=[{"lang_code": "en", "model_name": model or "blank"}],
            ner_model_configuration=NerModelConfiguration(
                model_to_presidio_entity_mapping=LABELS, labels_to_ignore=OTHERS, low_score_entity_names=[]
            ),
        )
        self._model = model

    def load(self) -> None:
        """Loads the model; raises OSError when it is not installed (nothing is ever downloaded)."""
        nlp = (
            spacy.load(self._model, exclude=["tagger", "parser", "attribute_ruler", "lemmatizer", "senter"])
            if self._model
            else spacy.blank("en")
        )
        self.nlp = {"en": nlp}  # type: ignore[assignment]  # declared as None by its base

    def _doc_to_nlp_artifact(self, doc: Any, language: str) -> NlpArtifacts:
        # Context words are matched against lemmas; without the lemmatizer, which costs as much as all the rest, the
        # lower-case word serves.
        entities, scores = self._get_updated_entities(self._get_entities(doc), self._get_scores_for_entities(doc))
        return NlpArtifacts(
            entities=entities,
            tokens=doc,
            tokens_indices=[token.idx for token in doc],
            lemmas=[token.lower_ for token in doc],
            nlp_engine=self,
            language=language,
            scores=scores,
        )
