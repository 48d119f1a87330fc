"""Email, with the project's own settings for mail: who may send, and through which server, is decided there."""

import asyncio
import hashlib
import smtplib
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parseaddr
from typing import Any

import aiohttp
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.mail import EmailMessage, EmailMultiAlternatives, InvalidMailer, MailerDoesNotExist, mailers
from django.core.validators import validate_email
from django.template.loader import render_to_string

from budgets.channels import config as settings
from budgets.channels import render
from budgets.channels.base import Json, Notice, Receipt
from budgets.channels.wire import without

SUBJECT_CHARACTERS = 200
MOST_RECIPIENTS = 50

#: What a mail server answered to each recipient that it refused.
Refusals = dict[str, tuple[int, bytes]]


class Email:
    """A message with a text and an HTML part; news of an alert are replies to its first message.

    Settings: `to` (a list of addresses), `from` (else `DEFAULT_FROM_EMAIL`), `mailer` (which of `MAILERS`). No secret: the
    server's password stands in the project's settings.
    """

    def check(self, config: Mapping[str, Json], secret: str) -> None:
        settings.known(config, "to", "from", "mailer")
        to = config.get("to")
        if not isinstance(to, list) or not to or len(to) > MOST_RECIPIENTS:
            raise ValueError(f'to is a list of 1 to {MOST_RECIPIENTS} addresses, like ["oncall@example.com"].')
        sender = settings.text(config, "from")
        for address in [*to, *([parseaddr(sender)[1] or sender] if sender else [])]:
            try:
                validate_email(str(address))
            except ValidationError as error:
                raise ValueError(f"{address!r} is not an email address.") from error
        alias = settings.text(config, "mailer")
        if alias and alias not in mailers:
            raise ValueError(
                f"MAILERS has no mailer {alias!r}; it has {', '.join(sorted(mailers.settings)) or 'none'}."
            )
        if secret:
            raise ValueError("Email has no secret here; the server's password stands in MAILERS of the settings.")

    async def send(
        self, notice: Notice, *, config: Mapping[str, Json], secret: str, http: aiohttp.ClientSession
    ) -> Receipt:
        try:
            self.check(config, secret)
        except ValueError as error:
            return Receipt(ok=False, answer=str(error), permanent=True)
        limit = settings.timeout_s(config)
        try:
            return await asyncio.wait_for(
                asyncio.to_thread(deliver, lambda: compose(notice, config), settings.text(config, "mailer"), limit),
                limit,
            )
        except TimeoutError:
            return Receipt(ok=False, answer=f"The mail server did not take it within {limit:g} seconds.")


def deliver(compose: Callable[[], EmailMessage], alias: str, timeout_s: float) -> Receipt:
    """Sends a message by one of `MAILERS` (empty: the default one); what the server answered. Trouble is no exception.

    Where the mailer has no timeout of its own, each step may take half of `timeout_s`.
    """
    password = ""
    try:
        mailer = mailers[alias] if alias else mailers.default
        password = getattr(mailer, "password", None) or ""
        if getattr(mailer, "timeout", 0) is None:
            # Or a server that is silent would keep this thread; of each step, so that the last words can still be heard.
            setattr(mailer, "timeout", timeout_s / 2)  # noqa: B010 - only the SMTP backend has it
        try:
            message, refused = compose(), _open(mailer)
            sent = mailer.send_messages([message])
        finally:
            # Django leaves the connection open where the server refused the password.
            with suppress(OSError):
                mailer.close()
    except (MailerDoesNotExist, InvalidMailer, ImproperlyConfigured):
        return Receipt(ok=False, answer="No mail server is set up: set MAILERS (DJANGO_EMAIL_URL).", permanent=True)
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()))
        return _refused(code, said, password)
    except smtplib.SMTPResponseException as error:
        return _refused(error.smtp_code, error.smtp_error, password)
    except OSError as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        return Receipt(ok=False, answer=without(f"The mail server cannot be reached: {why}", [password]))
    except Exception as error:  # noqa: BLE001 - backends for mail services raise errors of their own, which may hold keys
        return Receipt(ok=False, answer=f"The mail backend failed: {type(error).__name__}")
    if sent == 0:
        return Receipt(
            ok=False, answer="The mail backend sent nothing and said no reason: see fail_silently in MAILERS."
        )
    if refused:
        return _refused_partly(refused, len(message.recipients()), password)
    return Receipt(ok=True, answer="Taken by the mail server.")


def _open(mailer: Any) -> Refusals:
    """Opens the mailer. Returns what its server will say to recipients whom it refuses while it takes others: Django's
    backend does not tell. Stays empty for backends that are not SMTP's, and where all are refused, which is an error.
    """
    refused: Refusals = {}
    mailer.open()
    connection = getattr(mailer, "connection", None)
    if isinstance(connection, smtplib.SMTP):
        sendmail = connection.sendmail

        def noted(*args: Any, **options: Any) -> Refusals:
            refused.update(sendmail(*args, **options))
            return refused

        setattr(connection, "sendmail", noted)  # noqa: B010 - a method of one connection
    return refused


def _refused_partly(refused: Refusals, recipients: int, password: str) -> Receipt:
    who = ", ".join(f"{address} ({code} {_words(said)})" for address, (code, said) in refused.items())
    told = f"Taken by the mail server for {recipients - len(refused)} of {recipients} recipients. Refused: {who}."
    return Receipt(ok=True, status=next(iter(refused.values()))[0], answer=without(told, [password]))


def _words(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said


def _refused(code: int, said: bytes | str, password: str) -> Receipt:
    return Receipt(ok=False, status=code, answer=without(f"{code} {_words(said)}", [password]), permanent=code >= 500)


def compose(notice: Notice, config: Mapping[str, Json]) -> EmailMultiAlternatives:
    """The message. Its id is the same at each attempt, and news of an alert refer to the id of its trigger."""
    sender = settings.text(config, "from") or django_settings.DEFAULT_FROM_EMAIL
    headers = {"Message-ID": _message_id(notice, notice.message_id, sender), "Auto-Submitted": "auto-generated"}
    subject = f"[{render.plain(render.status(notice))}] {render.name(notice.feature) or 'Tollhouse'}: {render.summary(notice)}"
    if notice.event in ("acknowledge", "resolve"):
        # The subject of the trigger: some programs keep messages together by it.
        subject = f"Re: [{render.plain(notice.severity)}]" + subject.partition("]")[2]
        headers["In-Reply-To"] = headers["References"] = _message_id(notice, f"alert-{notice.alert_id}-trigger", sender)
    message = EmailMultiAlternatives(
        render.clip(subject, SUBJECT_CHARACTERS), render.body(notice), sender, list(config["to"]), headers=headers
    )
    message.attach_alternative(html(notice), "text/html")
    return message


def html(notice: Notice) -> str:
    """The HTML part; the template escapes all that is put into it."""
    return render_to_string(
        "tollhouse/alert_email.html",
        {
            "status": render.plain(render.status(notice)),
            "title": render.title(notice),
            "summary": render.summary(notice),
            "resolution": render.resolution(notice),
            "share": render.share(notice.bar) if notice.bar else None,
            "filled": min(render.share(notice.bar), 100) if notice.bar else 0,
            "facts": render.facts(notice),
            "links": render.links(notice),
            "origin": " · ".join([*render.origin(notice), render.moment(notice)]),
        },
    )


def _message_id(notice: Notice, name: str, sender: str) -> str:
    # The key's hash tells the alerts of two gates apart that send as the same address.
    mark = hashlib.sha256(notice.dedup_key.encode(errors="replace")).hexdigest()[:12]
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    return f"<tollhouse-{name}-{mark}@{domain}>"
