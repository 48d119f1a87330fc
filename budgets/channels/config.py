"""What stands in a channel's row, checked: each error says what to write instead and never repeats a secret."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from budgets.addresses import is_public
from budgets.channels.base import Json

#: How long one attempt may take, in seconds, unless the row has a `timeout_s` of its own.
TIMEOUT_S = 10.0
LONGEST_TIMEOUT_S = 60.0


def known(config: Mapping[str, Json], *names: str) -> None:
    """Refuses settings that no channel of the kind has; misspelt ones are not passed over in silence."""
    if not isinstance(config, Mapping):
        raise ValueError("The settings are a JSON object, like {}.")
    for name in config:
        if name not in (*names, "timeout_s"):
            raise ValueError(f"There is no setting {name!r} here; there are {', '.join((*names, 'timeout_s'))}.")
    timeout_s(config)


def timeout_s(config: Mapping[str, Json]) -> float:
    """Seconds that one attempt may take."""
    value = config.get("timeout_s", TIMEOUT_S)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_TIMEOUT_S:
        raise ValueError(f"timeout_s is a number of seconds, more than 0 and at most {LONGEST_TIMEOUT_S:.0f}.")
    return float(value)


def text(config: Mapping[str, Json], name: str, default: str = "") -> str:
    """A setting that is one line of text."""
    value = config.get(name, default)
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{name} is text on one line.")
    return value.strip()


def address(url: str, what: str) -> str:
    """A URL that may be posted to. Plain http is for one's own network only: what is sent holds a secret or names tenants."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https") or not url.isprintable() or " " in url:
        raise ValueError(f"{what} is an address that begins with https://")
    if parts.username or parts.password or parts.fragment:
        raise ValueError(f"{what} has neither a user name nor a password nor a # in it.")
    if parts.scheme == "http" and not _near(host):
        raise ValueError(f"{what} begins with https:// (http:// is for servers of one's own network)")
    return url


def _near(host: str) -> bool:
    try:
        return not is_public(host)
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".localhost"))
