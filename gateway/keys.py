"""API keys: made once, kept as a keyed hash, found again in constant time."""

import hashlib
import hmac
import secrets as random
from datetime import datetime
from functools import lru_cache

from django.conf import settings as django_settings

from gateway.catalog import Catalog, KeyInfo
from gateway.conf import settings
from gateway.models import Key
from gateway.secrets import derive

PREFIX = "th_"


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
    text = key or make()
    row = Key(
        name=name, prefix=text[:8], digest=digest(text), features=features, tenant=tenant,
        default_feature=default_feature, expires_at=expires_at,
    )  # fmt: skip
    row.full_clean()
    row.save(force_insert=True)
    return text


def digest(key: str) -> str:
    """The keyed hash (HMAC-SHA256, hex) under which a key is stored."""
    return hmac.digest(_pepper("api key"), key.encode(), "sha256").hex()


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
        return user[:200]
    return hmac.new(_pepper("user reference"), user.encode(), hashlib.sha256).hexdigest()[:32]


def _pepper(purpose: str) -> bytes:
    return _derived(purpose, settings().PEPPER or django_settings.SECRET_KEY)


@lru_cache(maxsize=16)
def _derived(purpose: str, secret: str) -> bytes:
    return derive(f"pepper for {purpose}", secret)
