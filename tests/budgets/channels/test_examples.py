"""The examples of docs/channels.md are what arrives."""

import json
import re
from pathlib import Path

import orjson
import pytest

from budgets.channels import KINDS, channel, email, webhook
from budgets.channels.pagerduty import event
from budgets.channels.slack_message import message
from tests.budgets.channels.notices import USUAL

PAGE = Path(__file__).resolve().parents[3] / "docs" / "channels.md"
EXAMPLE = re.compile(r"<!-- example: (\w+) -->\n```(json|text)\n(.*?)\n```", re.DOTALL)


def made() -> dict[str, str]:
    """What each channel sends for the notice of the page."""
    letter = email.compose(USUAL, {"to": ["oncall@example.com"], "from": "tollhouse@example.com"})
    return {
        "slack": pretty(message(USUAL)),
        "pagerduty": pretty(event(USUAL, routing_key="R0123456789ABCDEF0123456789ABCDE")),
        "webhook": pretty(orjson.loads(webhook.body(USUAL))),
        "email": f"Subject: {letter.subject}\n\n{letter.body}",
    }


def pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


@pytest.mark.parametrize("name", sorted(made()))
def test_the_page_shows_what_arrives(name):
    shown = {name: text for name, _, text in EXAMPLE.findall(PAGE.read_text())}
    assert shown.get(name) == made()[name]


def test_every_kind_has_a_channel_and_a_part_of_the_page():
    page = PAGE.read_text()
    for kind, label in KINDS.items():
        assert channel(kind)
        assert re.search(rf"^## {label}", page, re.MULTILINE), label
