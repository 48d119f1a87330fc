"""Reads from the environment, with errors that say what to write instead."""

import os
import secrets
from pathlib import Path
from typing import Any, get_type_hints

from django.core.exceptions import ImproperlyConfigured

from gateway.conf import TollhouseSettings

TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


def flag(name: str, *, default: bool) -> bool:
    """The boolean of an environment variable; raises ImproperlyConfigured for anything but true or false."""
    text = os.environ.get(name, str(default)).strip().lower()
    if text not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name}={text!r} is not a boolean; write true or false.")
    return text in TRUE


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
