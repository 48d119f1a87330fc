"""What a channel is told, what it answers, and what it must be able to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Protocol

import aiohttp

Json = Any
Event = Literal["trigger", "acknowledge", "resolve", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a channel tells people about an alert, or about several that belong together.

    `facts` are pairs of label and value in the order to show them; `bar` is what is spent and its limit; `links` are
    pairs of label and absolute URL. `count` alerts are told of in this one. `reference` is what this channel's receipt
    for the trigger held: with it, news of the alert go where its first message is.
    """

    event: Event
    alert_id: int
    dedup_key: str
    kind: str
    severity: str
    summary: str
    at: datetime
    feature: str = ""
    tenant: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    bar: tuple[Decimal, Decimal] | None = None
    links: tuple[tuple[str, str], ...] = ()
    resolution: str = ""
    count: int = 1
    reference: str = ""

    @property
    def message_id(self) -> str:
        """The same for each attempt at telling the same, so that a receiver can tell a repetition; a test is new each time."""
        moment = f"-{self.at.timestamp() * 1000:.0f}" if self.event == "test" else ""
        return f"alert-{self.alert_id}-{self.event}{moment}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of a notice: whether it was taken, and what the other side said, at most 500 characters, no secrets.

    `permanent` says that to send it again is no use until somebody changes the channel; `retry_after_s` is the pause that
    the other side asked for. `reference` names the message where the channel can come back to it.
    """

    ok: bool
    status: int | None = None
    answer: str = ""
    retry_after_s: float | None = None
    permanent: bool = False
    reference: str = ""

    @property
    def partly(self) -> bool:
        """Taken, and yet with a refusal as its status: the mail server refused some of the recipients."""
        return self.ok and (self.status or 0) >= 400


class Channel(Protocol):
    """One kind of channel. `config` is the JSON of the channel's row, `secret` its decrypted secret."""

    async def send(
        self, notice: Notice, *, config: Mapping[str, Json], secret: str, http: aiohttp.ClientSession
    ) -> Receipt:
        """Tells it. Trouble of any kind, on the network or in the configuration, is a receipt and never an exception.

        `http` decides where connections may go; nothing follows a redirect.
        """
        ...

    def check(self, config: Mapping[str, Json], secret: str) -> None:
        """Raises ValueError, saying what to write instead, for what cannot work. Connects to nothing."""
        ...
