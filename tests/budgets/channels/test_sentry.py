"""Sentry, against a receiver that takes envelopes."""

from dataclasses import replace

import orjson
import pytest

from budgets.channels import channel
from budgets.channels.sentry import fingerprint
from tests.budgets.channels.notices import RESOLVED, USUAL
from tests.budgets.channels.receiver import Reply

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def send(receiver, http):
    def sending(notice, **config):
        dsn = receiver.url.replace("://", f"://{KEY}@") + "/4501"
        return channel("sentry").send(notice, config=config, secret=dsn, http=http)

    return sending


async def test_an_alert_is_an_event_that_sentry_counts_once(receiver, send):
    assert (await send(USUAL, environment="production")).ok
    assert (await send(USUAL, environment="production")).ok
    first, again = receiver.heard
    assert first.path == "/api/4501/envelope/" and f"sentry_key={KEY}" in first.headers["X-Sentry-Auth"]
    head, item, event = (orjson.loads(line) for line in first.content.splitlines())
    assert first.content == again.content and head == {"event_id": event["event_id"]} and len(event["event_id"]) == 32
    assert item == {"type": "event", "length": len(first.content.splitlines()[2])}
    assert (event["level"], event["environment"]) == ("warning", "production")
    assert event["message"]["formatted"] == "72% of the daily budget of support.reply is spent."
    assert event["tags"]["tollhouse.feature"] == "support.reply" and event["extra"]["Spent"] == "18.00 of 25.00 USD"


async def test_what_sentry_has_no_ear_for_stays_here(receiver, send):
    for event in ("acknowledge", "resolve"):
        assert (await send(replace(RESOLVED, event=event))).ok
    assert receiver.heard == []


@pytest.mark.parametrize(
    ("kind", "key", "again", "expected"),
    [
        ("budget_threshold", "budget:17:90:70", "budget:17:91:70", "budget:17"),
        ("budget_exhausted", "budget:17:90:exhausted:25:0", "budget:17:91:exhausted:25:0", "budget:17"),
        ("breaker", "breaker:openai/gpt:x:2026-05-01T14", "breaker:openai/gpt:x:2026-05-02T09", "breaker:openai/gpt:x"),
        ("forecast", "forecast:90", "forecast:91", "support.reply:acme"),
        ("partitions_short", "partitions:2026-05-01", "partitions:2026-06-01", "partitions"),
    ],
)
def test_what_is_about_the_same_thing_is_one_issue(kind, key, again, expected):
    notices = [replace(USUAL, kind=kind, dedup_key=one) for one in (key, again)]
    assert [fingerprint(notice) for notice in notices] == [["tollhouse", kind, expected]] * 2


async def test_a_refusal_says_so_without_the_key(receiver, send):
    receiver.answers(Reply(403, f"bad key {KEY}"))
    receipt = await send(USUAL)
    assert (receipt.ok, receipt.permanent) == (False, True) and KEY not in receipt.answer


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "https://sentry.io/1",
        "https://key@sentry.io/",
        "https://k:p@[::1/1",
        "https://a-b@x.io/1",
        "http://k@sentry.io/1",
    ],
)
async def test_a_secret_that_is_no_dsn_is_refused_with_what_to_write(secret, http):
    with pytest.raises(ValueError, match="DSN"):
        channel("sentry").check({}, secret)
    assert (await channel("sentry").send(USUAL, config={}, secret=secret, http=http)).permanent
