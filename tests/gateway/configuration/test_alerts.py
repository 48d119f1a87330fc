"""Channels and routes of alerts in catalog files: applied, exported, applied again; secrets are in no file."""

from datetime import time

import pytest

from budgets.models import AlertRoute, Channel
from gateway import alerting
from gateway.configuration.export import export
from tests.gateway.configuration.test_apply import applied, refused

pytestmark = pytest.mark.django_db

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
FILE = """
[channels.stand-in]
kind = "webhook"
config = {url = "https://hooks.example.com/2"}
secret_env = "ALERT_HOOK"

[channels.ops]
kind = "webhook"
config = {url = "https://hooks.example.com/1", timeout_s = 2.5}
secret_env = "ALERT_HOOK"
fallback = "stand-in"

[[alert_routes]]
name = "night"
severity = "info"
kinds = ["budget_*"]
features = ["support.*"]
channels = ["ops"]
goes_on = true
quiet_from = 22:00:00
quiet_until = 07:00:00
quiet_timezone = "Europe/Paris"

[[alert_routes]]
name = "all"
channels = ["stand-in", "ops"]
breaks_through = ""
active = false
"""


def test_a_file_makes_them_and_a_second_time_changes_nothing():
    assert applied(FILE) == ["+ channel stand-in", "+ channel ops", "+ alert route night", "+ alert route all"]
    ops, night = Channel.objects.get(name="ops"), AlertRoute.objects.get(name="night")
    assert ops.config == {"url": "https://hooks.example.com/1", "timeout_s": 2.5} and str(ops.fallback) == "stand-in"
    assert (night.quiet_from, night.quiet_until) == (time(22), time(7)) and night.position == 0
    assert {line[0] for line in applied(FILE)} == {"="}
    changed = applied(FILE.replace('channels = ["ops"]', 'channels = ["stand-in"]').replace("22:00", "21:00"))
    assert "~ alert route night: quiet_from 22:00:00 → 21:00:00, channels ops → stand-in" in changed


def test_what_is_exported_makes_the_same_again():
    applied(FILE)
    text = export(with_secrets=True)
    AlertRoute.objects.all().delete()
    Channel.objects.update(fallback=None)
    Channel.objects.all().delete()
    applied(text)
    assert export(with_secrets=True) == text
    assert [route.name for route in AlertRoute.objects.all()] == ["night", "all"]
    assert {channel.name for channel in AlertRoute.objects.get(name="all").channels.all()} == {"stand-in", "ops"}


def test_a_stored_secret_is_in_no_file_and_stays_with_its_settings():
    channel = Channel(name="ops", kind="webhook", config={"url": "https://hooks.example.com/1"})
    channel.secret_encrypted = alerting.encrypt(channel, SECRET)
    channel.save()
    text = export(with_secrets=True)
    assert "Secrets stored for the channels ops are left out" in text
    assert SECRET not in text and channel.secret_encrypted not in text
    assert applied(text)[-1] == "= channel ops"
    told = refused(text.replace("hooks.example.com", "elsewhere.example.com"))
    assert "the stored secret is for the settings so far; give secret_env" in told[0]
    Channel.objects.all().delete()
    assert "! channel ops: has no secret yet." in applied(text)[-2]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('kind = "webhook"', 'kind = "pigeon"', "c.toml:3: The kind 'pigeon' is not known"),
        ('secret_env = "ALERT_HOOK"', 'secret_env = "OPENAI_API_KEY"', "CHANNEL_SECRET_ENV allows ALERT_*"),
        ('secret_env = "ALERT_HOOK"', 'secret = "x"', "'secret' is not known here"),
        ('fallback = "stand-in"', 'fallback = "nobody"', "There is no 'nobody' in channels"),
        ('channels = ["ops"]', 'channels = ["nobody"]', "There is no 'nobody' in channels"),
        ('channels = ["ops"]', "", "channels is missing"),
        ('name = "night"', "", "name is missing"),
        ("quiet_from = 22:00:00", 'quiet_from = "22"', "quiet_from must be a time of day"),
        ("quiet_from = 22:00:00", "", "Quiet hours need a beginning and an end"),
        ('"Europe/Paris"', '"Mars"', "is no time zone"),
        ('severity = "info"', 'severity = "loud"', "'loud' is not a valid choice"),
    ],
)
def test_mistakes_are_told(before, after, words, settings):
    assert any(words in told for told in refused(FILE.replace(before, after)))
    assert not Channel.objects.exists()


def test_with_the_secret_at_hand_the_settings_are_checked(monkeypatch):
    monkeypatch.setenv("ALERT_HOOK", SECRET)
    assert "https://" in refused(FILE.replace("https://hooks.example.com/1", "ftp://hooks.example.com"))[0]
