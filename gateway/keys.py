"""API keys: made once, kept as a keyed hash, found again in constant time, rotated and revoked."""

import hashlib
import hmac
import secrets as random
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.db import models, transaction
from django.db.models.functions import Greatest, Now
from django.utils import timezone

from gateway.catalog import Catalog, KeyInfo
from gateway.conf import settings
from gateway.models import Key, KeyUse
from gateway.secrets import derive

PREFIX = "th_"
#: How long the old secret of a rotated key works on, unless a person chooses otherwise, and the longest they may choose.
GRACE, LONGEST_GRACE = timedelta(hours=24), timedelta(days=90)


def make() -> str:
    """A new key: 240 bits from the system's generator, url-safe."""
    return PREFIX + random.token_urlsafe(30)


def create(
    name: str,
    features: list[str],
    *,
    tenant: str = "",
    default_feature: str = "",
    expires_at: datetime | None = None,
    key: str | None = None,
) -> str:
    """Makes a key and returns it; it cannot be read again. Raises django ValidationError, e.g. for a name in use."""
    row = Key(name=name, features=features, tenant=tenant, default_feature=default_feature, expires_at=expires_at)
    renew(row, key)
    row.full_clean()
    row.save(force_insert=True)
    return row.secret


def renew(row: Key, key: str | None = None) -> None:
    """Gives the row, which is not saved by this, a secret: in `row.secret`, this once, and as prefix and digest."""
    row.secret = key or make()
    row.prefix, row.digest = row.secret[:8], digest(row.secret)


class CannotRotate(Exception):
    """The key is revoked or has expired; the message says what to do."""


def rotate(name: str, *, grace: timedelta = GRACE) -> Key:
    """Gives the key of that name a new secret (in the row's `secret`, this once); the one it had works on for `grace`.

    One previous secret is kept: rotated again within its grace, the one before stops at once. Raises CannotRotate, and
    Key.DoesNotExist.
    """
    with transaction.atomic():
        row = Key.objects.select_for_update().get(name=name)
        now = timezone.now()
        if (state := row.state(now)) != "in force":
            hint = "make a new one" if state == "revoked" else "give it another expiry first"
            raise CannotRotate(f"The key {name} is {state}; {hint}.")
        row.previous_prefix, row.previous_digest, row.previous_until = row.prefix, row.digest, now + grace
        row.rotated_at = now
        renew(row)
        row.save()
    return row


def revoke(rows: models.QuerySet[Key]) -> list[Key]:
    """Refuses these keys from now on, previous secrets too. Returns those that were not revoked before."""
    with transaction.atomic():
        found = list(rows.filter(revoked_at=None).select_for_update())
        Key.objects.filter(pk__in=[row.pk for row in found]).update(revoked_at=Now())
    return found


def with_use(rows: models.QuerySet[Key]) -> models.QuerySet[Any]:
    """The keys, annotated with `used_at` and `previous_used_at`: when their secrets were last presented, or None."""

    def used(digest: str) -> models.Subquery:
        return models.Subquery(KeyUse.objects.filter(digest=models.OuterRef(digest)).values("used_at")[:1])

    return rows.annotate(previous_used_at=used("previous_digest"), secret_used_at=used("digest")).annotate(
        used_at=Greatest("secret_used_at", "previous_used_at")
    )


def digest(key: str) -> str:
    """The keyed hash (HMAC-SHA256, hex) under which a key is stored."""
    return hmac.digest(pepper("api key"), key.encode(), "sha256").hex()


def find(catalog: Catalog, presented: str, at: datetime) -> KeyInfo | None:
    """The key that was presented, unless it is unknown, revoked or expired at `at`.

    The look-up is by the keyed hash of the whole key, so its time tells nothing about keys that exist.
    """
    hashed = digest(presented)
    found = catalog.keys.get(hashed)
    if found is None or not hmac.compare_digest(found.digest, hashed):
        return None
    return None if found.expires_at and found.expires_at <= at else found


def user_ref(user: str) -> str:
    """What rows keep of a user id: a keyed hash, 32 hex digits, or the id itself where the setting USER_REF says `plain`."""
    if settings().USER_REF == "plain":
        return user
    return hmac.new(pepper("user reference"), user.encode(), hashlib.sha256).hexdigest()[:32]


def pepper(purpose: str) -> bytes:
    """The secret behind keyed hashes of that purpose."""
    return _derived(purpose, settings().PEPPER or django_settings.SECRET_KEY)


@lru_cache(maxsize=16)
def _derived(purpose: str, secret: str) -> bytes:
    return derive(f"pepper for {purpose}", secret)
