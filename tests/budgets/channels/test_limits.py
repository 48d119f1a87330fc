"""Any notice, however unpleasant, makes messages that the services take."""

import orjson
import pytest
from hypothesis import given, settings

from budgets.channels import email, render, sentry, webhook
from budgets.channels.pagerduty import event
from budgets.channels.slack_message import message, reply
from tests.budgets.channels.notices import ANY, NASTY, RESOLVED, USUAL, conforms, nasty

KEY = "R0123456789ABCDEF0123456789ABCDE"
EVERY = [USUAL, RESOLVED, *(nasty(text) for text in NASTY)]


def check(notice):
    conforms(message(notice), "slack_message")
    conforms(reply(notice), "slack_message")
    found = event(notice, routing_key=KEY, source="gate-1")
    conforms(found, "pagerduty_event")
    assert len(orjson.dumps(found)) <= 512_000
    conforms(orjson.loads(webhook.body(notice)), "webhook")
    sent = orjson.loads(sentry.envelope(notice, environment="production").split(b"\n")[2])
    assert all(0 < len(tag) <= 200 for tag in sent["tags"].values()) and len(sent["message"]["formatted"]) <= 2000
    letter = email.compose(notice, {"to": ["oncall@example.com"], "from": "gate@example.com"}).message()
    assert letter["To"] == "oncall@example.com"
    assert letter["Bcc"] is None
    assert "<script" not in email.html(notice)


@pytest.mark.parametrize("notice", EVERY, ids=range(len(EVERY)))
def test_unpleasant_notices_are_within_every_limit(notice):
    check(notice)


@settings(max_examples=60, deadline=None)
@given(ANY)
def test_any_notice_is_within_every_limit(notice):
    check(notice)


def test_text_is_cut_with_a_sign_and_only_when_it_is_too_long():
    assert render.clip("abcdef", 6) == "abcdef"
    assert render.clip("abcdefg", 6) == "abcde…"
    assert render.clip("👍👍👍", 5) == "👍👍…"


@pytest.mark.parametrize(
    ("spent", "limit", "share"),
    [(0, 25, 0), (18, 25, 72), ("24.999", 25, 99), (25, 25, 100), (31, 25, 124), (1, 0, 100), (-1, 5, 0)],
)
def test_a_limit_is_reached_at_100_and_not_before(spent, limit, share):
    bar = (render.Decimal(spent), render.Decimal(limit))
    assert render.share(bar) == share
    assert len(render.cells(bar)) == render.BAR_CELLS
    assert (render.cells(bar).count("█") == render.BAR_CELLS) == (share >= 100)


def test_pagerduty_keys_are_kept_and_long_ones_still_differ():
    first, second = (event(nasty("k" * 300 + end), routing_key=KEY)["dedup_key"] for end in "ab")
    assert len(first) <= 255
    assert first != second
    assert event(USUAL, routing_key=KEY)["dedup_key"] == USUAL.dedup_key


def test_direction_signs_and_other_controls_do_not_reach_anybody():
    assert render.plain("\u202eevil\u202c a\r\nb\x00 שלום") == "evil a b שלום"


def test_only_addresses_of_pages_are_linked_to():
    for url in (
        "javascript:alert(1)",
        "https://a b",
        "https://a|b",
        "https://a>b",
        'https://a"onclick=',
        "ftp://a",
        "/relative",
    ):
        assert url not in [found for _, found in render.links(nasty(url))]
