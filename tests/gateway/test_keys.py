"""Keys over their life: rotated with a grace, their last use noted without a query on the way of a call."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from gateway import keys
from gateway.catalog import load
from gateway.models import AuditEntry, Key, KeyUse, Revision
from tests.server import Server

pytestmark = pytest.mark.django_db(transaction=True)


def works(text, at=None):
    return keys.find(load(), text, at or datetime.now(UTC)) is not None


def test_a_rotated_key_has_two_secrets_for_the_grace(world, capsys):
    old = world.key("support.*", name="web", tenant="acme")
    call_command("keys", "rotate", "web", "--grace", "2")
    lines = capsys.readouterr().out.splitlines()
    new = lines[-1]
    assert new.startswith("th_") and "the old one works until" in lines[0]
    later = timezone.now() + timedelta(hours=2, seconds=1)
    assert works(old) and works(new) and works(new, later) and not works(old, later)
    assert load().keys[keys.digest(old)].tenant == "acme"
    call_command("keys", "list")
    assert f"old secret {old[:8]}… until" in capsys.readouterr().out
    [entry] = AuditEntry.objects.filter(action="key.rotate")
    assert old not in str(vars(entry)) and new not in str(vars(entry))


def test_rotated_again_within_the_grace_the_one_before_stops(world):
    first = world.key()
    second = keys.rotate("test").secret
    third = keys.rotate("test").secret
    assert (works(first), works(second), works(third)) == (False, True, True)


def test_without_a_grace_the_old_secret_stops_at_once(world, capsys):
    old = world.key()
    call_command("keys", "rotate", "test", "--grace", "0")
    assert not works(old) and works(capsys.readouterr().out.splitlines()[-1])


def test_an_expiry_ends_both_secrets(world):
    old = world.key(expires_at=timezone.now() + timedelta(hours=1))
    new = keys.rotate("test").secret
    later = timezone.now() + timedelta(hours=1, seconds=1)
    assert works(old) and works(new) and not works(old, later) and not works(new, later)


def test_what_cannot_be_rotated_is_told(world):
    world.key(name="off")
    world.key(name="over", expires_at=timezone.now() - timedelta(days=1))
    call_command("keys", "revoke", "off")
    for name, told in (
        ("off", "The key off is revoked; make a new one."),
        ("over", "The key over is expired; give it another expiry first."),
        ("nope", "There is no key 'nope'; `keys list`"),
    ):
        with pytest.raises(CommandError, match=told):
            call_command("keys", "rotate", name)
    for grace, told in (("-1", "0 to 2160 hours"), ("nan", "no number of hours"), ("soon", "no number of hours")):
        with pytest.raises(CommandError, match=told):
            call_command("keys", "rotate", "over", f"--grace={grace}")


def test_a_default_feature_outside_the_globs_is_refused():
    with pytest.raises(CommandError, match=r"The key may not use sales: none of support\.\* matches it\."):
        call_command("keys", "create", "web", feature=["support.*"], default_feature="sales")
    assert not Key.objects.exists() and not AuditEntry.objects.exists()
    call_command("keys", "create", "web", "--feature", "support.*", "--feature", "sales", "--default-feature", "sales")


def test_the_last_use_of_each_secret_is_noted_and_leaves_the_catalog_alone(world):
    old = world.key()
    used, unused = keys.rotate("test").secret, world.key(name="unused")
    revisions = dict(Revision.objects.values_list("name", "value"))
    before = timezone.now()
    ask_for_models(old, used, "th_wrong")
    # Servers of other tests write uses of keys of theirs at any time.
    asked = [keys.digest(secret) for secret in (old, used, unused, "th_wrong")]
    uses = {use.digest: use.used_at for use in KeyUse.objects.filter(digest__in=asked)}
    assert set(uses) == {keys.digest(old), keys.digest(used)} and keys.digest(unused) not in uses
    assert all(before <= at <= timezone.now() for at in uses.values())
    row = keys.with_use(Key.objects.filter(name="test")).get()
    assert (row.used_at, row.previous_used_at) == (max(uses.values()), uses[keys.digest(old)])
    assert dict(Revision.objects.values_list("name", "value")) == revisions


def test_a_later_use_that_another_process_noted_stays(world):
    key = world.key()
    later = timezone.now() + timedelta(days=1)
    KeyUse.objects.create(digest=keys.digest(key), used_at=later)
    ask_for_models(key)
    # Of this key, as servers of other tests write uses of theirs at any time.
    assert KeyUse.objects.get(digest=keys.digest(key)).used_at == later


def ask_for_models(*presented):
    """Asks a server of its own with each of these keys; it has written the uses when it has stopped."""
    server = Server()
    try:
        for key in presented:
            httpx.get(f"{server.url}/v1/models", headers={"Authorization": f"Bearer {key}"})
    finally:
        server.stop()
