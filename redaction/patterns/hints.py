"""Which of many short strings a text has, told by its words: words are few and come again, texts are long and do not."""

import re
from collections.abc import Iterable

RUN = re.compile(r"\w+")
#: How many words are remembered at most: each by its hash alone, which Python keys anew in each process.
MOST_WORDS = 30_000


class Hints:
    """The strings, in small letters, and what is known of words seen so far. Safe from any thread."""

    def __init__(self, strings: Iterable[str]) -> None:
        #: Beginning of a word's part → the parts that begin so → the strings that need them.
        self._parts: dict[str, dict[str, list[str]]] = {}
        #: Strings that have no part of a word, or one of a single letter: each is searched for.
        self._odd: list[str] = []
        for string in dict.fromkeys(strings):
            part = max(RUN.findall(string), key=len, default="")
            if len(part) > 1:
                self._parts.setdefault(part[:2], {}).setdefault(part, []).append(string)
            else:
                self._odd.append(string)
        self._known: dict[int, tuple[str, ...]] = {}

    def __call__(self, text: str, words: Iterable[str]) -> set[str]:
        """Those of the strings that are in the text, which is in small letters; `words` are its runs of word characters."""
        likely = set(self._odd)
        known = self._known
        for word in words:
            hints = known.get(hash(word))
            if hints is None:
                hints = self._learn(word)
            if hints:
                likely.update(hints)
        return {string for string in likely if string in text}

    def _learn(self, word: str) -> tuple[str, ...]:
        hints: dict[str, None] = {}
        for at in range(len(word) - 1):
            for part, strings in self._parts.get(word[at : at + 2], {}).items():
                if word.startswith(part, at):
                    hints.update(dict.fromkeys(strings))
        if len(self._known) >= MOST_WORDS:
            self._known.clear()
        self._known[hash(word)] = tuple(hints)
        return tuple(hints)
