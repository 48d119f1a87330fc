"""What only an installation or a tenant knows: texts that are no personal data, texts that never leave, patterns of its own."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from time import perf_counter
from typing import Any

from redaction.patterns.fold import Folded
from redaction.spans import Span

#: The entity of what a deny list names.
DENIED = "DENIED"
#: Bounds: texts in a list, characters of each; patterns, characters of each, and of what one can match.
MOST_TEXTS, MOST_TEXT = 1000, 200
MOST_PATTERNS, MOST_PATTERN, MOST_MATCH = 50, 500, 200
#: Ways in which a pattern may be tried at one place at most; each costs some nanoseconds, and none of them multiplies.
MOST_WAYS = 2_000
#: Patterns are tried in windows of so many characters, so that other threads and the deadline are looked at in between.
WINDOW = 4_000

NAME = re.compile(r"[A-Z][A-Z_]{2,29}")
WORD = re.compile(r"\w")
#: Python's own reading of a pattern: the one that its engine runs, so that nothing is judged that is not run.
_parser: Any = import_module("re._parser")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """Lists that hold for a `tenant`, or for all where it is empty.

    `allow` are texts that stay as they are, `deny` texts that are always found, `patterns` pairs of an entity's name and
    a regular expression. `outbound` is what happens to what the last two find; empty: what the policy does otherwise.
    """

    tenant: str = ""
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    patterns: tuple[tuple[str, str], ...] = ()
    outbound: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for what is too long, too much, or no bounded pattern; the message says what to do."""
        for word, texts in (("allow", self.allow), ("deny", self.deny)):
            if len(texts) > MOST_TEXTS:
                raise ValueError(f"{word}: at most {MOST_TEXTS} texts, not {len(texts)}.")
            for text in texts:
                if len(text) > MOST_TEXT or len(WORD.findall(text)) < 2:
                    raise ValueError(
                        f"{word}: {text[:40]!r} must be 2 letters or digits at least and {MOST_TEXT} characters at most."
                    )
        if len(self.patterns) > MOST_PATTERNS:
            raise ValueError(f"patterns: at most {MOST_PATTERNS}, not {len(self.patterns)}.")
        for name, pattern in self.patterns:
            if not NAME.fullmatch(name):
                raise ValueError(f"patterns: {name[:40]!r} must be 3 to 30 capital letters and underscores.")
            try:
                _compiled(pattern)
            except ValueError as error:
                raise ValueError(f"patterns: {name}: {error}") from None

    @property
    def finds(self) -> frozenset[str]:
        """The entities that these lists find."""
        return frozenset([name for name, _ in self.patterns] + [DENIED] * bool(self.deny))


def find(text: str, lists: Iterable[Lists], *, ends_at: float = math.inf) -> list[Span]:
    """What the deny lists name and the patterns match, overlaps included; offsets are those of the given text.

    Raises TimeoutError when it is not done at `ends_at`, by `perf_counter`.
    """
    reading = _Reading(text)
    found = []
    for one in lists:
        for denied in one.deny:
            found += [reading.span(*place, DENIED) for place in reading.places(denied)]
        for name, pattern in one.patterns:
            for window in _matches(_compiled(pattern), reading.folded.text):
                if perf_counter() > ends_at:
                    raise TimeoutError("the analysis took too long")
                found += [reading.span(*place, name) for place in window]
    return found


def without_allowed(text: str, found: list[Span], lists: Iterable[Lists]) -> list[Span]:
    """The findings that do not stand within a text of an allow list."""
    texts = [allowed for one in lists for allowed in one.allow]
    if not texts or not found:
        return found
    reading = _Reading(text)
    places = [reading.folded.origin(*place) for allowed in texts for place in reading.places(allowed)]
    return [span for span in found if not any(start <= span.start and span.end <= end for start, end in places)]


class _Reading:
    """A text as lists read it: as the patterns do, and in small letters of the same length."""

    def __init__(self, text: str) -> None:
        self.folded = Folded(text)
        self.lower = _small(self.folded.text)

    def places(self, text: str) -> Iterator[tuple[int, int]]:
        """Where a listed text stands as whole words, in letters of any case, with any blanks between its words."""
        first, pattern = _listed(text)
        at = self.lower.find(first)
        while at >= 0:
            if match := pattern.match(self.lower, at):
                yield match.span()
            at = self.lower.find(first, at + 1)

    def span(self, start: int, end: int, entity: str) -> Span:
        first, last = self.folded.origin(start, end)
        return Span(start=first, end=last, type=entity, score=1.0)


def _small(text: str) -> str:
    lower = text.lower()
    # Some capitals have small forms of two characters.
    return lower if len(lower) == len(text) else "".join(c.lower()[0] for c in text)


@lru_cache(maxsize=10_000)
def _listed(text: str) -> tuple[str, re.Pattern[str]]:
    words = _small(Folded(text).text).split()
    before, behind = r"(?<!\w)" * bool(WORD.match(words[0])), r"(?!\w)" * bool(WORD.match(words[-1][-1]))
    return words[0], re.compile(before + r"\s{1,9}".join(map(re.escape, words)) + behind)


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> re.Pattern[str]:
    """The pattern. Raises ValueError for one that is wrong, or that could take long on some text."""
    if len(pattern) > MOST_PATTERN:
        raise ValueError(f"write at most {MOST_PATTERN} characters.")
    try:
        parsed = _parser.parse(pattern)
        ways = _ways(parsed)
        least, most = parsed.getwidth()
        if not least:
            raise ValueError("it matches an empty text; let at least one character be required.")
        if most > MOST_MATCH:
            raise ValueError(
                f"it can match more than {MOST_MATCH} characters; write bounds such as {{1,20}} for + and *."
            )
        if ways > MOST_WAYS:
            raise ValueError("it can be tried in too many ways at one place; write fewer or narrower repetitions.")
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"it is no regular expression: {error or type(error).__name__}.") from None


def _ways(parsed: Any) -> int:
    """In how many ways the pattern can be tried at one place at most, however the text is made."""
    ways = 1
    for operation, value in parsed:
        match str(operation):
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN" | "AT":
                continue
            case "SUBPATTERN":
                ways *= _ways(value[-1])
            case "ATOMIC_GROUP":
                ways *= _ways(value)
            case "BRANCH":
                ways *= sum(map(_ways, value[1]))
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                ways *= _repeated(*value)
            case _:
                raise ValueError(
                    r"look-arounds, conditions and back-references are not possible; write \b for edges of words."
                )
        if ways > MOST_WAYS:
            raise ValueError("it can be tried in too many ways at one place; write fewer or narrower repetitions.")
    return ways


def _repeated(least: int, most: Any, inner: Any) -> int:
    if not isinstance(most, int) or most > MOST_MATCH:
        raise ValueError(f"repetitions need a bound of {MOST_MATCH} at most; write {{1,20}} for + and {{0,20}} for *.")
    ways, each = 0, _ways(inner)
    for times in range(int(least), int(most) + 1):
        ways += each**times
        if ways > MOST_WAYS:
            raise ValueError("it repeats what can be matched in several ways; write the inner repetition out.")
    return ways


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[list[tuple[int, int]]]:
    """The matches, window by window. A window is read beyond its end, as far as a match that begins in it can reach."""
    for start in range(0, len(text) or 1, WINDOW):
        until = start + WINDOW
        found = (match.span() for match in pattern.finditer(text, start, until + MOST_MATCH + 1))
        yield [place for place in found if place[0] < until]


def in_effect(lists: tuple[Lists, ...], tenant: str) -> tuple[Lists, ...]:
    """Those that hold for calls of a tenant."""
    return tuple(one for one in lists if one.tenant in ("", tenant))


def checked(allow: Any, deny: Any, patterns: Any, *, tenant: str = "", outbound: str = "") -> Lists:
    """Lists from JSON values. Raises ValueError with what to write, for other shapes too."""
    for word, texts in (("allow", allow), ("deny", deny)):
        if not (isinstance(texts, list) and all(isinstance(text, str) for text in texts)):
            raise ValueError(f'{word}: write a list of texts, e.g. ["Acme Ltd"].')
    if not (isinstance(patterns, Mapping) and all(isinstance(pattern, str) for pattern in patterns.values())):
        raise ValueError('patterns: write a table of names and regular expressions, e.g. {"EMPLOYEE": "E[0-9]{6}"}.')
    return Lists(
        tenant=tenant, allow=tuple(allow), deny=tuple(deny), patterns=tuple(patterns.items()), outbound=outbound
    )
