"""Well-known places alone are nobody's data; beside somebody they are."""

from dataclasses import replace

import pytest

from redaction.engine import spans
from redaction.places import ALONE, told_apart
from redaction.policies import DEFAULT
from redaction.spans import Span


def places(text, policy=DEFAULT):
    return [text[span.start : span.end] for span in spans(text, policy) if span.type == "LOCATION"]


@pytest.mark.parametrize("text", ["Find cheap flights from Chicago to New York.", "What is the weather like in Paris?"])
def test_a_well_known_place_alone_is_found_by_policies_that_ask_for_it(text):
    assert places(text) == []
    assert places(text, replace(DEFAULT, thresholds=(("LOCATION", ALONE),))) != []


@pytest.mark.parametrize(
    "text",
    [
        "I live in Chicago and need a plumber.",
        "We moved to Chicago last year.",
        "Book a flight to Chicago for Anna Schmidt.",
        "Ask for me in Chicago, +44 20 7946 0958.",
    ],
)
def test_a_place_beside_somebody_is_found(text):
    assert places(text) == ["Chicago"]


def test_persons_count_also_where_the_policy_leaves_them():
    text = "Book a flight to Chicago for Anna Schmidt."
    assert places(text, replace(DEFAULT, entities=("LOCATION",))) == ["Chicago"]


def test_only_well_known_places_within_reach_lose_their_score():
    text = "Chicago, Ballinasloe" + " and so on" * 20 + " Anna"
    known, unknown, anna = (
        Span(start=text.index(name), end=text.index(name) + len(name), type=kind, score=0.9)
        for name, kind in (("Chicago", "LOCATION"), ("Ballinasloe", "LOCATION"), ("Anna", "PERSON"))
    )
    assert told_apart(text, [known, unknown, anna]) == [replace(known, score=ALONE), unknown, anna]
    assert told_apart(text[:20], [known], beside=[replace(unknown, type="STREET_ADDRESS")]) == [known]
    for name in ("the Thames River", "City of Chicago", "NY", "The  Netherlands"):
        assert told_apart(name, [Span(start=0, end=len(name), type="LOCATION", score=0.9)])[0].score == ALONE
    assert told_apart("THE  Chicago", [Span(start=0, end=12, type="LOCATION", score=0.2)])[0].score == 0.2
