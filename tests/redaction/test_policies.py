"""What a policy does with which entity in which part of a call, and lists of one's own."""

import json
from dataclasses import replace
from time import perf_counter

import pytest

from redaction.engine import spans
from redaction.lists import Lists, find
from redaction.media import MediaRefused
from redaction.messages import NOT_KEPT, EntitiesRefused, payload, redact_body
from redaction.policies import Policy
from redaction.vault import Vault

MAIL, CARD, PHONE = "jane.doe@example.com", "4111 1111 1111 1111", "+44 20 7946 0958"
BASE = Policy(
    name="p", outbound="pseudonymise", stored="redacted", entities=("EMAIL_ADDRESS", "CREDIT_CARD", "PHONE_NUMBER")
)


def sent(policy, text, role="user", **options):
    body = {"messages": [{"role": role, "content": text}]}
    return redact_body(body, policy, Vault(), **options).body["messages"][0]["content"]


def test_each_entity_has_its_own_rule():
    policy = replace(BASE, rules=(("EMAIL_ADDRESS", "mask"), ("CREDIT_CARD", "refuse"), ("PHONE_NUMBER", "off")))
    assert sent(policy, f"{MAIL} or {PHONE}") == f"<EMAIL_ADDRESS> or {PHONE}"
    with pytest.raises(EntitiesRefused) as raised:
        sent(policy, f"{MAIL} {CARD}")
    assert raised.value.types == ("CREDIT_CARD",)


def test_what_goes_out_as_it_is_is_not_kept_so():
    policy = replace(BASE, rules=(("PHONE_NUMBER", "off"),))
    vault = Vault()
    body = redact_body({"messages": [{"role": "user", "content": f"{MAIL} {PHONE}"}]}, policy, vault).body
    assert PHONE in str(body) and MAIL not in str(body)
    kept = payload(body["messages"], [], policy, vault)
    assert kept["messages"][0]["content"] == "[EMAIL_ADDRESS_1] [PHONE_NUMBER_1]"


def test_each_part_has_its_own_rule():
    policy = replace(
        BASE, parts=(("system", "off"), ("tool_results", "mask"), ("tool_arguments", "refuse"), ("embeddings", "mask"))
    )
    assert sent(policy, MAIL, "system") == sent(policy, MAIL, "developer") == MAIL
    assert sent(policy, MAIL, "tool") == "<EMAIL_ADDRESS>"
    assert sent(policy, MAIL, "assistant") == sent(policy, MAIL) == "[EMAIL_ADDRESS_1]"
    assert redact_body({"input": [MAIL]}, policy, Vault()).body["input"] == ["<EMAIL_ADDRESS>"]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": json.dumps({"to": MAIL})}}
    for message in ({"tool_calls": [call]}, {"function_call": call["function"]}):
        with pytest.raises(EntitiesRefused):
            redact_body({"messages": [{"role": "assistant", **message}]}, policy, Vault())


def test_nothing_but_one_entity():
    policy = replace(BASE, outbound="off", rules=(("CREDIT_CARD", "refuse"),))
    assert sent(policy, MAIL) == MAIL
    with pytest.raises(EntitiesRefused):
        sent(policy, CARD)
    assert "hunter2" not in sent(policy, "my password is hunter2!x")


def test_an_entity_has_its_own_threshold():
    text = "seen on 4 June 2021, and the phone is " + PHONE
    policy = replace(BASE, entities=("DATE_TIME", "PHONE_NUMBER"))
    for given, found in (
        ({}, {"PHONE_NUMBER"}),
        ({"DATE_TIME": 0.2}, {"DATE_TIME", "PHONE_NUMBER"}),
        ({"PHONE_NUMBER": 1}, set()),
    ):
        assert {span.type for span in spans(text, replace(policy, thresholds=tuple(given.items())))} == found


def test_parts_are_kept_in_their_own_ways():
    policy = replace(BASE, stored_parts=(("replies", "none"), ("tool_results", "hash"), ("system", "full")))
    messages = [
        {"role": "system", "content": f"Serve {MAIL}"},
        {"role": "tool", "tool_call_id": "c1", "content": json.dumps({"mail": MAIL})},
        {"role": "user", "content": "[EMAIL_ADDRESS_1]"},
    ]
    kept = payload(messages, [{"role": "assistant", "content": "Hello Jane", "extra": {"a": 5}}], policy, Vault())
    system, tool, user = kept["messages"]
    assert system["content"] == f"Serve {MAIL}" and user["content"] == "[EMAIL_ADDRESS_1]"
    assert tool["content"].startswith("sha256:") and tool["tool_call_id"] == "c1" and MAIL not in str(tool)
    assert kept["reply"] == [{"role": "assistant", "content": NOT_KEPT, "extra": {"a": NOT_KEPT}}]
    nothing = replace(BASE, stored_parts=tuple((p, "none") for p in ("prompts", "replies", "system", "tool_results")))
    assert nothing.keeps and not replace(nothing, stored="none").keeps


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file", "document"])
def test_media_pass_or_are_refused(kind):
    content = [{"type": "text", "text": "look"}, {"type": kind, kind: {"url": "data:,x"}}]
    assert sent(BASE, content)[1] == content[1]
    with pytest.raises(MediaRefused, match=kind):
        sent(replace(BASE, media="refuse"), content)
    with pytest.raises(MediaRefused):
        sent(replace(BASE, media="refuse"), [{"type": "tool_result", "content": content}])


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "x", "custom": MAIL},
        {"role": "user", "content": "x", "id": f"user {MAIL}"},
        {"role": MAIL, "content": "x"},
        {"role": "user", "content": json.dumps({MAIL: 1})},
        {"role": "user", "content": json.dumps({"type": MAIL, "role": MAIL})},
        {"role": "user", "content": [{"type": "note", "data": {"deep": [MAIL]}}]},
        {"role": "user", "content": {"text": MAIL}},
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": f"to {MAIL}", "arguments": "{}"}}]},
        {"role": "assistant", "tool_calls": [{"id": "c", "custom": {"name": "f", "input": f"to {MAIL}"}}]},
        {"role": "assistant", "thinking_blocks": [{"type": "thinking", "thinking": MAIL, "signature": "opaque"}]},
    ],
)
def test_no_field_of_a_message_is_a_way_round(message):
    body = redact_body({"messages": [message]}, BASE, Vault()).body
    assert MAIL not in json.dumps(body)
    assert MAIL not in json.dumps(payload([], [message], replace(BASE, outbound="off"), Vault()))


def test_two_keys_that_come_to_the_same_mask_stay_two():
    text = json.dumps({MAIL: 1, "other@example.com": 2})
    assert list(json.loads(sent(replace(BASE, outbound="mask"), text)).values()) == [1, 2]


def test_template_text_stays_and_what_variables_gave_does_not():
    text = f"Ours is {MAIL}. Write to other@example.com, card 4111 1111 1111 1111."
    variable, half = text.index("other"), text.index("4111")
    filled = {text: ((variable, variable + len("other@example.com")), (half, half + 4))}
    assert sent(BASE, text, filled=filled) == f"Ours is {MAIL}. Write to [EMAIL_ADDRESS_1], card [CREDIT_CARD_1]."
    assert sent(BASE, text, filled={text: ()}) == text
    assert MAIL not in sent(BASE, text + " ", filled=filled)


@pytest.mark.parametrize(
    "values, told",
    [
        ({"rules": (("EMAIL_ADRESS", "mask"),)}, "'EMAIL_ADRESS' is not known"),
        ({"rules": (("PERSON", "mask"),)}, "PERSON is not looked for; add it to entities"),
        ({"rules": (("EMAIL_ADDRESS", "hide"),)}, "choose from off, mask"),
        ({"rules": (("SECRET", "off"),)}, "credentials never pass"),
        ({"thresholds": (("EMAIL_ADDRESS", 2),)}, "between 0 and 1"),
        ({"parts": (("images", "mask"),)}, "choose from prompts, replies"),
        ({"stored_parts": (("embeddings", "none"),)}, "'embeddings' is not known"),
        ({"media": "look"}, "choose from pass, refuse"),
        ({"lists": (Lists(patterns=(("PERSON", "Ada"),)),)}, "choose a name of your own"),
    ],
)
def test_mistakes_are_told(values, told):
    with pytest.raises(ValueError, match=told):
        replace(BASE, **values)


def test_lists_of_the_policy_and_of_the_tenant():
    everybody = Lists(allow=("Support@Example.com",), deny=("Project  Falcon",))
    acme = Lists(tenant="acme", patterns=(("EMPLOYEE", r"\bE\d{6}\b"),), outbound="mask")
    policy = replace(BASE, lists=(everybody, acme))
    text = f"support@example.com, {MAIL}: project\nFALCON, project falconry, E123456"
    redacted = "support@example.com, [EMAIL_ADDRESS_1]: [DENIED_1], project falconry, "
    assert sent(policy.for_tenant("acme"), text) == f"{redacted}<EMPLOYEE>"
    assert sent(policy.for_tenant("other"), text) == f"{redacted}E123456"
    assert BASE.for_tenant("acme") is BASE


def test_listed_texts_are_read_through_tricks_and_denied_comes_before_allowed():
    policy = replace(BASE, entities=(), lists=(Lists(deny=("Falcon",), allow=("Falcon",)),))
    assert policy.scans
    for text in ("Fal\u200bcon", "\uff26alcon", "F\u0430lcon"):
        assert sent(policy, f"on {text}!") == "on [DENIED_1]!"


def test_the_stricter_of_two_lists_counts():
    lists = tuple(Lists(tenant=t, deny=("Falcon",), outbound=o) for t, o in (("", "refuse"), ("a", "mask")))
    with pytest.raises(EntitiesRefused):
        sent(replace(BASE, lists=lists).for_tenant("a"), "Falcon")


@pytest.mark.parametrize(
    "pattern, told",
    [
        (r"(a+)+b", "need a bound"), (r"\d*", "need a bound"), (r"(a{1,20}){1,20}b", "several ways"),
        (r"(?:a|a){1,30}b", "several ways"), (r"a{0,99}a{0,99}a{0,99}b", "too many ways"), (r"(?:\w?){50}b", "several ways"),
        (r"(a)\1", "back-references"), (r"(?=a)b", "look-arounds"), (r"(?<!a)b", "look-arounds"), ("a?", "empty text"),
        ("(", "no regular expression"), ("[a" * 200, "no regular expression"), ("a" * 501, "at most 500"),
        (r"[a-z]{150}[a-z]{150}", "more than 200"), ("a{1,99999999999999999999}", ""), ("(" * 300 + "a" + ")" * 200, ""),
    ],
)  # fmt: skip
def test_patterns_that_could_take_long_are_refused(pattern, told):
    with pytest.raises(ValueError, match=f"patterns: OWN: .*{told}"):
        Lists(patterns=(("OWN", pattern),))


@pytest.mark.parametrize("pattern", [r"\bE\d{6}\b", r"[A-Z]{2,3}-\d{4,10}", "(?i:acme|corp) [0-9]{1,12}", "ab?c{2}"])
def test_ordinary_patterns_are_taken(pattern):
    assert Lists(patterns=(("OWN", pattern),)).finds == {"OWN"}


def test_patterns_find_across_windows_once_and_stop_at_the_deadline():
    lists = (Lists(patterns=(("OWN", r"\bE\d{6}\b"),)),)
    text = " ".join(f"E{number:06}" for number in range(3000))
    found = find(text, lists)
    assert [text[span.start : span.end] for span in found] == text.split()
    with pytest.raises(TimeoutError):
        find(text, lists, ends_at=perf_counter() - 1)


@pytest.mark.parametrize(
    "values, told",
    [
        ({"allow": ("x",)}, "2 letters"), ({"deny": ("-- !",)}, "2 letters"), ({"deny": ("x" * 201,)}, "200 characters"),
        ({"allow": tuple(f"a{n}" for n in range(1001))}, "at most 1000"),
        ({"patterns": tuple((f"A{'B' * n}", "ab") for n in range(2, 60))}, "at most 50"),
        ({"patterns": (("lower", "ab"),)}, "capital letters"),
    ],
)  # fmt: skip
def test_lists_have_bounds(values, told):
    with pytest.raises(ValueError, match=told):
        Lists(**values)
