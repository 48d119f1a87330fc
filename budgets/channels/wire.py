"""One POST, bounded in time and size, without redirects; and what its answer means."""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import aiohttp

from budgets.channels.base import Receipt
from budgets.channels.render import clip, plain

#: Bytes of an answer that are read; the rest is not waited for.
MOST_READ = 262_144
ANSWER_CHARACTERS = 500
LONGEST_PAUSE_S = 3600.0
#: The shortest piece of a secret that is taken out of answers; shorter ones are ordinary words.
SHORTEST_SECRET = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: no status when nobody answered, and `text` says why."""

    status: int | None
    text: str
    retry_after_s: float | None = None


async def post(
    http: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float
) -> Answer:
    """Posts the body. Never raises for trouble on the network.

    An answer counts as soon as its status is there: what is missing of its text afterwards is only missing.
    """
    given = {"User-Agent": "Tollhouse", "Content-Type": "application/json; charset=utf-8", **headers}
    limits = aiohttp.ClientTimeout(total=timeout_s)
    text = b""
    try:
        async with http.post(url, data=body, headers=given, allow_redirects=False, timeout=limits) as response:
            pause = _pause(response.headers.get("Retry-After", ""))
            with suppress(aiohttp.ClientError, TimeoutError, OSError):
                while len(text) < MOST_READ and (more := await response.content.read(MOST_READ - len(text))):
                    text += more
            return Answer(response.status, text.decode(errors="replace"), pause)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return Answer(None, _trouble(error, timeout_s))


def _trouble(error: Exception, timeout_s: float) -> str:
    # In words of our own: those of the exception hold the URL, which can be the secret.
    match error:
        case TimeoutError():
            return f"No answer within {timeout_s:g} seconds."
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return f"No TLS connection to {error.host}: its certificate or its protocol is not accepted."
        case aiohttp.ClientConnectorError():
            return f"No connection to {error.host}: {error.os_error.strerror or type(error.os_error).__name__}"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return "The connection was cut before an answer came."
        case _:
            return f"Nothing was sent, or no answer could be read ({type(error).__name__})."


def _pause(value: str) -> float | None:
    """Seconds of a Retry-After header: a number or a date. None when it is neither."""
    seconds = None
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value.strip()):
        seconds = float(value)
    else:
        with suppress(ValueError):
            at = parsedate_to_datetime(value)
            seconds = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_PAUSE_S)


def refused(status: int) -> bool:
    """Whether the same request would be answered with this status again: it is the request's fault, or a redirect."""
    return 300 <= status < 500 and status not in (408, 425, 429)


def receipt(answer: Answer, *, secrets: Iterable[str], permanent: Callable[[int], bool] = refused) -> Receipt:
    """The receipt for an answer whose status says everything."""
    status = answer.status
    ok = status is not None and 200 <= status < 300
    told = answer.text.strip() or f"An answer without text, status {status}."
    if status is not None and 300 <= status < 400:
        told = f"A redirect ({status}), which is not followed. Write the address that it leads to."
    return Receipt(
        ok=ok,
        status=status,
        answer=without(told, secrets),
        retry_after_s=None if ok else answer.retry_after_s,
        permanent=status is not None and not ok and permanent(status),
    )


def without(told: str, secrets: Iterable[str]) -> str:
    """What the other side said, for logs and pages: on one line, short, and without the secrets or pieces of them."""
    pieces: set[str] = set()
    for secret in secrets:
        pieces |= {secret, quote(secret, safe=""), *re.split(r"[\s/?&=:@#+,;]+", secret)}
    for piece in sorted(pieces, key=len, reverse=True):
        if len(piece) >= SHORTEST_SECRET:
            told = told.replace(piece, "***")
    return clip(plain(told), ANSWER_CHARACTERS)
