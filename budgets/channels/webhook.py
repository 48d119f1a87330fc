"""Signed webhooks, as https://www.standardwebhooks.com describes them. The secret signs; the address is in the settings."""

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime

import aiohttp
import orjson
import standardwebhooks

from budgets.channels import config as settings
from budgets.channels import render
from budgets.channels.base import Json, Notice, Receipt
from budgets.channels.wire import post, receipt

#: Changes when a field of the body gets another meaning or goes; fields may be added without.
VERSION = 1
TYPES = {
    "trigger": "alert.triggered",
    "acknowledge": "alert.acknowledged",
    "resolve": "alert.resolved",
    "test": "alert.test",
}


class Webhook:
    """A JSON body to an address of the receiver's, signed so that it can tell who sent it.

    Settings: `url`. The secret is `whsec_` and 24 to 64 bytes in base64; while one is replaced by another both stand
    there, with a space between, and each request has both signatures.
    """

    def check(self, config: Mapping[str, Json], secret: str) -> None:
        settings.known(config, "url")
        settings.address(settings.text(config, "url"), "url")
        if not secret.split() or not all(_is_key(one) for one in secret.split()):
            raise ValueError("The secret is whsec_ and 24 to 64 bytes in base64; several have a space between them.")

    async def send(
        self, notice: Notice, *, config: Mapping[str, Json], secret: str, http: aiohttp.ClientSession
    ) -> Receipt:
        try:
            self.check(config, secret)
        except ValueError as error:
            return Receipt(ok=False, answer=str(error), permanent=True)
        content = body(notice)
        headers = sign(notice.message_id, content, secret.split(), at=datetime.now(UTC))
        answer = await post(http, settings.text(config, "url"), content, headers, timeout_s=settings.timeout_s(config))
        # Only "gone" and redirects are for good: a receiver that is deployed or set up anew answers 404 or 401 for a while.
        return receipt(answer, secrets=secret.split(), permanent=lambda status: status == 410 or 300 <= status < 400)


def sign(message_id: str, content: bytes, secrets: list[str], *, at: datetime) -> dict[str, str]:
    """The three headers. `at` must be in UTC: the library takes its clock face for UTC whatever its zone is."""
    signatures = [standardwebhooks.Webhook(secret).sign(message_id, at, content.decode()) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def body(notice: Notice) -> bytes:
    """The JSON that a receiver gets; docs/channels.md describes it."""
    bar = notice.bar and {"spent": f"{notice.bar[0]:f}", "limit": f"{notice.bar[1]:f}"}
    data = {
        "version": VERSION,
        "alert": notice.alert_id,
        "dedup_key": render.clip(render.plain(notice.dedup_key), 255),
        "kind": render.name(notice.kind),
        "severity": notice.severity,
        "summary": render.summary(notice),
        "feature": render.name(notice.feature),
        "tenant": render.name(notice.tenant),
        "count": notice.count,
        "resolution": render.resolution(notice),
        "budget": bar,
        "facts": [{"label": label, "value": value} for label, value in render.facts(notice)],
        "links": [{"label": label, "url": url} for label, url in render.links(notice)],
    }
    return orjson.dumps({"type": TYPES[notice.event], "timestamp": notice.at.isoformat(), "data": data})


def _is_key(secret: str) -> bool:
    encoded = secret.removeprefix("whsec_")
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        return False
    return secret.startswith("whsec_") and 24 <= len(raw) <= 64
