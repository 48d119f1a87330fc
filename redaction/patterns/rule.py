"""What one rule of the pattern tier is."""

import re
from collections.abc import Callable
from dataclasses import dataclass

#: How far from a value its context words may stand, in characters, before and behind it.
BEFORE, BEHIND = 70, 30
#: The score of a value that is not written as such values usually are, where a rule knows how they are.
UNUSUAL = 0.2
#: How far apart the digits of a value may stand that has several, in characters.
TOGETHER = 80
#: What a house's number is written like.
HOUSE_NUMBER = r"\d{1,5}[A-Za-z]?(?:[-/]\d{1,4}[A-Za-z]?)?"
#: The score of a value that has one of its context words beside it.
IN_CONTEXT = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A pattern, where to try it, and what has to be true of what it matches.

    The span is the group `value`, or the whole match. The pattern is tried only in windows that reach so many characters
    before and behind an anchor: a group of digits, where `digits` says how many there have to be at least within TOGETHER, or else one of
    the lower-case strings in `needs` or words in `words`; with neither, everywhere. Most texts then cost a few searches. With
    `behind`, only digits count that stand directly behind one of these, a comma and a blank aside; with `mixed`, only those that a
    letter stands beside. `within` is how many digits a window around a string must have. `first` says that the
    pattern begins with digits, with one of the words, with digits or the signs before a telephone number ("telephone"), with a
    house's number ("house"), or with a run of word characters and dots that has a dot before a letter ("dotted"), and is tried at
    these only. `longest` is the least length of the text's
    longest word, `shape` what has to be found in the text. `check` says whether the value is real (a checksum, a range), `usual`
    whether it is written as such values are; if not, it scores `UNUSUAL` only. `near` are context words that lift the score to `IN_CONTEXT`,
    `near_strings` with what one of them has to begin, where that can be told. Every
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
    usual: Callable[[str], bool] | None
    near: re.Pattern[str] | None
    near_strings: tuple[str, ...]
    group: str | int
    first: str
    behind: tuple[str, ...]
    longest: int
    mixed: bool
    within: int
    shape: re.Pattern[str] | None


def rule(
    entity: str,
    pattern: str,
    score: float,
    *,
    needs: str = "",
    digits: int = 0,
    reach: tuple[int, int] = (40, 200),
    check: Callable[[str], bool] | None = None,
    usual: Callable[[str], bool] | None = None,
    near: str = "",
    first: str = "",
    behind: str = "",
    longest: int = 0,
    mixed: bool = False,
    within: int = 0,
    shape: str = "",
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
        usual=usual,
        near=re.compile(rf"\b(?:{near})", re.IGNORECASE) if near else None,
        near_strings=_beginnings(near) if near else (),
        group="value" if "value" in compiled.groupindex else 0,
        first=first,
        behind=tuple(behind.split("|")) if behind else (),
        longest=longest,
        mixed=mixed,
        within=within,
        shape=re.compile(shape) if shape else None,
    )


def _beginnings(pattern: str) -> tuple[str, ...]:
    """With what each of the pattern's alternatives begins; none when one of them begins with less than two plain characters."""
    found = []
    for alternative in _alternatives(pattern):
        plain = re.match(r"(?:[\w ]|\\\.)*", alternative)[0]  # type: ignore[index]
        if alternative[len(plain) :].startswith(("?", "*", "{")):
            plain = plain[:-1]
        found.append(plain.replace("\\", "").lower())
    return tuple(found) if all(len(plain) > 1 for plain in found) else ()


def _alternatives(pattern: str) -> list[str]:
    """What stands between bars that are in no group."""
    found, depth = [""], 0
    for char in pattern:
        depth += (char == "(") - (char == ")")
        if char == "|" and not depth:
            found.append("")
        else:
            found[-1] += char
    return found
