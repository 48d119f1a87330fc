"""Files in Slack, as the SDK's `files_upload_v2` brings them there: an address for each, its content, then one message of all.

A bot needs the scope files:write. A webhook cannot take files.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from budgets.channels import config as settings
from budgets.channels.base import Receipt
from budgets.channels.render import clip, plain
from budgets.channels.slack import Bot
from budgets.channels.wire import receipt

TITLE, ALT, COMMENT = 200, 1000, 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An image with its title, and what is told of it to those who do not see it."""

    name: str
    title: str
    alt: str
    content: bytes


async def upload(bot: Bot, files: Sequence[File], channel: str, comment: str) -> Receipt:
    """Posts the files as one message, with a comment in Slack's markup. `channel` is an id.

    Nothing is seen of them before the last request: what fails earlier can be done again.
    """
    taken = []
    for file in files:
        body = {"filename": file.name, "length": len(file.content), "alt_txt": clip(plain(file.alt), ALT)}
        asked, said = await bot.ask("files.getUploadURLExternal", body, as_form=True)
        if not asked.ok:
            return asked
        try:
            url = settings.address(str(said.get("upload_url", "")), "The address for a file")
        except ValueError as error:
            return Receipt(ok=False, status=asked.status, answer=f"Slack named no address for a file: {error}")
        answer = await bot.put(url, file.content)
        if answer.status != 200:
            return receipt(answer, secrets=[urlsplit(url).path])
        taken.append({"id": str(said.get("file_id", "")), "title": clip(plain(file.title), TITLE)})
    message = {"files": json.dumps(taken), "channel_id": channel, "initial_comment": clip(comment, COMMENT)}
    return (await bot.ask("files.completeUploadExternal", message, as_form=True))[0]
