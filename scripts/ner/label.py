"""Labels real sentences by two spaCy models, as training texts for the name tagger (its teachers).

    python scripts/ner/label.py --teachers PATH PATH [--most 4000] [--without CHATS.jsonl] TEXTS.jsonl … > labelled.jsonl

Takes lines of any JSON; every text of 20 characters or more in them is cut into pieces of about 600. What only one teacher says
has the type `?`, from which nothing is learnt: single models take products and headings for people and places. Texts that stand
in a file of `--without` are left out, so that false alarms can be counted there. Only texts whose licence allows it belong here.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import spacy

LABELS = {
    "PERSON": "PERSON",
    "GPE": "LOCATION",
    "LOC": "LOCATION",
    "FAC": "LOCATION",
    "NORP": "NRP",
    "ORG": "ORGANIZATION",
}
UNSURE = "?"
#: Nobody lives there.
NO_PLACES = frozenset(
    "earth mars venus jupiter saturn mercury uranus neptune pluto moon sun europa titan internet".split()
)
#: What both teachers take for people and places, and is software.
SOFTWARE = frozenset(
    "watson|watson assistant|watson discovery|docker|kubernetes|hyperledger fabric|calico|jenkins|ansible|istio|django|python|java|keystores|alexa|siri|cortana|"
    "chatgpt|postgres|postgresql|excel|helm|terraform|kafka|celery|sphinx|unicode|ascii|apache|redis|memcached|oracle|bitcoin".split(
        "|"
    )
)
#: Parts of spaCy's pipelines that names do not need.
UNUSED = ["tagger", "parser", "attribute_ruler", "lemmatizer", "senter"]


def texts(value: object) -> Iterator[str]:
    """Every text of more than one word in a JSON value."""
    if isinstance(value, str):
        if len(value) >= 20 and " " in value:
            yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def read(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield from texts(json.loads(line))


def pieces(text: str) -> Iterator[str]:
    while text:
        cut = len(text) if len(text) < 700 else max(text.rfind("\n", 200, 600), text.rfind(". ", 200, 600) + 1, 300)
        yield text[:cut].strip()
        text = text[cut:]


def agreed(teachers: list) -> list[dict]:
    """The spans of two readings of one text: the first's where the second says the same, `?` where one of them says it."""
    text = teachers[0].text
    first, second = ([span for entity in doc.ents if (span := told(entity))] for doc in teachers)
    both = [
        span
        for span in first
        if span["type"] != UNSURE and any(meet(span, o) and span["type"] == o["type"] for o in second)
    ]
    unsure = [{**span, "type": UNSURE} for span in [*first, *second] if not any(meet(span, other) for other in both)]
    return [span for span in both if not software(text, span)] + unsure


def software(text: str, span: dict) -> bool:
    return (
        span["type"] in ("PERSON", "LOCATION")
        and text[span["start"] : span["end"]].lower().removeprefix("the ") in SOFTWARE
    )


def told(entity) -> dict | None:
    """The span of what a teacher found; unsure where it has digits or signs, or no capital."""
    kind, value = LABELS.get(entity.label_), entity.text
    if kind is None or value.lower().removeprefix("the ") in NO_PLACES:
        return None
    odd = value.islower() or any(char.isdigit() or char in "_[]{}<>@/=\n#*|" for char in value)
    return {"start": entity.start_char, "end": entity.end_char, "type": UNSURE if odd else kind}


def meet(one: dict, other: dict) -> bool:
    return one["start"] < other["end"] and other["start"] < one["end"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--teachers", nargs=2, required=True)
    parser.add_argument("--most", type=int, default=4000, help="Pieces of each file, drawn by chance.")
    parser.add_argument("--without", nargs="*", type=Path, default=[])
    parser.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args()
    teachers = [spacy.load(path, exclude=UNUSED) for path in options.teachers]
    left_out = {text.strip() for file in options.without for text in read(file)}
    for file in options.files:
        found = {piece: None for text in read(file) if text.strip() not in left_out for piece in pieces(text)}
        drawn = random.Random(1).sample(list(found), min(options.most, len(found)))
        for docs in zip(*(teacher.pipe(drawn, batch_size=64) for teacher in teachers), strict=True):
            json.dump({"text": docs[0].text, "spans": agreed(docs)}, sys.stdout, ensure_ascii=False)
            print()


if __name__ == "__main__":
    main()
