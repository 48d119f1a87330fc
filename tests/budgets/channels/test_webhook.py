"""Signed webhooks: what a receiver with the Standard Webhooks library accepts, and what it does not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from budgets.channels import channel, webhook
from tests.budgets.channels.notices import NASTY, RESOLVED, USUAL, conforms, nasty
from tests.budgets.channels.receiver import Reply

OLD = "whsec_" + "MDEyMzQ1Njc4OUFCQ0RFRjAxMjM0NTY3ODlBQkNERUY="
NEW = "whsec_" + "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
OTHER = "whsec_" + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


@pytest.fixture
def send(receiver, http):
    return lambda notice, secret=OLD: channel("webhook").send(
        notice, config={"url": f"{receiver.url}/hook?team=1"}, secret=secret, http=http
    )


@pytest.mark.parametrize("notice", [USUAL, RESOLVED, *(nasty(text) for text in NASTY)])
async def test_a_receiver_can_verify_what_it_gets(receiver, send, notice):
    assert (await send(notice)).ok
    (heard,) = receiver.heard
    conforms(Webhook(OLD).verify(heard.content, dict(heard.headers)), "webhook")


async def test_the_body_says_it_all(receiver, send):
    await send(USUAL)
    body = receiver.heard[0].json
    assert (body["type"], body["timestamp"]) == ("alert.triggered", "2026-05-01T14:05:00+00:00")
    assert body["data"]["budget"] == {"spent": "18.00", "limit": "25.00"}
    assert body["data"]["facts"][0] == {"label": "Spent", "value": "18.00 of 25.00 USD"}


async def test_while_a_secret_is_replaced_both_verify(receiver, send):
    await send(USUAL, f"{NEW} {OLD}")
    (heard,) = receiver.heard
    for secret in (OLD, NEW):
        Webhook(secret).verify(heard.content, dict(heard.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(heard.content, dict(heard.headers))


async def test_another_body_id_or_time_does_not_verify(receiver, send):
    await send(USUAL)
    (heard,) = receiver.heard
    headers = {name.lower(): value for name, value in heard.headers.items()}
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(heard.content.replace(b"warning", b"info"), headers)
    for name, value in (
        ("webhook-id", "alert-18-trigger"),
        ("webhook-timestamp", str(int(headers["webhook-timestamp"]) - 1)),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(OLD).verify(heard.content, headers | {name: value})


def test_an_old_request_does_not_verify():
    content = webhook.body(USUAL)
    headers = webhook.sign("alert-1-trigger", content, [OLD], at=datetime.now(UTC) - timedelta(minutes=6))
    with pytest.raises(WebhookVerificationError, match="old"):
        Webhook(OLD).verify(content, headers)


async def test_repetitions_have_the_same_id_and_news_another(receiver, send):
    for notice in (USUAL, USUAL, RESOLVED):
        await send(notice)
    first, again, resolved = (heard.headers["webhook-id"] for heard in receiver.heard)
    assert first == again != resolved
    assert first == "alert-17-trigger"


async def test_each_test_has_an_id_of_its_own(receiver, send):
    for minute in (1, 2):
        await send(replace(USUAL, event="test", at=USUAL.at + timedelta(minutes=minute)))
    first, second = (heard.headers["webhook-id"] for heard in receiver.heard)
    assert first != second


@pytest.mark.parametrize(
    ("status", "permanent"), [(410, True), (404, False), (401, False), (400, False), (500, False), (302, True)]
)
async def test_only_a_receiver_that_says_gone_is_given_up(receiver, send, status, permanent):
    receiver.answers(Reply(status, "no"))
    receipt = await send(USUAL)
    assert (receipt.ok, receipt.permanent) == (False, permanent)


async def test_a_status_counts_even_when_the_rest_of_the_answer_is_lost(receiver, send):
    receiver.answers(Reply(204, "", how="whole"), Reply(200, "o", how="half"), Reply(200, "", how="endless"))
    for _ in range(3):
        assert (await send(USUAL)).ok


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook",
        "file:///etc/passwd",
        "http://hooks.example.com/",
        "https://a:b@c.example/",
        "https://[::1",
        "https://a.example/\n",
    ],
)
def test_addresses_that_cannot_be(url):
    with pytest.raises(ValueError, match="url"):
        channel("webhook").check({"url": url}, OLD)


@pytest.mark.parametrize(
    "secret", ["", "sekret-key-sekret-key-sekret-key", "whsec_c2hvcnQ=", "whsec_%%%", f"{OLD} nonsense-nonsense"]
)
def test_secrets_that_cannot_be(secret):
    with pytest.raises(ValueError, match="whsec_") as error:
        channel("webhook").check({"url": "https://hooks.example.com/a"}, secret)
    assert not secret or secret not in str(error.value)


def test_settings_that_work():
    channel("webhook").check({"url": "https://hooks.example.com/a?b=c", "timeout_s": 3}, f"{OLD} {NEW}")
    channel("webhook").check({"url": "http://alerts:8080/hook"}, OLD)
