"""What can go wrong between a channel and its service, the same for all that post over HTTP."""

import logging

import pytest

from budgets.channels import channel
from tests.budgets.channels.notices import USUAL
from tests.budgets.channels.receiver import Reply

KEY = "R0123456789ABCDEF0123456789ABCDE"
WHSEC = "whsec_" + "MDEyMzQ1Njc4OUFCQ0RFRjAxMjM0NTY3ODlBQkNERUY="
TOKEN = "xoxb-1234567890-abcdefghijkl"


def ways(url: str) -> dict[str, tuple[str, dict, str]]:
    """Kind, settings and secret of each channel that posts, with its service at the URL."""
    return {
        "slack": ("slack", {}, f"{url}/services/T000/B000/sekret-part"),
        "bot": ("slack", {"channel": "C1", "api_url": url}, TOKEN),
        "pagerduty": ("pagerduty", {"url": f"{url}/v2/enqueue"}, KEY),
        "webhook": ("webhook", {"url": f"{url}/hook"}, WHSEC),
    }


@pytest.fixture(params=ways(""))
def send(request, receiver):
    """Sends by each channel in turn; returns the receipt. `timeout_s` bounds the attempt."""

    async def sending(http, url="", timeout_s=5.0):
        kind, config, secret = ways(url or receiver.url)[request.param]
        return await channel(kind).send(USUAL, config={**config, "timeout_s": timeout_s}, secret=secret, http=http)

    sending.secret = ways("")[request.param][2]
    return sending


def quiet(receipt) -> bool:
    """Whether the receipt tells no secret, and is short."""
    told = receipt.answer
    return len(told) <= 500 and not any(secret in told for secret in ("sekret-part", TOKEN, KEY, WHSEC, WHSEC[6:]))


async def test_a_service_that_never_answers_is_given_up(send, http, receiver):
    receiver.answers(Reply(how="hang"))
    receipt = await send(http, timeout_s=0.2)
    assert (receipt.ok, receipt.status, receipt.permanent) == (False, None, False)
    assert receipt.answer == "No answer within 0.2 seconds."


async def test_a_connection_that_is_cut_is_tried_again_later(send, http, receiver):
    receiver.answers(Reply(how="cut"))
    receipt = await send(http)
    assert (receipt.ok, receipt.status, receipt.permanent) == (False, None, False)
    assert "cut" in receipt.answer


async def test_nobody_at_the_address(send, http, unused_tcp_port):
    receipt = await send(http, url=f"http://127.0.0.1:{unused_tcp_port}")
    assert (receipt.ok, receipt.permanent) == (False, False)
    assert receipt.answer.startswith("No connection to 127.0.0.1")
    assert quiet(receipt)


async def test_a_server_without_tls_where_tls_is_expected(send, http, receiver):
    receipt = await send(http, url=receiver.url.replace("http:", "https:"))
    assert (receipt.ok, receipt.permanent) == (False, False)
    assert receipt.answer.startswith("No TLS connection to 127.0.0.1")
    assert quiet(receipt)


async def test_a_certificate_that_nobody_vouches_for(send, http, stranger):
    receipt = await send(http, url=stranger.url)
    assert (receipt.ok, receipt.permanent) == (False, False)
    assert receipt.answer.startswith("No TLS connection to 127.0.0.1")
    assert stranger.heard == []


async def test_an_answer_without_end_is_not_read_to_its_end(send, http, receiver):
    receiver.answers(Reply(503, "busy ", how="endless"))
    receipt = await send(http)
    assert (receipt.ok, receipt.status, receipt.permanent) == (False, 503, False)
    assert receipt.answer.startswith("busy xxx")
    assert quiet(receipt)


@pytest.mark.parametrize("to", ["http://169.254.169.254/latest/", "{url}/elsewhere"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_not_followed(send, http, receiver, to, status):
    receiver.answers(Reply(status, "", {"Location": to.format(url=receiver.url)}))
    receipt = await send(http)
    assert (receipt.ok, receipt.status, receipt.permanent) == (False, status, True)
    assert "redirect" in receipt.answer
    assert len(receiver.heard) == 1


async def test_private_addresses_are_refused_by_the_session(send, guarded, receiver):
    receipt = await send(guarded)
    assert not receipt.ok
    assert "127.0.0.1 is not a public address" in receipt.answer
    assert receiver.heard == []


async def test_secrets_that_a_service_repeats_are_not_kept(send, http, receiver, caplog):
    caplog.set_level(logging.DEBUG)
    receiver.answers(Reply(400, f"bad {receiver.url}/services/T000/B000/sekret-part {TOKEN} {KEY} {WHSEC} {WHSEC[6:]}"))
    receipt = await send(http)
    # Only its own secret is a channel's to know.
    own = send.secret.rpartition("/")[2]
    assert own not in receipt.answer
    assert receipt.answer.startswith("bad")
    assert own not in caplog.text


async def test_answers_are_one_printable_line_of_at_most_500_characters(send, http, receiver):
    receiver.answers(Reply(400, "a\x00\r\n\u202eb" + "c" * 5000))
    answer = (await send(http)).answer
    assert answer.startswith("a b")
    assert len(answer) == 500
    assert answer.isprintable()


@pytest.mark.parametrize(
    ("value", "pause"),
    [("0", 0), ("1.5", 1.5), ("999999999", 3600), ("-5", None), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
     ("Wed, 21 Oct 2115 07:28:00 GMT", 3600), ("1" * 400, None)],
)  # fmt: skip
async def test_pauses_that_are_asked_for(send, http, receiver, value, pause):
    receiver.answers(Reply(429, "slow down", {"Retry-After": value}))
    receipt = await send(http)
    assert (receipt.ok, receipt.permanent, receipt.retry_after_s) == (False, False, pause)


async def test_proxies_of_the_environment_are_not_used(send, http, receiver, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    await send(http)
    assert len(receiver.heard) == 1
