"""PagerDuty, against a receiver that answers as the Events API does."""

from dataclasses import replace

import pytest

from budgets.channels import channel
from tests.budgets.channels.notices import RESOLVED, USUAL, conforms
from tests.budgets.channels.receiver import Reply

KEY = "R0123456789ABCDEF0123456789ABCDE"
TAKEN = Reply.json({"status": "success", "message": "Event processed", "dedup_key": USUAL.dedup_key}, 202)


@pytest.fixture
def send(receiver, http):
    receiver.answers(TAKEN)

    def sending(notice, **config):
        given = {"url": f"{receiver.url}/v2/enqueue", **config}
        return channel("pagerduty").send(notice, config=given, secret=KEY, http=http)

    return sending


async def test_an_incident_is_opened(receiver, send):
    receipt = await send(USUAL)
    assert (receipt.ok, receipt.status) == (True, 202)
    (heard,) = receiver.heard
    assert heard.path == "/v2/enqueue"
    event = heard.json
    conforms(event, "pagerduty_event")
    assert (event["event_action"], event["dedup_key"], event["routing_key"]) == ("trigger", USUAL.dedup_key, KEY)
    assert event["payload"] | {"custom_details": {}} == {
        "summary": "support.reply: 72% of the daily budget of support.reply is spent.", "source": "tollhouse",
        "severity": "warning", "timestamp": "2026-05-01T14:05:00+00:00", "component": "support.reply", "group": "acme",
        "class": "budget_threshold", "custom_details": {},
    }  # fmt: skip
    assert event["payload"]["custom_details"]["Spent"] == "18.00 of 25.00 USD"
    assert event["client_url"] == event["links"][0]["href"] == USUAL.links[0][1]


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
async def test_news_of_an_incident_have_its_key(receiver, send, action):
    assert (await send(replace(RESOLVED, event=action))).ok
    assert receiver.heard[0].json == {"routing_key": KEY, "event_action": action, "dedup_key": USUAL.dedup_key}


@pytest.mark.parametrize("severity", ["info", "warning", "critical"])
async def test_severities(receiver, send, severity):
    await send(replace(USUAL, severity=severity))
    assert receiver.heard[0].json["payload"]["severity"] == severity


async def test_a_test_opens_an_incident_and_closes_it(receiver, send):
    assert (await send(replace(USUAL, event="test", severity="critical"))).ok
    opened, closed = (heard.json for heard in receiver.heard)
    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert opened["payload"]["severity"] == "info"
    assert opened["dedup_key"] == closed["dedup_key"] != USUAL.dedup_key


async def test_gates_that_share_an_integration_have_keys_of_their_own(receiver, send):
    await send(USUAL, source="staging")
    assert receiver.heard[0].json["dedup_key"] == f"staging:{USUAL.dedup_key}"
    assert receiver.heard[0].json["payload"]["source"] == "staging"


@pytest.mark.parametrize(
    ("reply", "permanent", "pause"),
    [
        (
            Reply.json({"status": "invalid event", "message": "Event object is invalid", "errors": ["x"]}, 400),
            True,
            None,
        ),
        (Reply(429, "", {"Retry-After": "12"}), False, 12),
        (Reply(500, "oops"), False, None),
        (Reply(503, ""), False, None),
    ],
)
async def test_what_pagerduty_answers(receiver, send, reply, permanent, pause):
    receiver.answers(reply)
    receipt = await send(USUAL)
    assert (receipt.ok, receipt.status, receipt.permanent, receipt.retry_after_s) == (
        False,
        reply.status,
        permanent,
        pause,
    )
    assert receipt.answer


@pytest.mark.parametrize(
    ("config", "secret", "word"),
    [({}, "short-key", "32"), ({"url": "ftp://a"}, KEY, "url"), ({"severity": "x"}, KEY, "'severity'"), ({"url": "http://events.pagerduty.com/"}, KEY, "https")],
)  # fmt: skip
def test_settings_that_cannot_work_say_what_to_write(config, secret, word):
    with pytest.raises(ValueError, match=word) as error:
        channel("pagerduty").check(config, secret)
    assert secret not in str(error.value)


def test_settings_that_work():
    channel("pagerduty").check({}, KEY)
    channel("pagerduty").check({"url": "https://events.eu.pagerduty.com/v2/enqueue"}, KEY)
