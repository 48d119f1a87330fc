"""PagerDuty, Events API v2. The secret is the routing key of an integration.

Without PagerDuty's package: that brings an HTTP client of its own, which follows redirects and knows nothing of where this
gate may connect to, and the API is this one request.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace

import aiohttp
import orjson

from budgets.channels import config as settings
from budgets.channels import render
from budgets.channels.base import Json, Notice, Receipt
from budgets.channels.wire import post, receipt

URL = "https://events.pagerduty.com/v2/enqueue"
SUMMARY_CHARACTERS = 1024
KEY_CHARACTERS = 255


class PagerDuty:
    """Incidents that open, are acknowledged and are resolved by the alert's key.

    Settings: `url` (that of another region), `source` (which gate this is: keys of two gates on one integration are told
    apart by it).
    """

    def check(self, config: Mapping[str, Json], secret: str) -> None:
        settings.known(config, "url", "source")
        settings.address(settings.text(config, "url", URL), "url")
        settings.text(config, "source")
        if not re.fullmatch(r"[A-Za-z0-9]{32}", secret):
            raise ValueError("The secret is the integration's routing key: 32 letters and digits.")

    async def send(
        self, notice: Notice, *, config: Mapping[str, Json], secret: str, http: aiohttp.ClientSession
    ) -> Receipt:
        try:
            self.check(config, secret)
        except ValueError as error:
            return Receipt(ok=False, answer=str(error), permanent=True)
        if notice.event == "test":
            notice = replace(notice, dedup_key=notice.message_id)
        sent = await self._post(notice, config, secret, http)
        if notice.event == "test" and sent.ok:
            # What the test opened is closed at once; its receipt is that of the opening.
            await self._post(replace(notice, event="resolve"), config, secret, http)
        return sent

    async def _post(
        self, notice: Notice, config: Mapping[str, Json], secret: str, http: aiohttp.ClientSession
    ) -> Receipt:
        body = orjson.dumps(event(notice, routing_key=secret, source=settings.text(config, "source")))
        url = settings.text(config, "url", URL)
        return receipt(await post(http, url, body, {}, timeout_s=settings.timeout_s(config)), secrets=[secret])


def event(notice: Notice, *, routing_key: str, source: str = "") -> dict[str, Json]:
    """The body of the request, within PagerDuty's limits for any notice."""
    action = "trigger" if notice.event == "test" else notice.event
    found: dict[str, Json] = {"routing_key": routing_key, "event_action": action, "dedup_key": _key(notice, source)}
    if action != "trigger":
        return found
    links = [{"href": url, "text": label} for label, url in render.links(notice)]
    found |= {"payload": _payload(notice, source or "tollhouse"), "client": "Tollhouse", "links": links}
    return found | ({"client_url": links[0]["href"]} if links else {})


def _payload(notice: Notice, source: str) -> dict[str, Json]:
    severity = notice.severity if notice.severity in ("critical", "error", "warning", "info") else "warning"
    subject = f"{render.name(notice.feature)}: " if render.name(notice.feature) else ""
    found = {
        "summary": render.clip(subject + render.summary(notice), SUMMARY_CHARACTERS),
        "source": source,
        "severity": "info" if notice.event == "test" else severity,
        "timestamp": notice.at.isoformat(),
        "component": render.name(notice.feature),
        "group": render.name(notice.tenant),
        "class": render.name(notice.kind),
        "custom_details": _details(notice),
    }
    return {name: value for name, value in found.items() if value}


def _details(notice: Notice) -> dict[str, Json]:
    found: dict[str, Json] = dict(render.facts(notice))
    if notice.bar:
        found["Share of the limit"] = f"{render.cells(notice.bar)} {render.share(notice.bar)}%"
    return found | {"Alert": str(notice.alert_id), "Alerts in one": str(notice.count)}


def _key(notice: Notice, source: str) -> str:
    key = render.plain(f"{source}:{notice.dedup_key}" if source else notice.dedup_key)
    if render.units(key) <= KEY_CHARACTERS:
        return key
    # Cut, and still another key than one that begins alike.
    mark = hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"{render.clip(key, KEY_CHARACTERS - len(mark) - 1)}:{mark}"
