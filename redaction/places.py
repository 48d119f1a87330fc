"""Places that so many people share that alone they tell nobody apart: countries, towns of 20,000 people and more, rivers.

Named alone, such a place is nobody's data: "flights to Chicago", "the capital of France". Beside a person, an address or a
number, or where a text says that somebody lives there, it is.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

from redaction.spans import Span

NAMES = Path(__file__).parent / "ner" / "places.txt"
#: The score of a well-known place alone; below what policies ask for by default, so that one has to ask for it.
ALONE = 0.35
#: So many characters around a place tell whether it is somebody's.
NEAR = 100
#: Findings beside which a place is still alone.
NOBODY = frozenset({"LOCATION", "NRP", "ORGANIZATION", "DATE_TIME", "URL"})
#: What says, shortly before a place, that somebody lives or was born there.
SOMEBODYS = re.compile(
    r"""\b(?:
    live[sd]?|living|resid(?:e[sd]?|ing|ents?)|born|raised|grew\ up|buried|based
    |moved?|moves|moving|relocat(?:e[sd]?|ing|ion)|(?:em|im)migrated
    |home|hometown|birthplace|neighbou?rhood|address(?:es)?|deliver(?:y|ed)?|ship(?:ping|ped)?|postcode|zip
    |(?:city|town|state|country|county|province)"?\s{0,3}(?:[:=|]|is)
    |(?:am|is|are|was|were|i'm|im|he's|she's|they're|comes?|came|originally|hails?)\ from
    |(?:my|his|her|our|their)\ \w{1,20}\ (?:in|at|near)
    )(?!\w)""",
    re.IGNORECASE | re.VERBOSE,
)
BEFORE = 40
#: Landscapes and districts, which no list has all of.
LANDSCAPE = re.compile(
    r"(?:mount|mt\.?|lake|gulf of|cape) \w|\b(?:rivers?|creek|lakes?|mountains?|canyon|desert|ocean|sea|bay|coast|islands?"
    r"|beach(?:es)?|archipelago|peninsula|strait|canal|falls|valley|forest|national park|state park|county|empire|wall"
    r"|state|area|region)$"
)
#: What stands before a name and is no part of it.
ARTICLE = re.compile(r"(?:the )?(?:(?:city|town|county|state|village) of )?")


def told_apart(text: str, found: Iterable[Span], *, beside: Iterable[Span] = ()) -> list[Span]:
    """The findings in order; well-known places alone, also of those `beside`, with the score `ALONE` at most."""
    found = list(found)
    if not any(_known(text, span) for span in found):
        return found
    others = [span for span in (*found, *beside) if span.type not in NOBODY]
    starts, ends = sorted(span.start for span in others), sorted(span.end for span in others)

    def alone(span: Span) -> bool:
        near = bisect_left(starts, span.end + NEAR) - bisect_right(ends, span.start - NEAR)
        return near == 0 and not SOMEBODYS.search(text, max(0, span.start - BEFORE), span.start)

    return [replace(span, score=ALONE) if _known(text, span) and alone(span) else span for span in found]


def _known(text: str, span: Span) -> bool:
    """Whether it is a well-known place, of a score that says so."""
    if span.type != "LOCATION" or span.score <= ALONE:
        return False
    name = " ".join(text[span.start : span.end].lower().split())
    name = name[ARTICLE.match(name).end() :]  # type: ignore[union-attr]
    return name in names() or bool(LANDSCAPE.search(name))


@cache
def names() -> frozenset[str]:
    """Well-known places, in small letters."""
    return frozenset(NAMES.read_text(encoding="utf-8").splitlines())
