"""Redaction of bodies and replies, and the way back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redaction.messages import EntitiesRefused, RedactionFailed, payload, redact_body
from redaction.policies import Policy
from redaction.vault import Vault
from redaction.walk import Uninspectable

MAIL, PHONE = "jane.doe@example.com", "+44 20 7946 0958"


def policy(outbound="pseudonymise", stored="redacted"):
    return Policy(name="p", outbound=outbound, stored=stored, entities=("EMAIL_ADDRESS", "PHONE_NUMBER"))


def body(text=MAIL):
    return {
        "model": "m",
        "messages": [
            {"role": "system", "content": f"Serve {text}", "name": text},
            {"role": "user", "content": [
                {"type": "text", "text": f"I am {text}"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            ]},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": json.dumps({"a": [text, 1], "type": "x"})}}
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": json.dumps({"mail": text})},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "any"}}],
        "user": text,
        "metadata": {"who": text},
        "prediction": {"type": "content", "content": text},
        "temperature": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize("outbound", ["mask", "pseudonymise"])
def test_nothing_found_survives_anywhere_and_structure_stays(outbound):
    vault = Vault()
    redacted = redact_body(body(), policy(outbound), vault)
    assert MAIL not in json.dumps(redacted.body)
    assert redacted.entities == {"EMAIL_ADDRESS": 8}
    arguments = json.loads(redacted.body["messages"][2]["tool_calls"][0]["function"]["arguments"])
    replacement = "<EMAIL_ADDRESS>" if outbound == "mask" else "[EMAIL_ADDRESS_1]"
    assert arguments == {"a": [replacement, 1], "type": "x"}
    assert redacted.body["messages"][1]["content"][1]["image_url"] == {"url": "data:image/png;base64,AA=="}
    assert (redacted.body["tools"], redacted.body["temperature"]) == (body()["tools"], 0.5)
    assert bool(len(vault)) == (outbound == "pseudonymise")


def test_the_original_body_stays_as_it_was():
    original = body()
    redact_body(original, policy(), Vault())
    assert original == body()


def test_the_same_value_has_the_same_pseudonym_and_others_have_others():
    vault = Vault()
    messages = [{"role": "user", "content": f"{MAIL} and {MAIL} and other@example.com"}]
    redacted = redact_body({"messages": messages}, policy(), vault)
    assert redacted.body["messages"][0]["content"] == "[EMAIL_ADDRESS_1] and [EMAIL_ADDRESS_1] and [EMAIL_ADDRESS_2]"


def test_placeholders_of_the_input_are_never_ours():
    vault = Vault()
    text = f"[EMAIL_ADDRESS_1] wrote to {MAIL}"
    redacted = redact_body({"messages": [{"role": "user", "content": text}]}, policy(), vault)
    content = redacted.body["messages"][0]["content"]
    assert content == "[EMAIL_ADDRESS_1] wrote to [EMAIL_ADDRESS_2]"
    assert vault.restore(content) == text


def test_a_refusal_names_types_only():
    with pytest.raises(EntitiesRefused) as raised:
        redact_body(body(), policy("refuse"), Vault())
    assert raised.value.types == ("EMAIL_ADDRESS",) and MAIL not in str(raised.value)


def test_embeddings_input():
    redact = lambda value: redact_body({"input": value}, policy(), Vault()).body["input"]  # noqa: E731
    assert redact(MAIL) == "[EMAIL_ADDRESS_1]"
    assert redact([MAIL, "x"]) == ["[EMAIL_ADDRESS_1]", "x"]
    for tokens in ([1, 2], [[1, 2]], 5):
        with pytest.raises(Uninspectable, match="send texts"):
            redact(tokens)


def test_a_failing_recogniser_lets_nothing_pass(monkeypatch):
    def broken(text, policy):
        raise RuntimeError(f"could not read {text}")

    monkeypatch.setattr("redaction.messages.spans", broken)
    with pytest.raises(RedactionFailed) as raised:
        redact_body(body(), policy(), Vault())
    assert MAIL not in str(raised.value)
    with pytest.raises(RedactionFailed):
        payload([], [{"role": "assistant", "content": MAIL}], policy("off"), Vault())


def test_the_payload_is_redacted_whatever_went_out():
    reply = [{"role": "assistant", "content": f"Call {PHONE}, [EMAIL_ADDRESS_1]"}]
    for outbound in ("off", "mask", "pseudonymise"):
        vault = Vault()
        sent = body() if outbound == "off" else redact_body(body(), policy(outbound), vault).body
        kept = json.dumps(payload(sent["messages"], reply, policy(outbound), vault))
        assert MAIL not in kept and PHONE not in kept
        assert "base64" not in kept


def test_the_other_ways_to_store(settings):
    messages, reply = body()["messages"], [{"role": "assistant", "content": MAIL}]
    assert payload(messages, reply, policy(stored="none"), Vault()) is None
    first = payload(messages, reply, policy(stored="hash"), Vault())
    assert list(first) == ["sha256"] and first == payload(messages, reply, policy(stored="hash"), Vault())
    settings.SECRET_KEY = "another"
    assert first != payload(messages, reply, policy(stored="hash"), Vault())
    full = payload(messages, reply, policy(stored="full"), Vault())
    assert full["reply"] == reply and "AA==" not in json.dumps(full)


def vault_of(values):
    vault = Vault()
    return vault, [vault.replace("PERSON", value) for value in values]


texts = st.text(st.sampled_from('[]PERSON_12ab"\\\n'), max_size=40)


@given(
    st.lists(texts.filter(bool), min_size=1, max_size=12, unique=True),
    st.lists(st.one_of(st.integers(0, 11), texts), max_size=15),
    st.data(),
)
def test_any_chunking_restores_the_same(values, parts, data):
    vault, placeholders = vault_of(values)
    whole = "".join(placeholders[p % len(placeholders)] if isinstance(p, int) else p for p in parts)
    restorer, out, at = vault.restorer(), "", 0
    while at < len(whole):
        size = data.draw(st.integers(1, 9))
        out += restorer.feed(whole[at : at + size])
        at += size
    assert out + restorer.flush() == vault.restore(whole)


@given(st.lists(texts.filter(bool), min_size=1, max_size=5, unique=True))
def test_restored_tool_arguments_stay_json(values):
    vault, placeholders = vault_of(values)
    arguments = json.dumps({"names": placeholders})
    assert json.loads(vault.restore(arguments, json_string=True)) == {"names": values}


def test_nothing_is_held_back_that_cannot_become_a_placeholder():
    vault, _ = vault_of(["Ada"])
    restorer = vault.restorer()
    assert restorer.feed("a [b] [P") == "a [b] "
    assert restorer.feed("ERSON_1") == ""
    assert restorer.feed("] c") == "Ada c"
    assert restorer.feed("[PERSON_9") == "[PERSON_9"


def test_a_field_s_name_says_what_its_value_is():
    everything = Policy(
        name="p",
        outbound="mask",
        stored="none",
        entities=("US_SSN", "BANK_ACCOUNT", "PHONE_NUMBER", "PASSPORT", "PERSON"),
    )
    given = {
        "password": "hunter2xyz", "ssn": "536228726", "accountNumber": "000123456789", "api_key": "f3b9c1d27a8e4f60b5d2",
        "phone": ["5550142345"], "passport_no": "X4RTBPFW4", "user": {"fullName": "Wei Zhang"},
        "status": "open", "order_id": 88213, "price": "12.50", "created": "2026-01-02T10:00:00Z",
    }  # fmt: skip
    body = {"messages": [{"role": "tool", "content": json.dumps(given)}], "metadata": {"password": "hunter2xyz"}}
    redacted = redact_body(body, everything, Vault()).body
    assert json.loads(redacted["messages"][0]["content"]) == given | {
        "password": "<PASSWORD>", "ssn": "<US_SSN>", "accountNumber": "<BANK_ACCOUNT>", "api_key": "<SECRET>",
        "phone": ["<PHONE_NUMBER>"], "passport_no": "<PASSPORT>", "user": {"fullName": "<PERSON>"},
    }  # fmt: skip
    assert redacted["metadata"] == {"password": "<PASSWORD>"}
