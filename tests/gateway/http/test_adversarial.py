"""Texts that are made to slow the redaction down, to get past it, or to break it: an answer in time, and no leak."""

import json
import unicodedata
import urllib.error
import urllib.request

import pytest

from gateway.models import Call
from redaction.models import RedactionList

MAIL, CARD = "zebedee.quark@example.com", "4000 0566 5566 5556"
PATTERNS = [
    "EMAIL_ADDRESS",
    "CREDIT_CARD",
    "PHONE_NUMBER",
    "STREET_ADDRESS",
    "URL",
    "IBAN_CODE",
    "DATE_TIME",
    "CRYPTO",
    "PASSPORT",
]


@pytest.fixture
def ask(world, provider, server):
    """Sends a text, or a whole body, to a feature whose policy looks for patterns; gives status, answer, and what went out."""
    policy = world.policy("patterns", entities=PATTERNS)
    RedactionList.objects.create(policy=policy, patterns={"SLOW": "[ab]{0,40}[ab]{0,40}c"}, deny=["Falcon"])
    world.feature("f", policy=policy, route={"timeout_s": 60})
    world.feature("names", policy=world.policy("names"), route={"timeout_s": 1})
    key = world.key()
    server.catch_up()

    def send(content=None, *, body=None, feature="f"):
        data = body or json.dumps({"model": feature, "messages": [{"role": "user", "content": content}]}).encode()
        request = urllib.request.Request(
            f"{server.url}/v1/chat/completions",
            data,
            {"authorization": f"Bearer {key}", "content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                status, text = answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            status, text = error.code, json.loads(error.read())
        return status, text, provider.requests[-1]["messages"][-1]["content"] if provider.requests else None

    return send


def read(text):
    """A text as people and models read it."""
    return unicodedata.normalize("NFKC", "".join(c for c in text if unicodedata.category(c) != "Cf"))


@pytest.mark.parametrize(
    "piece",
    ["a@", "a.", "1-", "1 ", "4", "(", "+44 ", "x", "\u200b", "\u202e", "http://", "password=", "-----BEGIN ", "12 Main ", "ab", "\u0430a",
     "\\", '{"', "[[", "sk-", "eyJ.", "Mr ", "\u0664", "\n", "&quot;", "01/", "[PERSON_1", "<"],
    ids=ascii,
)  # fmt: skip
def test_texts_that_would_make_patterns_slow_do_not(ask, piece):
    text = piece * (100_000 // len(piece)) + f" {MAIL} Falcon"
    status, answer, sent = ask(text)
    assert status == 200
    assert MAIL not in sent and "Falcon" not in sent
    assert answer["choices"][0]["message"]["content"] == text


@pytest.mark.parametrize(
    "hidden, entity",
    [
        ("zebedee\u200b.quark@\u200dexample.com", "EMAIL_ADDRESS"), ("zebedee.qu\u0430rk@ex\u0430mple.com", "EMAIL_ADDRESS"),
        ("\uff5a\uff45bedee.quark\uff20example.com", "EMAIL_ADDRESS"), ("\u202bzebedee.quark@example.com\u202c", "EMAIL_ADDRESS"),
        ("4000\u200b0566\u206055665556", "CREDIT_CARD"), ("\uff14000 0566 5566 5556", "CREDIT_CARD"),
        ("\u0664\u0660\u0660\u0660 \u0660\u0665\u0666\u0666 \u0665\u0665\u0666\u0666 \u0665\u0665\u0665\u0666", "CREDIT_CARD"),
        ("4000\u00a00566\u20095566\u202f5556", "CREDIT_CARD"), ("4000\u20110566\u20115566\u20115556", "CREDIT_CARD"),
        ("\u05e9\u05dc\u05d5\u05dd zebedee.quark@example.com \u05e2\u05d5\u05dc\u05dd", "EMAIL_ADDRESS"),
        ("F\u00adal\u200bcon", "DENIED"), ("zebe\u00addee.quark@example.com", "EMAIL_ADDRESS"),
    ],
    ids=ascii,
)  # fmt: skip
def test_values_in_disguise_are_found_and_come_back_as_they_were(ask, hidden, entity):
    text = f"my card or address: {hidden}, thanks"
    status, answer, sent = ask(text)
    assert status == 200 and f"[{entity}_1]" in sent
    for value in (MAIL, CARD.replace(" ", ""), "Falcon"):
        assert value not in read(sent).replace(" ", "").replace("-", "")
    assert answer["choices"][0]["message"]["content"] == text


def test_five_megabytes_are_redacted_or_refused(ask, provider):
    text = "All is well here, and nothing happened. " * 130_000 + MAIL
    status, answer, sent = ask(text)
    if status == 200:
        assert MAIL not in sent and len(sent) > 5_000_000
    else:
        assert (status, answer["error"]["code"]) == (403, "policy_refused") and sent is None
    provider.requests.clear()
    status, answer, sent = ask(text, feature="names")
    assert (status, answer["error"]["code"], sent) == (403, "policy_refused", None)
    assert "could not be checked" in answer["error"]["message"]
    assert ask("and the gate goes on")[0] == 200
    assert Call.objects.filter(outcome="refused_policy").exists()


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "f", "messages": [{"role": "user", "content": "\xff\xfe zebedee.quark@example.com"}]}',
        b'{"model": "f", "messages": [{"role": "user", "content": "\\ud800 zebedee.quark@example.com"}]}',
        b'{"model": "f", "messages": [{"role": "user", "content": "\xed\xa0\x80"}]}',
        b'{"model": "f", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"model": "f", "messages": [{"role": "user", "content": ' + b'[{"content": ' * 300 + b'"zebedee.quark@example.com"' + b"}]" * 300 + b"}]}",
    ],
    ids=["no utf-8", "half a pair", "half a pair as bytes", "brackets", "deep"],
)  # fmt: skip
def test_what_is_no_text_or_too_deep_is_refused(ask, body, provider):
    status, answer, _ = ask(body=body)
    assert status == 400 and "JSON" in answer["error"]["message"]
    assert provider.requests == [] and not Call.objects.exists()


@pytest.mark.parametrize("depth", [150, 900, 5_000, 200_000])
def test_json_in_a_text_may_be_as_deep_as_it_likes(ask, depth):
    text = "[" * depth + json.dumps({"to": MAIL}) + "]" * depth
    status, answer, sent = ask(text)
    assert status == 200 and MAIL not in sent
    assert answer["choices"][0]["message"]["content"] == text


def test_content_that_is_nested_is_read_to_its_end(ask):
    content = MAIL
    for _ in range(60):
        content = [{"type": "group", "content": content}]
    status, _, sent = ask(content)
    assert status == 200 and MAIL not in json.dumps(sent)
    assert Call.objects.get().entities == {"EMAIL_ADDRESS": 1}
