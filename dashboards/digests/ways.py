"""The ways on which a digest leaves: a mail server, Slack's bot, Slack's webhook. Each answers with a receipt."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import aiohttp

from budgets.channels import Receipt
from budgets.channels.email import deliver
from budgets.channels.slack import Bot, Slack, is_token, post_to_webhook
from budgets.channels.slack_files import upload
from budgets.channels.wire import without
from budgets.models import Channel
from dashboards.digests.content import Content
from dashboards.digests.pictures import CannotDraw
from gateway import alerting

#: Each step of a mail's way may take half of the first; what goes to Slack at once the second. Less than a lease.
MAIL_S, SLACK_S = 60.0, 120.0
WITHOUT_IMAGES = "Charts are left out: an incoming webhook takes no images, a bot's token does."

#: Asked before something leaves: whether it is still this worker's to send.
Holds = Callable[[], bool]
TAKEN = Receipt(ok=False, answer="Another worker has taken it.")


def mail(content: Content, to: list[str], key: str, holds: Holds) -> Receipt:
    """Sends it by the project's mail server. `key` makes the message's id: the same at each attempt."""
    # Here and below: what is needed to draw and to write takes long to load, and only who sends needs it.
    from dashboards.digests.letter import compose

    letter, problem = compose(content, to, key)
    if not holds():
        return TAKEN
    return _with(deliver(lambda: letter, "", MAIL_S), problem)


def slack(content: Content, channel: Channel, posted: str, note: Callable[[str], None], holds: Holds) -> Receipt:
    """Posts it to Slack. `posted` is the reference of its message where that is there already, `note` keeps it."""
    from dashboards.digests.slack import comment, files, message

    if channel.kind != "slack" or not channel.active:
        return _never(f"The channel {channel} is inactive, or is none of Slack's: choose another.")
    try:
        secret = alerting.secret(channel)
        Slack().check(channel.config, secret)
    except ValueError as error:
        return _never(str(error))
    if not is_token(secret):
        told = message(content, WITHOUT_IMAGES)
        return _ask(holds, lambda http: post_to_webhook(channel.config, secret, http, told))
    problem, images = "", []
    try:
        images = files(content)
    except CannotDraw as error:
        problem = str(error)
    found = Receipt(ok=True, answer="ok", reference=posted)
    if not posted:
        told = message(content, problem)
        found = _ask(holds, lambda http: Bot(channel.config, secret, http).post(told))
        if found.ok:
            note(found.reference)
    if found.ok and images:
        place, words = found.reference.partition(":")[0], comment(content)
        found = _ask(holds, lambda http: upload(Bot(channel.config, secret, http), images, place, words))
        if not found.ok:
            problem = f"{problem} So the charts are missing; the figures are in Slack.".strip()
    return replace(found, answer=without(_with(found, problem).answer, [secret]))


def _ask(holds: Holds, ask: Callable[[aiohttp.ClientSession], Awaitable[Receipt]]) -> Receipt:
    async def bounded() -> Receipt:
        async with alerting.open_http([]) as http, asyncio.timeout(SLACK_S):
            return await ask(http)

    if not holds():
        return TAKEN
    try:
        return asyncio.run(bounded())
    except TimeoutError:
        return Receipt(ok=False, answer=f"There was no answer within {SLACK_S:g} seconds.")


def _with(receipt: Receipt, problem: str) -> Receipt:
    """The receipt, with a sentence more."""
    told = receipt.answer if not problem or receipt.answer.endswith(".") else f"{receipt.answer}."
    return replace(receipt, answer=f"{told} {problem}".strip()[:500])


def _never(why: str) -> Receipt:
    return Receipt(ok=False, answer=why[:500], permanent=True)
