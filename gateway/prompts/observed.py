"""Observed versions: prompts that callers bring themselves get an address too, so that none is nameless."""

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import partial
from time import perf_counter
from typing import Protocol

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection

from gateway.identify import Identified
from gateway.models import Feature, Prompt, PromptVersion
from gateway.prompts.address import address
from gateway.types import Json
from redaction.engine import spans
from redaction.policies import Policy

logger = logging.getLogger("tollhouse.prompts")

#: How many new observed versions a feature may add in a day, so that texts made per call cannot fill the table.
MOST_PER_DAY = 50
#: How long one may be looked through.
MOST_SECONDS = 5.0


class Observer(Protocol):
    """Something that knows the addresses of prompts that callers bring."""

    def address_of(self, feature: str, text: str, policy: Policy) -> str:
        """The address of a system message that a policy let go out."""

    async def close(self) -> None:
        """Waits for what is under way."""


class Observed:
    """Which observed versions this process has recorded, and the recording of new ones, off the calls' way."""

    def __init__(self) -> None:
        #: By the text's hash: texts are as long as callers like.
        self._addresses: dict[bytes, str] = {}
        self._day: date | None = None
        self._seen: set[tuple[str, str]] = set()
        self._counts: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def address_of(self, feature: str, text: str, policy: Policy) -> str:
        """The address of the system message, recorded at its first sight, up to the feature's cap.

        One that went out with personal data in it has its address only, unless the policy keeps the full text.
        """
        # PostgreSQL has no NUL in any text.
        text = text.replace("\0", "\ufffd")
        hashed = hashlib.blake2b(text.encode(), digest_size=16).digest()
        if hashed not in self._addresses:
            if len(self._addresses) >= 10_000:
                self._addresses.clear()
            self._addresses[hashed] = address(_content(text))
        found = self._addresses[hashed]
        self._note(feature, found, text, policy)
        return found

    def _note(self, feature: str, found: str, text: str, policy: Policy) -> None:
        if (feature, found) in self._seen:
            return
        today = datetime.now(UTC).date()
        if today != self._day:
            self._day, self._counts = today, Counter()
        if self._counts[feature] >= MOST_PER_DAY:
            return
        self._counts[feature] += 1
        self._seen.add((feature, found))
        task = asyncio.create_task(
            sync_to_async(partial(_record, feature, found, text, policy), thread_sensitive=False)()
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Waits for recordings under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)


def observe(call: Identified, body: Mapping[str, Json], observed: Observer) -> str:
    """The address of the (redacted) system message that a call brought; empty when it brought none."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return ""
    for message in messages:
        if message.get("role") in ("system", "developer") and isinstance(message.get("content"), str):
            return observed.address_of(call.feature.slug, message["content"], call.policy)
    return ""


def _content(text: str) -> dict[str, Json]:
    return {"messages": [{"role": "system", "content": text}]}


def _record(feature: str, found: str, text: str, policy: Policy) -> None:
    try:
        if _is_raw(text, policy):
            return
        row = Feature.objects.filter(slug=feature).first()
        if row is None:
            return
        prompt, _ = Prompt.objects.get_or_create(feature=row)
        PromptVersion.objects.get_or_create(
            prompt=prompt, address=found, defaults={"content": _content(text), "origin": PromptVersion.Origin.OBSERVED}
        )
    except DatabaseError as error:
        # Without its message and traceback, which may quote the text.
        logger.warning("observed version %s of %s could not be recorded: %s", found[:8], feature, type(error).__name__)
    finally:
        connection.close()


def _is_raw(text: str, policy: Policy) -> bool:
    """Whether the text, as it went out, holds personal data that the policy does not let be kept."""
    if policy.stored_of("system") == "full" or policy.changes_all("system"):
        return False
    try:
        return bool(spans(text, policy, ends_at=perf_counter() + MOST_SECONDS))
    except Exception as error:  # noqa: BLE001  (whatever fails in a recogniser, the text must not be kept unchecked)
        logger.warning("an observed version could not be checked: %s", type(error).__name__)
        return True
