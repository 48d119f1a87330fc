"""Words, figures and signs that all channels share."""

import re
from collections.abc import Callable
from datetime import UTC
from decimal import ROUND_FLOOR, Decimal

from budgets.channels.base import Notice

SIGNS = {"critical": "🔴", "warning": "🟠", "info": "🔵", "resolved": "✅", "acknowledged": "👀", "test": "🔔"}
BAR_CELLS = 20
#: What one notice can be made of at the most, so that no message grows beyond what services take.
MOST_FACTS, MOST_LINKS = 30, 10
SUMMARY, NAME, LABEL, VALUE, URL = 3000, 200, 200, 2000, 3000
#: Control characters, line separators, and signs that change the direction of all text after them: a tenant's name must
#: not move or hide what stands beside it. Letters that are written from right to left stay as they are.
UNPRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]+")


def plain(text: str) -> str:
    """Text of others on one line, without characters that are not to be seen."""
    return " ".join(UNPRINTED.sub(" ", text).split())


def units(text: str) -> int:
    """Length as the strictest of the services counts it: an emoji is two (UTF-16)."""
    return len(text) + sum(character > "\uffff" for character in text)


def clip(text: str, most: int, *, measure: Callable[[str], int] = units) -> str:
    """The text when it measures at most `most`, else as much of its beginning as does with a "…" behind it.

    `measure` is the sum of what each character measures, e.g. once it is escaped.
    """
    if measure(text) <= most:
        return text
    room, taken = most - measure("…"), 0
    while taken < len(text) and (room := room - measure(text[taken])) >= 0:
        taken += 1
    return text[:taken].rstrip(" \u200d") + "…"


def share(bar: tuple[Decimal, Decimal]) -> int:
    """Percent of the limit that is spent, rounded down so that only what reaches the limit says 100."""
    spent, limit = bar
    if limit <= 0:
        return 100
    return int((100 * max(spent, Decimal()) / limit).to_integral_value(ROUND_FLOOR))


def cells(bar: tuple[Decimal, Decimal]) -> str:
    """The bar in characters, full from the limit on."""
    full = min(share(bar), 100) * BAR_CELLS // 100
    return "█" * full + "░" * (BAR_CELLS - full)


def status(notice: Notice) -> str:
    """One word for where the alert stands."""
    words = {"acknowledge": "acknowledged", "resolve": "resolved", "test": "test"}
    return words.get(notice.event) or notice.severity


def title(notice: Notice) -> str:
    """Sign, subject and status on one line: `🔴 support.reply · critical`."""
    word = plain(status(notice))
    return f"{SIGNS.get(word, SIGNS['info'])} {name(notice.feature) or 'Tollhouse'} · {word}"


def summary(notice: Notice) -> str:
    """The sentence; never empty, as services refuse messages without text."""
    return clip(plain(notice.summary), SUMMARY) or "An alert without a summary."


def name(text: str) -> str:
    """A name that others gave: of a feature, a tenant, a kind."""
    return clip(plain(text), NAME)


def resolution(notice: Notice) -> str:
    """Why the alert is over, if it is."""
    return clip(plain(notice.resolution), SUMMARY) if notice.event == "resolve" else ""


def facts(notice: Notice) -> list[tuple[str, str]]:
    """Labels and values, cleaned; those without a label or a value are not facts."""
    found = [(clip(plain(label), LABEL), clip(plain(value), VALUE)) for label, value in notice.facts]
    return [fact for fact in found if all(fact)][:MOST_FACTS]


def links(notice: Notice) -> list[tuple[str, str]]:
    """Labels and addresses; what is no address of a page (`javascript:`) is left out."""
    return [
        (clip(plain(label), LABEL) or "Open", url)
        for label, url in notice.links
        if re.fullmatch(r"https?://[!-~]+", url) and len(url) <= URL and not set(url) & set("<>|\"'`\\")
    ][:MOST_LINKS]


def moment(notice: Notice) -> str:
    """When it happened, in UTC."""
    return f"{notice.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def origin(notice: Notice) -> list[str]:
    """Where the alert comes from, in short pieces: kind, tenant, number, how many."""
    found = [name(notice.kind).replace("_", " "), f"tenant {name(notice.tenant)}" if name(notice.tenant) else ""]
    if notice.event != "test":
        found.append(f"alert {notice.alert_id}")
    if notice.count > 1:
        found.append(f"{notice.count} alerts in one")
    return [piece for piece in found if piece]


def body(notice: Notice) -> str:
    """All of it in lines of plain text."""
    lines = [summary(notice)]
    lines += [f"Resolved: {resolution(notice)}"] if resolution(notice) else []
    if notice.bar:
        lines += ["", f"{cells(notice.bar)} {share(notice.bar)}% of the limit"]
    lines += ["", *(f"{label}: {value}" for label, value in facts(notice))] if facts(notice) else []
    lines += ["", *(f"{label}: {url}" for label, url in links(notice))] if links(notice) else []
    return "\n".join([*lines, "", " · ".join([*origin(notice), moment(notice)])])
