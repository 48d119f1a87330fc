"""Secrets at rest: provider keys, each bound to the host that it is for, and cached replies."""

import base64
from fnmatch import fnmatchcase

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings as django_settings

from gateway.conf import settings


class CannotDecrypt(Exception):
    """What is stored is for another host or use, or was encrypted with a secret that is no longer configured."""


#: Beginnings of environment variables that hold secrets of the gate itself. None of them is a provider's key, and whoever
#: may configure a provider must not have them sent to an address of their choice.
OWN = ("DJANGO_", "TOLLHOUSE_", "DATABASE_", "PG")


def is_own(variable: str) -> bool:
    """Whether an environment variable holds a secret of the gate itself."""
    return variable.upper().startswith(OWN)


def encrypt(text: str, *, bound_to: str) -> str:
    """The text, encrypted (Fernet: AES-128-CBC and HMAC-SHA256) so that it opens for that host, or use, only."""
    return _fernet(bound_to).encrypt(text.encode()).decode()


def decrypt(token: str, *, bound_to: str) -> str:
    """The text that `encrypt` made for the same host or use. Raises CannotDecrypt."""
    try:
        return _fernet(bound_to).decrypt(token.encode()).decode()
    except InvalidToken:
        raise CannotDecrypt(
            f"what is stored is not for {bound_to}, or its encryption key has changed; a provider's key has to be entered anew"
        ) from None


def check_variable(name: str) -> None:
    """Refuses an environment variable that may not hold a provider's key. Raises ValueError, saying which may."""
    globs = settings().PROVIDER_KEY_ENV
    if is_own(name):
        raise ValueError(f"the variable {name} may not hold a provider's key: it is one of the gate's own")
    if not any(fnmatchcase(name, glob) for glob in globs):
        raise ValueError(
            f"the variable {name} may not hold a provider's key; the setting PROVIDER_KEY_ENV allows {', '.join(globs) or 'none'}"
        )


def derive(label: str, secret: str, *, length: int = 32) -> bytes:
    """A key for one purpose from a secret (HKDF-SHA256, RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=f"tollhouse {label}".encode()).derive(
        secret.encode()
    )


def _fernet(host: str) -> MultiFernet:
    # The host is part of the key, so that a provider whose address was changed cannot be sent the old address's secret.
    found = settings().ENCRYPTION_KEYS or (django_settings.SECRET_KEY,)
    return MultiFernet(
        [Fernet(base64.urlsafe_b64encode(derive(f"provider key for {host}", secret))) for secret in found]
    )
