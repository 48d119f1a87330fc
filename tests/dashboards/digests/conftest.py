"""A mail server and a stand-in for Slack, each in a thread of its own, and digests that go there."""

import email
import email.policy
from datetime import timedelta
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from django.contrib.auth.models import Permission
from django.utils import timezone

from budgets.models import Channel
from dashboards.models import Digest, DigestDelivery
from gateway import alerting
from tests.budgets.channels.receiver import Heard, MailServer, Receiver, Reply, in_thread

TOKEN = "xoxb-1234567890-abcdefghijkl"


class SlackApi(Receiver):
    """Answers as Slack's Web API does. `refuses` are answers in place of the usual one, by the method's name."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses: dict[str, Reply] = {}

    @property
    def methods(self) -> list[str]:
        return [heard.path.rpartition("/")[2] for heard in self.heard]

    def form(self, method: str, number: int = 0) -> dict[str, str]:
        """What was sent to a method that takes forms."""
        found = [heard for heard in self.heard if heard.path.endswith(method)][number]
        return {name: values[0] for name, values in parse_qs(found.content.decode()).items()}

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.heard.append(Heard(request.path, dict(request.headers), await request.read()))
        method = request.path.rpartition("/")[2]
        number = len(self.heard)
        usual = {
            "chat.postMessage": {"ok": True, "channel": "C024BE91L", "ts": "1503435956.000247"},
            "files.getUploadURLExternal": {"ok": True, "upload_url": f"{self.url}/upload/v1/sekret-{number}", "file_id": f"F{number}"},
            "files.completeUploadExternal": {"ok": True, "files": []},
        }  # fmt: skip
        reply = self.refuses.get(method) or (Reply.json(usual[method]) if method in usual else Reply(200, "OK"))
        return web.Response(status=reply.status, text=reply.body, headers=reply.headers)


@pytest.fixture
def mail_server(settings):
    """The project's mail server."""
    with in_thread(MailServer()) as found:
        options = {"host": "127.0.0.1", "port": found.port, "username": "gate", "password": "sekret-password"}
        backend = "django.core.mail.backends.smtp.EmailBackend"
        settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": options}}
        settings.DEFAULT_FROM_EMAIL = "Gate <gate@example.com>"
        yield found


@pytest.fixture
def slack():
    with in_thread(SlackApi()) as found:
        yield found


@pytest.fixture
def site(settings):
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "PUBLIC_URL": "https://gate.example.com"}


@pytest.fixture
def person(django_user_model):
    """Makes somebody with just these permissions."""

    def make(name, *codenames):
        user = django_user_model.objects.create_user(name, is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        return user

    return make


def full_hour():
    return timezone.now().replace(minute=0, second=0, microsecond=0)


@pytest.fixture
def digest(admin_user):
    """Makes a daily digest that was due at the full hour; `days` says how many days ago it should have been sent first."""

    def make(*, views=(), days=0, **values):
        at = full_hour()
        given = {
            "name": "Daily", "owner": admin_user, "emails": ["finance@example.com", "ada@example.com"], "every": "day",
            "hour": at.hour, "next_at": at - timedelta(days=days),
        }  # fmt: skip
        found = Digest.objects.create(**{**given, **values})
        found.views.set(views)
        return found

    return make


def bot(slack):
    return _channel(TOKEN, {"channel": "#finance", "api_url": f"{slack.url}/api/"})


def webhook(slack):
    return _channel(f"{slack.url}/services/T000/B000/sekret-part", {})


def _channel(secret, config):
    channel = Channel(name="finance", kind="slack", config=config)
    channel.secret_encrypted = alerting.encrypt(channel, secret)
    channel.save()
    return channel


def letter(mail_server, number=-1):
    return email.message_from_bytes(mail_server.letters[number][2], policy=email.policy.default)


def row(digest, **which):
    return DigestDelivery.objects.get(digest=digest, **which)
