"""Sentry: alerts as issues. The secret is a project's DSN.

Without Sentry's package: that sends from a thread of its own and says nothing about what came of it, and the envelope is
this one request. Source: Sentry's developer documentation, "Envelopes" and "Event Payloads".
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC
from urllib.parse import urlsplit

import aiohttp
import orjson

from budgets.channels import config as settings
from budgets.channels import render
from budgets.channels.base import Json, Notice, Receipt
from budgets.channels.wire import post, receipt

LEVELS = {"info": "info", "warning": "warning", "critical": "error"}
MESSAGE_CHARACTERS, TAG_CHARACTERS = 2000, 200
#: Kinds whose key names a moment's window or event and not the thing that it is about.
OF_SUBJECT = frozenset({"forecast", "unrecorded"})
#: When an alert was, at the end of its key.
TIME = re.compile(r":\d{4}-\d\d-\d\d(T\d\d)?$")


class Sentry:
    """An issue for each budget, target or other thing that alerts are about: what comes again is counted there.

    Settings: `environment`. Sentry takes no news of an issue's end from outside: acknowledgements and resolutions stay here.
    """

    def check(self, config: Mapping[str, Json], secret: str) -> None:
        settings.known(config, "environment")
        settings.text(config, "environment")
        _parts(secret)

    async def send(
        self, notice: Notice, *, config: Mapping[str, Json], secret: str, http: aiohttp.ClientSession
    ) -> Receipt:
        try:
            self.check(config, secret)
        except ValueError as error:
            return Receipt(ok=False, answer=str(error), permanent=True)
        if notice.event in ("acknowledge", "resolve"):
            return Receipt(ok=True, answer="Sentry's issues are acknowledged and resolved in Sentry.")
        url, key = _parts(secret)
        headers = {
            "Content-Type": "application/x-sentry-envelope",
            "X-Sentry-Auth": f"Sentry sentry_version=7, sentry_client=tollhouse/1.0, sentry_key={key}",
        }
        body = envelope(notice, environment=settings.text(config, "environment"))
        answer = await post(http, url, body, headers, timeout_s=settings.timeout_s(config))
        return receipt(answer, secrets=[secret, key])


def envelope(notice: Notice, *, environment: str = "") -> bytes:
    """The request's body: one event. Sent twice, it is one event for Sentry too."""
    event = orjson.dumps(_event(notice, environment))
    head = orjson.dumps({"event_id": _id(notice)})
    return b"\n".join([head, orjson.dumps({"type": "event", "length": len(event)}), event, b""])


def _event(notice: Notice, environment: str) -> dict[str, Json]:
    tags = {
        "tollhouse.kind": notice.kind, "tollhouse.alert": str(notice.alert_id), "tollhouse.feature": notice.feature,
        "tollhouse.tenant": notice.tenant,
    }  # fmt: skip
    found: dict[str, Json] = {
        "event_id": _id(notice),
        "timestamp": notice.at.astimezone(UTC).isoformat(),
        "platform": "other",
        "logger": "tollhouse.alerts",
        "level": "info" if notice.event == "test" else LEVELS.get(notice.severity, "warning"),
        "message": {"formatted": render.clip(render.summary(notice), MESSAGE_CHARACTERS)},
        "fingerprint": fingerprint(notice),
        "tags": {name: tag for name, value in tags.items() if (tag := _tag(value))},
        "extra": {**dict(render.facts(notice)), **dict(render.links(notice))},
    }
    return found | ({"environment": _tag(environment)} if environment else {})


def fingerprint(notice: Notice) -> list[str]:
    """What makes alerts one issue: the same budget, target or feature, in whichever window or hour."""
    if notice.event == "test":
        return ["tollhouse", "test"]
    key = TIME.sub("", notice.dedup_key)
    if notice.kind in OF_SUBJECT:
        key = f"{notice.feature}:{notice.tenant}"
    elif key.startswith("budget:"):
        key = ":".join(key.split(":")[:2])
    return ["tollhouse", _tag(notice.kind), render.clip(render.plain(key), 500)]


def _id(notice: Notice) -> str:
    return hashlib.sha256(f"{notice.dedup_key}:{notice.message_id}".encode(errors="surrogatepass")).hexdigest()[:32]


def _tag(value: str) -> str:
    return render.clip(render.plain(value), TAG_CHARACTERS)


def _parts(dsn: str) -> tuple[str, str]:
    """Where a DSN's project takes envelopes, and its public key. Raises ValueError."""
    wrong = ValueError("The secret is the project's DSN, like https://<key>@<host>/<number>.")
    try:
        parts = urlsplit(dsn.strip())
        host, port, key = parts.hostname or "", parts.port, parts.username or ""
    except ValueError:
        raise wrong from None
    folder, _, project = parts.path.rpartition("/")
    if not host or not re.fullmatch(r"[A-Za-z0-9]+", key) or not project.isdigit() or parts.query or parts.fragment:
        raise wrong
    host = f"[{host}]" if ":" in host else host
    url = f"{parts.scheme}://{host}{f':{port}' if port else ''}{folder}/api/{project}/envelope/"
    return settings.address(url, "The DSN"), key
