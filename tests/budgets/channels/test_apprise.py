"""Apprise, in the process of its own, against a receiver."""

import logging

import pytest

from budgets.channels import channel
from tests.budgets.channels.notices import RESOLVED, USUAL
from tests.budgets.channels.receiver import Reply


@pytest.fixture
def send(http):
    return lambda url, notice=USUAL, *, allow_private=True, **config: channel(
        "apprise", allow_private=allow_private
    ).send(notice, config=config, secret=url, http=http)


def at(receiver, rest="/sekret-part") -> str:
    return receiver.url.replace("http://", "json://") + rest


async def test_a_message_arrives(receiver, send):
    receipt = await send(at(receiver))
    assert receipt.ok, receipt
    (heard,) = receiver.heard
    assert heard.path == "/sekret-part"
    assert heard.json["title"] == "🟠 support.reply · warning"
    assert "Top callers: acme 9.10 USD" in heard.json["message"]
    assert heard.json["type"] == "warning"


async def test_a_resolved_alert_is_good_news(receiver, send):
    await send(at(receiver), RESOLVED)
    assert receiver.heard[0].json["type"] == "success"


async def test_a_service_that_refuses(receiver, send, caplog):
    caplog.set_level(logging.DEBUG)
    receiver.answers(Reply(500, "sekret-part"))
    receipt = await send(at(receiver))
    assert (receipt.ok, receipt.permanent) == (False, False)
    assert "500" in receipt.answer
    assert "sekret-part" not in receipt.answer + caplog.text


async def test_a_service_that_never_answers_is_given_up(receiver, send):
    receiver.answers(Reply(how="hang"))
    receipt = await send(at(receiver), timeout_s=0.5)
    assert (receipt.ok, receipt.permanent) == (False, False)


async def test_redirects_are_not_followed(receiver, send):
    receiver.answers(Reply(307, "", {"Location": f"{receiver.url}/elsewhere"}))
    assert not (await send(at(receiver))).ok
    assert len(receiver.heard) == 1


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"],
)
async def test_private_addresses_are_refused_when_the_connection_is_made(receiver, send, host):
    port = receiver.url.rpartition(":")[2]
    receipt = await send(f"json://{host}:{port}/sekret-part", allow_private=False)
    assert not receipt.ok
    assert "not a public address" in receipt.answer or "cannot read this URL" in receipt.answer, receipt
    assert receiver.heard == []


async def test_files_of_this_machine_are_not_read(receiver, send, tmp_path):
    template = tmp_path / "template.json"
    template.write_text('{"text": "from a file"}')
    port = receiver.url.rpartition(":")[2]
    receipt = await send(f"workflow://127.0.0.1:{port}/{'a' * 32}/{'b' * 32}/?template={template}")
    assert (receipt.ok, receipt.permanent) == (False, True)
    assert receipt.answer == "reading a file of this machine is refused"


@pytest.mark.parametrize(
    "url", ["syslog://", "dbus://", "macosx://x", "windows://x", "SYSLOG://localhost", "file:///etc/passwd"]
)
async def test_services_of_this_machine_are_refused(send, url):
    receipt = await send(url)
    assert (receipt.ok, receipt.permanent) == (False, True)


@pytest.mark.parametrize(
    ("secret", "word"),
    [("", "one Apprise URL"), ("gotify://a/b gotify://c/d", "one Apprise URL"), ("slak://sekret-part", "cannot read"), ("syslog://x", "machine")],
)  # fmt: skip
def test_urls_that_cannot_be_say_what_to_write(secret, word):
    with pytest.raises(ValueError, match=word) as error:
        channel("apprise").check({}, secret)
    assert "sekret-part" not in str(error.value)


def test_settings_that_work():
    channel("apprise").check({"timeout_s": 20}, "gotify://gotify.example.com/AbCdEfGhIjKlMnO")
    with pytest.raises(ValueError, match="'attach'"):
        channel("apprise").check({"attach": "/etc/passwd"}, "gotify://gotify.example.com/AbCdEfGhIjKlMnO")
