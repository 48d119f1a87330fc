"""Slack: an incoming webhook, or a bot with a token.

The messages are made of the SDK's models. Its asynchronous clients are not used: they take proxies from the environment,
follow redirects, read answers of any length, and write the webhook's address, which is its secret, to the log at DEBUG.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlencode

import aiohttp
import orjson

from budgets.channels import config as settings
from budgets.channels.base import Json, Notice, Receipt
from budgets.channels.wire import Answer, post, receipt, without

API_URL = "https://slack.com/api/"
#: Errors of the Web API that pass; every other one stays until somebody changes the token, the channel or the app.
PASSING = {
    "ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout",
    "team_added_to_org", "org_login_required",
}  # fmt: skip
#: Errors that say that the first message is not to be had any more; a new one is posted then.
GONE = {"message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found", "is_inactive"}


class Slack:
    """Posts to a channel. The secret is the webhook's address, or a bot's token (`xoxb-…`).

    Settings: `channel` (a bot's; its id, or its name with #), `api_url` (that of GovSlack: https://slack-gov.com/api/).
    With a bot, news of an alert change its first message and are a reply to it; with a webhook they are a new message.
    """

    def check(self, config: Mapping[str, Json], secret: str) -> None:
        settings.known(config, "channel", "api_url")
        settings.address(settings.text(config, "api_url", API_URL), "api_url")
        if is_token(secret):
            if not settings.text(config, "channel"):
                raise ValueError("A bot needs a channel: its id (C…), or its name with a #.")
            return
        if not secret.startswith("http"):
            raise ValueError("The secret is a webhook's address (https://hooks.slack.com/…) or a bot's token (xoxb-…).")
        settings.address(secret, "The webhook's address")
        if "channel" in config:
            raise ValueError(
                "A webhook posts to the channel that it was made for; a bot's token is needed to choose one."
            )

    async def send(
        self, notice: Notice, *, config: Mapping[str, Json], secret: str, http: aiohttp.ClientSession
    ) -> Receipt:
        try:
            self.check(config, secret)
        except ValueError as error:
            return Receipt(ok=False, answer=str(error), permanent=True)
        # Here and below: the SDK takes long to load, and only who sends to Slack needs it.
        from budgets.channels.slack_message import message

        if is_token(secret):
            return await Bot(config, secret, http).tell(notice)
        return await post_to_webhook(config, secret, http, message(notice))


async def post_to_webhook(
    config: Mapping[str, Json], url: str, http: aiohttp.ClientSession, message: dict[str, Json]
) -> Receipt:
    """Posts a message to an incoming webhook, whose address is its secret."""
    answer = await post(http, url, orjson.dumps(message), {}, timeout_s=settings.timeout_s(config))
    # The host is no secret, and it is what people need to know when it cannot be reached.
    return receipt(answer, secrets=[url.partition("//")[2].partition("/")[2]])


class Bot:
    """The Web API with a token."""

    def __init__(self, config: Mapping[str, Json], token: str, http: aiohttp.ClientSession) -> None:
        self._token, self._http, self._timeout_s = token, http, settings.timeout_s(config)
        self._channel = settings.text(config, "channel")
        self._url = settings.text(config, "api_url", API_URL).rstrip("/")

    async def tell(self, notice: Notice) -> Receipt:
        """Posts the notice; news of an alert whose first message is known go there."""
        from budgets.channels.slack_message import message, reply

        place, _, first = notice.reference.partition(":")
        if notice.event in ("acknowledge", "resolve") and place and first:
            # First the change, which does no harm when it is repeated, and then the reply.
            changed, answer = await self.ask("chat.update", {"channel": place, "ts": first, **message(notice)})
            if changed.ok:
                said, _ = await self.ask("chat.postMessage", {"channel": place, "thread_ts": first, **reply(notice)})
                return replace(said, reference=notice.reference)  # not that of the reply
            if answer.get("error") not in GONE:
                return changed
        return await self.post(message(notice))

    async def post(self, message: dict[str, Json]) -> Receipt:
        """Posts a message to the channel of the settings. Its reference is `channel id:time`."""
        return (await self.ask("chat.postMessage", {"channel": self._channel, **message}))[0]

    async def put(self, url: str, content: bytes) -> Answer:
        """Sends a file's content to where Slack said that it takes it, without the token."""
        kind = {"Content-Type": "application/octet-stream"}
        return await post(self._http, url, content, kind, timeout_s=self._timeout_s)

    async def ask(
        self, method: str, body: dict[str, Json], *, as_form: bool = False
    ) -> tuple[Receipt, dict[str, Json]]:
        """The receipt, and what Slack said; empty when that was nothing of its API. Some methods take forms alone."""
        body |= {"unfurl_links": False, "unfurl_media": False} if method == "chat.postMessage" else {}
        headers, content = {"Authorization": f"Bearer {self._token}"}, orjson.dumps(body)
        if as_form:
            headers["Content-Type"], content = "application/x-www-form-urlencoded", urlencode(body).encode()
        answer = await post(self._http, f"{self._url}/{method}", content, headers, timeout_s=self._timeout_s)
        if answer.status is None or not 200 <= answer.status < 300:
            return receipt(answer, secrets=[self._token]), {}
        return self._read(answer)

    def _read(self, answer: Answer) -> tuple[Receipt, dict[str, Json]]:
        # Slack answers 200 to refusals as well; what counts is in the body.
        try:
            said = json.loads(answer.text)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            return Receipt(ok=False, status=answer.status, answer="The answer is not one of Slack's API."), {}
        if said.get("ok") is True:
            reference = f"{said.get('channel', '')}:{said.get('ts', '')}"[:200]
            return Receipt(ok=True, status=answer.status, answer="ok", reference=reference), said
        error = str(said.get("error", "unknown_error"))
        told = without(f"{error} {said.get('needed', '')}", [self._token])
        return Receipt(
            ok=False,
            status=answer.status,
            answer=told,
            retry_after_s=answer.retry_after_s,
            permanent=error not in PASSING,
        ), said


def is_token(secret: str) -> bool:
    """Whether a channel's secret is that of a bot; otherwise it is a webhook's address."""
    return (
        secret.startswith(("xoxb-", "xoxp-", "xoxe."))
        and secret.isascii()
        and secret.isprintable()
        and " " not in secret
    )
