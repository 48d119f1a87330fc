"""Slack, by a webhook and by a bot, against a receiver that answers as Slack does."""

from dataclasses import replace

import pytest

from budgets.channels import channel
from tests.budgets.channels.notices import RESOLVED, USUAL, conforms
from tests.budgets.channels.receiver import Reply

TOKEN = "xoxb-1234567890-abcdefghijkl"
POSTED = Reply.json({"ok": True, "channel": "C024BE91L", "ts": "1503435956.000247", "message": {"text": "…"}})


@pytest.fixture
def hook(receiver, http):
    """Sends to the receiver as to an incoming webhook."""
    return lambda notice: channel("slack").send(
        notice, config={"timeout_s": 5}, secret=f"{receiver.url}/services/T000/B000/sekret-part", http=http
    )


@pytest.fixture
def bot(receiver, http):
    """Sends to the receiver as to the Web API."""
    config = {"channel": "#alerts", "api_url": f"{receiver.url}/api/"}
    return lambda notice: channel("slack").send(notice, config=config, secret=TOKEN, http=http)


async def test_a_webhook_gets_the_message(receiver, hook):
    receipt = await hook(USUAL)
    assert (receipt.ok, receipt.status, receipt.answer) == (True, 200, "ok")
    (heard,) = receiver.heard
    conforms(heard.json, "slack_message")
    assert heard.headers["Content-Type"].startswith("application/json")
    kinds = [block["type"] for block in heard.json["blocks"]]
    assert kinds == ["header", "section", "section", "section", "context", "actions"]
    assert "72%" in heard.json["blocks"][2]["text"]["text"]
    assert [button["url"] for button in heard.json["blocks"][-1]["elements"]] == [url for _, url in USUAL.links]


async def test_a_resolved_alert_says_so_and_why(receiver, hook):
    await hook(RESOLVED)
    assert receiver.heard[0].json["text"].startswith("✅ support.reply · resolved")
    assert RESOLVED.resolution in str(receiver.heard[0].json["blocks"])


@pytest.mark.parametrize(
    ("reply", "permanent", "pause"),
    [
        (Reply(429, "rate_limited", {"Retry-After": "30"}), False, 30),
        (Reply(429, "rate_limited"), False, None),
        (Reply(500, "rollup_error"), False, None),
        (Reply(404, "no_service"), True, None),
        (Reply(410, "channel_is_archived"), True, None),
        (Reply(403, "invalid_token"), True, None),
        (Reply(400, "invalid_blocks"), True, None),
    ],
)
async def test_what_a_webhook_answers(receiver, hook, reply, permanent, pause):
    receiver.answers(reply)
    receipt = await hook(USUAL)
    assert (receipt.ok, receipt.status, receipt.answer) == (False, reply.status, reply.body)
    assert (receipt.permanent, receipt.retry_after_s) == (permanent, pause)
    assert len(receiver.heard) == 1


async def test_a_bot_posts_and_says_where(receiver, bot):
    receiver.answers(POSTED)
    receipt = await bot(USUAL)
    assert receipt.ok
    assert receipt.reference == "C024BE91L:1503435956.000247"
    (heard,) = receiver.heard
    assert heard.path == "/api/chat.postMessage"
    assert heard.headers["Authorization"] == f"Bearer {TOKEN}"
    assert heard.json["channel"] == "#alerts"
    conforms(heard.json, "slack_message")


async def test_a_bot_changes_the_first_message_and_replies_to_it(receiver, bot):
    receiver.answers(POSTED, Reply.json({"ok": True, "channel": "C024BE91L", "ts": "1503435999.000001"}))
    receipt = await bot(replace(RESOLVED, reference="C024BE91L:1503435956.000247"))
    assert (receipt.ok, receipt.reference) == (True, "C024BE91L:1503435956.000247")
    changed, replied = receiver.heard
    assert (changed.path, replied.path) == ("/api/chat.update", "/api/chat.postMessage")
    assert (changed.json["channel"], changed.json["ts"]) == ("C024BE91L", "1503435956.000247")
    assert (replied.json["channel"], replied.json["thread_ts"]) == ("C024BE91L", "1503435956.000247")
    assert RESOLVED.resolution in replied.json["text"]
    conforms(changed.json, "slack_message")
    conforms(replied.json, "slack_message")


async def test_a_first_message_that_is_gone_is_replaced_by_a_new_one(receiver, bot):
    receiver.answers(Reply.json({"ok": False, "error": "message_not_found"}), POSTED)
    assert (await bot(replace(RESOLVED, reference="C1:1.2"))).ok
    assert [heard.path for heard in receiver.heard] == ["/api/chat.update", "/api/chat.postMessage"]
    assert receiver.heard[1].json["channel"] == "#alerts"


async def test_a_resolve_that_slack_slows_down_is_not_told_twice(receiver, bot):
    receiver.answers(Reply.json({"ok": False, "error": "ratelimited"}, 429, Retry_After="7"))
    receipt = await bot(replace(RESOLVED, reference="C1:1.2"))
    assert (receipt.ok, receipt.permanent, receipt.retry_after_s) == (False, False, 7)
    assert len(receiver.heard) == 1


@pytest.mark.parametrize(
    ("error", "permanent"),
    [("invalid_auth", True), ("channel_not_found", True), ("not_in_channel", True), ("is_archived", True),
     ("internal_error", False), ("ratelimited", False), ("service_unavailable", False)],
)  # fmt: skip
async def test_what_the_api_refuses(receiver, bot, error, permanent):
    receiver.answers(Reply.json({"ok": False, "error": error}))
    receipt = await bot(USUAL)
    assert (receipt.ok, receipt.permanent, receipt.answer) == (False, permanent, error)


@pytest.mark.parametrize(
    "reply", [Reply(200, "<html>a portal</html>"), Reply(200, "[]"), Reply(200, '{"ok": tr', how="half")]
)
async def test_an_answer_that_is_not_slacks_is_no_success(receiver, bot, reply):
    receiver.answers(reply)
    receipt = await bot(USUAL)
    assert (receipt.ok, receipt.permanent) == (False, False)


@pytest.mark.parametrize(
    ("config", "secret", "word"),
    [
        ({}, "", "webhook's address"),
        ({}, "http://hooks.slack.com/services/T/B/sekret-part", "https://"),
        ({}, TOKEN, "channel"),
        ({"channel": "C1"}, "https://hooks.slack.com/services/T/B/sekret-part", "bot's token"),
        ({"chanel": "C1"}, TOKEN, "'chanel'"),
        ({"channel": "C1", "timeout_s": 0}, TOKEN, "timeout_s"),
        ({"channel": "C1", "api_url": "slack.com"}, TOKEN, "api_url"),
        ({"channel": 5}, TOKEN, "channel"),
        (["channel"], TOKEN, "JSON object"),
        ({}, "https://user:sekret-part@hooks.slack.com/", "password"),
        ({}, "https://hooks.slack.com/a\r\nHost: b", "https://"),
    ],
)
async def test_settings_that_cannot_work_say_what_to_write(config, secret, word, http):
    with pytest.raises(ValueError, match=word) as error:
        channel("slack").check(config, secret)
    assert "sekret-part" not in str(error.value)
    receipt = await channel("slack").send(USUAL, config=config, secret=secret, http=http)
    assert (receipt.ok, receipt.permanent, receipt.answer) == (False, True, str(error.value))


def test_settings_that_work():
    channel("slack").check({}, "https://hooks.slack.com/services/T0/B0/abc")
    channel("slack").check({"channel": "C1", "api_url": "https://slack-gov.com/api/"}, TOKEN)
