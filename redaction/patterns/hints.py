"""Which of many short strings a text has, told by its words: words are few and come again, texts are long and do not."""

import re
from collections.abc import Iterable

RUN = re.compile(r"\w+")
#: How many words are remembered at most: each by its hash alone, which Python keys anew in each process.
MOST_WORDS = 30_000


class Hints:
    """Strings, in small letters, that are to stand anywhere, or only at beginnings of words; and what is known of words seen so far.

    Safe from any thread.
    """

    def __init__(self, anywhere: Iterable[str], beginnings: Iterable[str] = ()) -> None:
        #: A part of a word → the strings that need it, and whether at a word's beginning only.
        self._parts: dict[str, list[tuple[str, bool]]] = {}
        #: Strings that have no part of a word, or one of a single letter: each is searched for.
        self._odd: list[tuple[str, bool]] = []
        for string in dict.fromkeys(anywhere):
            part = max(RUN.findall(string), key=len, default="")
            if len(part) > 1:
                self._parts.setdefault(part, []).append((string, False))
            else:
                self._odd.append((string, False))
        for string in dict.fromkeys(beginnings):
            part = RUN.findall(string)[0]
            if len(part) > 1:
                self._parts.setdefault(part, []).append((string, True))
            else:
                self._odd.append((string, True))
        self._known: dict[int, tuple[tuple[str, bool], ...]] = {}

    def __call__(self, text: str, words: Iterable[str]) -> tuple[set[str], set[str]]:
        """The strings that are in the text, which is in small letters, and those that begin words; `words` are all of its words."""
        likely, new = set(self._odd), []
        known = self._known
        for word in words:
            hints = known.get(hash(word))
            if hints is None:
                new.append(word)
            elif hints:
                likely.update(hints)
        if new:
            likely.update(self._learn(new))
        there = [(string, begins) for string, begins in likely if string in text]
        return {string for string, begins in there if not begins}, {string for string, begins in there if begins}

    def _learn(self, words: list[str]) -> set[tuple[str, bool]]:
        """What the words say; all at once, as most have no part in common with any string."""
        together = " ".join(words)
        hints: dict[str, list[tuple[str, bool]]] = {}
        for part, strings in self._parts.items():
            if part in together:
                for word in words:
                    if part in word:
                        hints.setdefault(word, []).extend(one for one in strings if not one[1] or word.startswith(part))
        if len(self._known) + len(words) > MOST_WORDS:
            self._known.clear()
        self._known.update((hash(word), tuple(hints.get(word, ()))) for word in words[:MOST_WORDS])
        return {one for found in hints.values() for one in found}
