"""Placeholders in the forms in which models give them back, whole and in chunks."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redaction.vault import Vault

PEOPLE = ("Ada Lovelace", 'Jean "JJ" Valjean', "Zoë\nMüller")


@pytest.fixture
def vault():
    return vault_of(PEOPLE)


def vault_of(people, entity="PERSON"):
    vault = Vault()
    for person in people:
        vault.replace(entity, person)
    vault.replace("EMAIL_ADDRESS", "ada@example.com")
    return vault


@pytest.mark.parametrize(
    "form",
    [
        "[PERSON_1]", "[person_1]", "[Person_1]", "[PERSON 1]", "[Person-1]", "[PERSON1]", r"\[PERSON_1\]", r"\[PERSON\_1\]",
        r"[PERSON\_1]", "PERSON_1", r"PERSON\_1",
    ],
)  # fmt: skip
def test_a_placeholder_is_known_in_every_form(vault, form):
    assert vault.restore(f"to {form}.") == "to Ada Lovelace."
    assert vault.restore(form) == "Ada Lovelace"
    inside = json.dumps({"to": f"a\n{form}"})
    assert json.loads(vault.restore(inside, json_string=True)) == {"to": "a\nAda Lovelace"}


@pytest.mark.parametrize(
    "text",
    [
        "person_1", "Person 1", "person-1", "PERSON 1", "XPERSON_1", "MY_PERSON_1", "PERSON_1_ID", "PERSON_1st", "PERSON_99", "[PERSON_99]",
        "[PERSON_01]", "[PERSON_1", "{PERSON}", "[PERSON]", "[PERSON 1 2]", "[A PERSON 1]", "[PERSON_1_]", "[PERSON_1 2]", "[1]", "éPERSON_1",
    ],
)  # fmt: skip
def test_what_only_looks_alike_stays(vault, text):
    if text in ("[PERSON_1", "[PERSON_1 2]"):
        # The brackets are not the placeholder's; what is inside of them is one.
        assert vault.restore(text) == text.replace("PERSON_1", "Ada Lovelace")
    else:
        assert vault.restore(text) == text


@pytest.mark.parametrize("given_form", ["[PERSON_1]", "[person 1]", "PERSON_1", r"\[PERSON\_1\]"])
def test_what_the_input_itself_says_is_never_restored(given_form):
    vault = Vault()
    vault.reserve(f"Explain {given_form} to me")
    assert vault.replace("PERSON", "Ada") == "[PERSON_2]"
    assert vault.restore(f"{given_form} [PERSON_1] [PERSON_2]") == f"{given_form} [PERSON_1] Ada"


def test_a_session_leaves_what_a_later_input_says_alone():
    later = Vault.remembering(vault_of(PEOPLE).state())
    later.reserve("what is [PERSON_1]?")
    assert later.restore("[PERSON_1] [PERSON_2]") == f"[PERSON_1] {PEOPLE[1]}"
    assert later.replace("PERSON", "Ada Lovelace") == "[PERSON_4]"
    assert later.restore("[PERSON_1] [PERSON_4]") == "[PERSON_1] Ada Lovelace"


def test_entities_whose_names_are_alike_share_no_placeholder():
    vault = Vault()
    made = [vault.replace(entity, "x") for entity in ("BADGE", "BADGE2", "Badge!", "BAD_GE")]
    assert len(set(made)) == 4 and [vault.restore(one) for one in made] == ["x"] * 4
    assert [vault.restore(one.lower().replace("_", " ")) for one in made] == ["x"] * 4


pieces = st.one_of(
    st.sampled_from([
        "[PERSON_1]", "[person 2]", "[Person-3]", "PERSON_2", r"\[PERSON\_1\]", r"\\[PERSON\\_3\\]", "[EMAIL_ADDRESS_1]", "EMAIL\\_ADDRESS\\_1",
        "[PERSON_11]", "PERSON_1_2", "\\n", "\\", "[", "]", " ", "é", "{", '"', "x", "P", "1", "_", "[X PERSON_1]", "[PERSON_1 ",
    ]),
    st.text(st.sampled_from('[]PERSONperson_-12 \\"{}\né'), max_size=12),
)  # fmt: skip


def streamed(restorer, whole, sizes):
    out, at = [], 0
    for size in sizes:
        out.append(restorer.feed(whole[at : at + size]))
        at += size
    out.append(restorer.feed(whole[at:]))
    return "".join([*out, restorer.flush()])


@given(st.lists(pieces, max_size=12).map("".join), st.lists(st.integers(1, 7), max_size=60), st.booleans())
def test_any_chunks_of_any_forms_restore_as_the_whole(whole, sizes, json_string):
    vault = vault_of([*PEOPLE, *map(str, range(8))])
    restorer = vault.restorer(json_string=json_string)
    assert streamed(restorer, whole, sizes) == vault.restore(whole, json_string=json_string)


@given(st.lists(pieces, max_size=12), st.lists(st.integers(1, 7), max_size=60))
def test_text_that_is_json_stays_json(parts, sizes):
    vault = vault_of(PEOPLE)
    text = json.dumps({"said": parts, "to": "[PERSON_2]"})
    restored = vault.restore_json({"content": text})["content"]
    assert json.loads(restored)["to"] == PEOPLE[1]
    assert streamed(vault.restorer(json_string=None), text, sizes) == restored


def test_only_what_could_still_become_a_placeholder_is_held_back(vault):
    restorer = vault.restorer()
    assert restorer.feed("Ask [the clerk] at POST_2, \\x PE") == "Ask [the clerk] at POST_2, \\x "
    assert restorer.feed("TER and PERSON_1") == "PETER and "
    assert restorer.feed(" or [per") == "Ada Lovelace or "
    assert restorer.feed("son 2") == ""
    assert restorer.feed("] ok") == f"{PEOPLE[1]} ok"


@pytest.mark.parametrize(
    "text", ["[" * 50_000, "[A " * 20_000, "PERSON_" * 10_000, "\\" * 50_000, "[PERSON_9]" * 10_000]
)
def test_a_reply_made_to_be_slow_is_restored_in_a_time_that_grows_with_its_length(vault, text):
    restorer = vault.restorer()
    assert streamed(restorer, text, [4_000] * (len(text) // 4_000)) == vault.restore(text) == text
