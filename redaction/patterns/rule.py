"""What one rule of the pattern tier is."""

import re
from collections.abc import Callable
from dataclasses import dataclass

#: How far from a value its context words may stand, in characters, before and behind it.
BEFORE, BEHIND = 70, 30
#: The score of a value that has one of its context words beside it.
IN_CONTEXT = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A pattern, where to try it, and what has to be true of what it matches.

    The span is the group `value`, or the whole match. The pattern is tried only in windows that reach so many characters
    before and behind an anchor: a group of digits, where `digits` says how many there have to be at least, or else one of
    the lower-case strings in `needs` or words in `words`; with neither, everywhere. Most texts then cost a few searches. With
    `behind`, only digits count that stand directly behind one of these, a comma and a blank aside. `first` says that the
    pattern begins with digits, or with one of the words, and is tried at these only. `longest` is the least length of the text's
    longest word. `check` says whether the value is real (a checksum, a range). `near` are context words that lift the score to `IN_CONTEXT`. Every
    repetition in a pattern is bounded, and a run of its characters is entered at its beginning only: time is linear.
    """

    entity: str
    pattern: re.Pattern[str]
    score: float
    needs: tuple[str, ...]
    words: frozenset[str]
    digits: int
    reach: tuple[int, int]
    check: Callable[[str], bool] | None
    near: re.Pattern[str] | None
    group: str | int
    first: str
    behind: tuple[str, ...]
    longest: int


def rule(
    entity: str,
    pattern: str,
    score: float,
    *,
    needs: str = "",
    digits: int = 0,
    reach: tuple[int, int] = (40, 200),
    check: Callable[[str], bool] | None = None,
    near: str = "",
    first: str = "",
    behind: str = "",
    longest: int = 0,
) -> Rule:
    """A rule, as tables write it, with bars between words.

    In `needs` a blank behind a word says that it is a whole one ("mr "), others may be parts of words; `near` is matched from
    word beginnings.
    """
    compiled = re.compile(pattern)
    given = needs.split("|") if needs else []
    return Rule(
        entity=entity,
        pattern=compiled,
        score=score,
        needs=tuple(word for word in given if not word.endswith(" ")),
        words=frozenset(word[:-1] for word in given if word.endswith(" ")),
        digits=digits,
        reach=reach,
        check=check,
        near=re.compile(rf"\b(?:{near})", re.IGNORECASE) if near else None,
        group="value" if "value" in compiled.groupindex else 0,
        first=first,
        behind=tuple(behind.split("|")) if behind else (),
        longest=longest,
    )
