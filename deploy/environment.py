"""Reads from the environment, with errors that say what to write instead."""

import os
import secrets
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from gateway.conf import TollhouseSettings

TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


def flag(name: str, *, default: bool) -> bool:
    """The boolean of an environment variable; raises ImproperlyConfigured for anything but true or false."""
    text = os.environ.get(name, str(default)).strip().lower()
    if text not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name}={text!r} is not a boolean; write true or false.")
    return text in TRUE


def mailers(url: str) -> dict[str, Any]:
    """Django's `MAILERS` from the address of a mail server; none without one.

    `smtp+tls://user:password@host:587` (STARTTLS), `smtps://…:465` (TLS), `smtp://host:25` (neither: one's own network).
    """
    if not url:
        return {}
    try:
        parts = urlsplit(url)
        port = parts.port or {"smtp": 25, "smtp+tls": 587, "smtps": 465}[parts.scheme]
    except (ValueError, KeyError):
        parts, port = urlsplit(""), 0
    if not parts.hostname:
        # Not repeated, as it holds a password.
        raise ImproperlyConfigured("DJANGO_EMAIL_URL is no mail server; write smtp+tls://user:password@host:587.")
    options = {"host": parts.hostname, "port": port, "timeout": 10,
               "username": unquote(parts.username or ""), "password": unquote(parts.password or ""),
               "use_tls": parts.scheme == "smtp+tls", "use_ssl": parts.scheme == "smtps"}  # fmt: skip
    return {"default": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": options}}


def secret_key(state_dir: Path) -> str:
    """DJANGO_SECRET_KEY, or one made once and kept, readable by its owner alone, beside the embedded database."""
    if key := os.environ.get("DJANGO_SECRET_KEY"):
        return key
    file = state_dir / "secret_key"
    if not file.exists():
        state_dir.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(f".{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(50))
        # `link` fails where another process was first, so both end with the same key.
        try:
            os.link(fresh, file)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return file.read_text()


def tollhouse_from_environment() -> dict[str, Any]:
    """The dict `TOLLHOUSE` from the variables `TOLLHOUSE_<NAME>`; lists are separated by commas."""
    found: dict[str, Any] = {}
    for name in get_type_hints(TollhouseSettings):
        variable = f"TOLLHOUSE_{name}"
        if variable not in os.environ:
            continue
        default, text = getattr(TollhouseSettings, name), os.environ[variable]
        try:
            match default:
                case bool():
                    found[name] = flag(variable, default=default)
                case int() | float():
                    found[name] = type(default)(text)
                case tuple():
                    found[name] = tuple(part.strip() for part in text.split(",") if part.strip())
                case _:
                    found[name] = text
        except ValueError:
            raise ImproperlyConfigured(f"{variable}={text!r} is not a number; write one like {default}.") from None
    return found
