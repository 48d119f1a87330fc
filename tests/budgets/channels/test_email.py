"""Email, through Django's own backend, to a mail server."""

import email
import email.policy
import gc
from dataclasses import replace

import pytest

from budgets.channels import channel
from tests.budgets.channels.notices import NASTY, RESOLVED, USUAL, nasty

TO = {
    "to": ["oncall@example.com", "Team <finance@example.com>"[6:-1]],
    "from": "Gate <gate@example.com>",
    "timeout_s": 5,
}


@pytest.fixture
def mailers(settings, mail_server):
    """`MAILERS` of the project, with its server here."""
    backend = "django.core.mail.backends.smtp.EmailBackend"
    options = {"host": "127.0.0.1", "port": mail_server.port, "username": "gate", "password": "sekret-password"}
    settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": options}}
    return settings.MAILERS


@pytest.fixture
def send(mailers, http):
    return lambda notice, **config: channel("email").send(notice, config={**TO, **config}, secret="", http=http)


def letter(mail_server, number=-1):
    return email.message_from_bytes(mail_server.letters[number][2], policy=email.policy.default)


def subject(found):
    """As a mail program shows it: a header may begin on the line below its name."""
    return found["Subject"].strip()


async def test_a_letter_arrives(mail_server, send):
    receipt = await send(USUAL)
    assert receipt.ok, receipt
    sender, recipients, _ = mail_server.letters[0]
    assert (sender, recipients) == ("<gate@example.com>", ["<oncall@example.com>", "<finance@example.com>"])
    found = letter(mail_server)
    assert subject(found) == f"[warning] support.reply: {USUAL.summary}"
    assert found["From"] == "Gate <gate@example.com>"
    text, html = (found.get_body([kind]).get_content() for kind in ("plain", "html"))
    for told in ("72% of the limit", "Top callers", "31.50 USD by midnight"):
        assert told in text
        assert told in html
    assert f'href="{USUAL.links[0][1]}"' in html
    assert USUAL.links[0][1] in text


async def test_news_belong_to_the_first_letter(mail_server, send):
    for notice in (USUAL, USUAL, RESOLVED):
        await send(notice)
    first, again, resolved = (letter(mail_server, number) for number in range(3))
    assert first["Message-ID"] == again["Message-ID"] != resolved["Message-ID"]
    assert resolved["In-Reply-To"] == resolved["References"] == first["Message-ID"]
    assert subject(resolved) == f"Re: {subject(first)}"
    assert RESOLVED.resolution in resolved.get_body(["plain"]).get_content()


@pytest.mark.parametrize("text", NASTY)
async def test_text_of_others_is_only_text(mail_server, send, text):
    assert (await send(nasty(text))).ok
    _, recipients, _ = mail_server.letters[0]
    assert len(recipients) == 2
    found = letter(mail_server)
    assert found["Bcc"] is None
    assert len(subject(found)) <= 200
    html = found.get_body(["html"]).get_content()
    assert "<script" not in html
    assert html.count("</table>") == html.count("<table")


async def test_a_letter_without_a_feature_or_facts(mail_server, send):
    assert (await send(replace(USUAL, feature="", facts=(), links=(), bar=None))).ok
    assert subject(letter(mail_server)).startswith("[warning] Tollhouse: ")


@pytest.mark.parametrize(
    ("command", "answer", "permanent"),
    [("RCPT", "550 no such user", True), ("RCPT", "450 greylisted", False), ("DATA", "554 looks like spam", True),
     ("AUTH", "535 wrong password sekret-password", True), ("MAIL", "451 later", False)],
)  # fmt: skip
async def test_what_a_mail_server_refuses(mail_server, send, command, answer, permanent):
    mail_server.replies[command] = answer
    receipt = await send(USUAL)
    assert (receipt.ok, receipt.permanent, receipt.status) == (False, permanent, int(answer[:3]))
    assert answer.split()[1] in receipt.answer
    assert "sekret-password" not in receipt.answer


async def test_recipients_that_are_refused_while_others_are_not_are_named(mail_server, send):
    mail_server.replies["<finance@example.com>"] = "450 greylisted sekret-password"
    receipt = await send(USUAL)
    assert [recipients for _, recipients, _ in mail_server.letters] == [["<oncall@example.com>"]]
    assert (receipt.ok, receipt.partly, receipt.status) == (True, True, 450)
    assert "1 of 2 recipients. Refused: finance@example.com (450 greylisted" in receipt.answer
    assert "sekret-password" not in receipt.answer


async def test_a_mailer_that_fails_silently_has_not_sent_it(mailers, mail_server, send):
    mailers["default"]["OPTIONS"]["fail_silently"] = True
    mail_server.replies["DATA"] = "554 looks like spam"
    receipt = await send(USUAL)
    assert not receipt.ok
    assert "fail_silently" in receipt.answer


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # smtplib leaves the socket to the garbage collector
async def test_a_mail_server_that_says_nothing_is_given_up(mail_server, send):
    mail_server.silent = True
    receipt = await send(USUAL, timeout_s=0.4)
    assert (receipt.ok, receipt.permanent) == (False, False)
    gc.collect()


async def test_no_mail_server_there(mailers, send, unused_tcp_port):
    mailers["default"]["OPTIONS"]["port"] = unused_tcp_port
    receipt = await send(USUAL)
    assert (receipt.ok, receipt.permanent) == (False, False)
    assert "reached" in receipt.answer


async def test_no_mail_server_set_up(settings, http):
    settings.MAILERS = {}
    receipt = await channel("email").send(USUAL, config=TO, secret="", http=http)
    assert (receipt.ok, receipt.permanent) == (False, True)
    assert "DJANGO_EMAIL_URL" in receipt.answer


@pytest.mark.filterwarnings("ignore")  # Django's own, of settings that it gives up in 2028
async def test_a_project_with_the_older_settings_for_mail(settings, mail_server, http):
    del settings.MAILERS
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mail_server.port
    receipt = await channel("email").send(USUAL, config=TO, secret="", http=http)
    assert receipt.ok, receipt
    assert len(mail_server.letters) == 1


async def test_a_mailer_by_name(mailers, mail_server, send):
    mailers["alerts"] = mailers["default"]
    assert (await send(USUAL, mailer="alerts")).ok
    with pytest.raises(ValueError, match="'nobody'; it has alerts, default"):
        channel("email").check({**TO, "mailer": "nobody"}, "")


@pytest.mark.parametrize(
    ("config", "word"),
    [({}, "to is a list"), ({"to": "a@example.com"}, "to is a list"), ({"to": []}, "to is a list"), ({"to": ["nobody"]}, "'nobody'"),
     ({"to": ["a@example.com\nBcc: b@example.com"]}, "not an email"), ({"to": [5]}, "not an email"),
     ({"to": ["a@example.com"], "from": "x\r\nBcc: b@example.com"}, "one line"),
     ({"to": ["a@example.com"], "cc": []}, "'cc'")],
)  # fmt: skip
def test_settings_that_cannot_work_say_what_to_write(config, word):
    with pytest.raises(ValueError, match=word):
        channel("email").check(config, "")


def test_a_secret_has_no_place_here():
    with pytest.raises(ValueError, match="MAILERS"):
        channel("email").check(TO, "sekret-password")
