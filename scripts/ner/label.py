"""Labels real sentences with a larger spaCy model, as training texts for the name tagger (its teacher).

    python scripts/ner/label.py --model MODEL TEXTS.jsonl … > labelled.jsonl

Takes lines of any JSON; every text of 20 characters or more in them is cut into pieces of about 600. Only texts whose
licence allows it belong here; docs/redaction.md names those that the packaged weights were trained on.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator

import spacy

LABELS = {
    "PERSON": "PERSON",
    "GPE": "LOCATION",
    "LOC": "LOCATION",
    "FAC": "LOCATION",
    "NORP": "NRP",
    "ORG": "ORGANIZATION",
}


def texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) >= 20 and " " in value:
            yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def pieces(text: str) -> Iterator[str]:
    while text:
        cut = len(text) if len(text) < 700 else max(text.rfind("\n", 200, 600), text.rfind(". ", 200, 600) + 1, 300)
        yield text[:cut].strip()
        text = text[cut:]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--most", type=int, default=4000, help="Pieces of each file, drawn by chance.")
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    nlp = spacy.load(options.model, exclude=["tagger", "parser", "attribute_ruler", "lemmatizer", "senter"])
    for file in options.files:
        with open(file, encoding="utf-8") as lines:
            found = {piece: None for line in lines for text in texts(json.loads(line)) for piece in pieces(text)}
        drawn = random.Random(1).sample(list(found), min(options.most, len(found)))
        for doc in nlp.pipe(drawn, batch_size=64):
            spans = [
                {"start": e.start_char, "end": e.end_char, "type": LABELS[e.label_]}
                for e in doc.ents
                if e.label_ in LABELS
            ]
            json.dump({"text": doc.text, "spans": spans}, sys.stdout, ensure_ascii=False)
            print()


if __name__ == "__main__":
    main()
