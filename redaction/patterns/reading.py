"""A text as the rules read it, and the places where each rule is worth trying."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

from redaction.patterns.fold import Folded
from redaction.patterns.hints import Hints
from redaction.patterns.rule import HOUSE_NUMBER, TOGETHER, Rule


def _is_word(char: str) -> bool:
    """Whether a character, or none, is one of a word's, as `re` has it."""
    return char.isalnum() or char == "_"


DIGITS = re.compile(r"\d+")
WORD = re.compile(r"\w+")
#: Blanks for what is in no word, among the characters of ASCII; much faster than the pattern.
BLANKS = str.maketrans(dict.fromkeys((chr(code) for code in range(128) if not _is_word(chr(code))), " "))
HOUSE = re.compile(rf"\b(?<![.,:/-]){HOUSE_NUMBER}(?: ?(?:bis|ter|quater))?,? \w")
DOT = re.compile(r"\.[^\W\d_]")
#: A window ends at a blank, which is at most this far from where it would.
STRETCH = 64

#: Where digits stand: from, to.
Number = tuple[int, int]
#: Where a pattern is tried: from, to.
Window = tuple[int, int]


class Reading:
    """A text as the rules read it. What is found out about it is found out once, and only when a rule asks."""

    def __init__(self, text: str, hints: Hints) -> None:
        self.folded = Folded(text)
        self.text = self.folded.text
        lower = self.text.lower()
        # Some capitals have small forms of two characters.
        self.lower = lower if len(lower) == len(self.text) else "".join(c.lower()[0] for c in self.text)
        self.words = _words(self.lower)
        #: Strings that rules need, and beginnings of their context words, as far as the text has them.
        self.strings, self.beginnings = hints(self.lower, self.words)
        self.longest = max(map(len, self.words), default=0)
        self._numbers: list[Number] = [match.span() for match in DIGITS.finditer(self.text)]
        self.digits = sum([end - start for start, end in self._numbers])
        self._around: list[tuple[int, int]] | None = None
        self._beside_letters: set[Number] | None = None
        self._before: dict[Number, int] | None = None
        self._house_numbers: list[int] | None = None
        self._near: dict[tuple[Any, ...], list[Window]] = {}
        self._many: dict[tuple[int, bool], list[Number]] = {}
        self._places: dict[str, list[int]] = {}

    def matches(self, rule: Rule) -> Iterator[re.Match[str]]:
        """What the rule's pattern matches."""
        return self._at(rule) if rule.first else self._within(rule)

    def windows(self, rule: Rule) -> Iterator[tuple[int, int]]:
        """The ranges in which the rule's pattern is to be tried, in order and apart."""
        if self.longest < rule.longest:
            return
        there = [*self.strings.intersection(rule.needs), *self.words.intersection(rule.words)]
        if (rule.needs or rule.words) and not there:
            return
        if rule.digits:
            for start, end in self._near_digits(rule):
                if not there or any(self.lower.find(word, start, end) >= 0 for word in there):
                    yield start, end
        elif there:
            places = [at for word in rule.needs if word in self.strings for at in _all(self.lower, word)]
            places += [at for word in rule.words & self.words for at in self._whole(word)]
            for start, end in self._apart([(at, at) for at in sorted(places)], rule.reach):
                if not rule.within or self._digits_in(start, end) >= rule.within:
                    yield start, end
        else:
            yield 0, len(self.text)

    def _within(self, rule: Rule) -> Iterator[re.Match[str]]:
        for start, end in self.windows(rule):
            yield from rule.pattern.finditer(self.text, start, end)

    def _at(self, rule: Rule) -> Iterator[re.Match[str]]:
        """What the pattern matches where it can begin."""
        if rule.first == "words":
            begin = sorted([at for word in rule.words & self.words for at in self._whole(word)])
            if rule.digits:
                begin = [at for first, last in self._near_digits(rule) for at in _between(begin, first, last)]
        elif rule.first == "dotted":
            begin = self._dotted()
        elif rule.first == "telephone":
            begin = [
                at for number, _ in self._numbers_with(rule.digits, ahead=True) for at in self._signs_before(number)
            ]
        elif rule.first == "house":
            begin = self._houses()
        else:
            begin = [at for at, _ in self._numbers_with(rule.digits, ahead=True)]
        over, match = 0, rule.pattern.match
        for at in begin:
            if at >= over and (found := match(self.text, at)):
                yield found
                over = found.end()

    def _digits_in(self, start: int, end: int) -> int:
        """How many digits begin in a range, by numbers: those of a number that begins in it count all."""
        numbers = self._numbers
        first, last = bisect_left(numbers, (start, 0)), bisect_left(numbers, (end, 0))
        return sum([until - at for at, until in numbers[first:last]])

    def _dotted(self) -> list[int]:
        """Where runs of word characters, dots and hyphens begin that have a dot before a letter."""
        text, over = self.text, 0
        found: list[int] = []
        for match in DOT.finditer(text):
            at = match.start()
            while at > over and (text[at - 1] in ".-" or _is_word(text[at - 1])):
                at -= 1
            if at > over or not found:
                found.append(at)
            over = match.start()
        return found

    def _signs_before(self, number: int) -> Iterator[int]:
        """Where a number may begin: at brackets and a plus before it, and at its first digit."""
        for at in range(max(0, number - 2), number):
            if self.text[at] in "(+" and (at == number - 1 or self.text[number - 1] in "(+"):
                yield at
        yield number

    def _houses(self) -> list[int]:
        """Where numbers begin that a word or another number stands behind, as it does behind a house's."""
        if self._house_numbers is None:
            house, text = HOUSE.match, self.text
            self._house_numbers = [at for at, _ in self._numbers if house(text, at)]
        return self._house_numbers

    def _whole(self, word: str) -> list[int]:
        """Where the word stands as a whole one."""
        places = self._places.get(word)
        if places is None:
            lower, size = self.lower, len(word)
            places = self._places[word] = [
                at
                for at in _all(lower, word)
                if not _is_word(lower[at - 1 : at]) and not _is_word(lower[at + size : at + size + 1])
            ]
        return places

    def _numbers_with(self, digits: int, *, ahead: bool = False) -> list[Number]:
        """The numbers with so many digits close to them, on both sides, or from their beginning on."""
        if digits <= 1:
            return self._numbers
        if digits > self.digits:
            return []
        found = self._many.get((digits, ahead))
        if found is None:
            if self._around is None:
                self._around = self._count()
            found = [
                number for number, counts in zip(self._numbers, self._around, strict=True) if counts[ahead] >= digits
            ]
            self._many[digits, ahead] = found
        return found

    def _count(self) -> list[tuple[int, int]]:
        """For each number how many digits stand close to it on both sides, and from its beginning on."""
        starts, ends, before = [], [], [0]
        for start, end in self._numbers:
            starts.append(start)
            ends.append(end)
            before.append(before[-1] + end - start)
        counts = []
        for at, (start, end) in enumerate(self._numbers):
            last = before[bisect_right(starts, end + TOGETHER)]
            counts.append((last - before[bisect_left(ends, start - TOGETHER)], last - before[at]))
        return counts

    def _near_digits(self, rule: Rule) -> list[Window]:
        same = (rule.digits, rule.reach, rule.behind, rule.mixed)
        found = self._near.get(same)
        if found is None:
            numbers = self._numbers_with(rule.digits)
            if rule.mixed:
                mixed = self._mixed()
                numbers = [number for number in numbers if number in mixed]
            if rule.behind:
                lower, behind, ends = self.lower, rule.behind, self._ends()
                numbers = [number for number in numbers if lower.endswith(behind, 0, ends[number])]
            found = self._near[same] = self._apart(numbers, rule.reach)
        return found

    def _mixed(self) -> set[Number]:
        """The numbers that a letter stands beside."""
        if self._beside_letters is None:
            text = self.text
            self._beside_letters = {
                (start, end)
                for start, end in self._numbers
                if _is_word(text[start - 1 : start]) or _is_word(text[end : end + 1])
            }
        return self._beside_letters

    def _ends(self) -> dict[Number, int]:
        """For each number where what stands before it ends, a blank and a comma aside."""
        if self._before is None:
            self._before = {}
            lower = self.lower
            for number in self._numbers:
                at = number[0]
                if lower[at - 1 : at].isspace():
                    at -= 1
                if lower[at - 1 : at] == ",":
                    at -= 1
                self._before[number] = at
        return self._before

    def _apart(self, anchors: Iterable[Number], reach: tuple[int, int]) -> list[Window]:
        """Windows around anchors, those that meet as one, stretched to the next blank so that none ends within a word."""
        before, behind = reach
        windows: list[Window] = []
        start, end = 0, -1
        for first, last in anchors:
            if first - before > end + STRETCH:
                if end >= 0:
                    windows.append((start, self._blank(end)))
                start = first - before if first > before else 0
            if last + behind > end:
                end = last + behind
        if end >= 0:
            windows.append((start, self._blank(end)))
        return windows

    def _blank(self, end: int) -> int:
        if end >= len(self.text):
            return len(self.text)
        blank = self.text.find(" ", end, end + STRETCH)
        return blank if blank >= 0 else min(end + STRETCH, len(self.text))


def _words(lower: str) -> set[str]:
    """What is in the text between signs and blanks."""
    if lower.isascii():
        return set(lower.translate(BLANKS).split())
    words, rest = set(), []
    for word in set(lower.split()):
        if word.isalnum():
            words.add(word)
        else:
            rest.append(word)
    words.update(WORD.findall(" ".join(rest)))
    return words


def _between(places: list[int], first: int, last: int) -> list[int]:
    return places[bisect_left(places, first) : bisect_left(places, last)]


def _all(text: str, word: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + 1)
