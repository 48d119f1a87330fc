"""Text as the patterns read it: without invisible characters, in compatible forms, with offsets back to the original."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence

#: Letters of other scripts that look like Latin ones (Unicode TR 39, confusables.txt: those alike in most fonts).
CYRILLIC = dict(zip("аеорсухіјѕԁһԛԝАВЕКМНОРСТУХІЈЅ", "aeopcyxijsdhqwABEKMHOPCTYXIJS", strict=True))
GREEK = dict(zip("οαονΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "oaovABEZHIKMNOPTYX", strict=True))
LOOKALIKES = str.maketrans(CYRILLIC | GREEK)
MIXED = re.compile(r"\b(?=\w{0,60}[A-Za-z])(?=\w{0,60}[\u0370-\u03ff\u0400-\u04ff\u0500-\u052f])\w{1,60}")
OTHER_SCRIPT = re.compile("[\u0370-\u052f]")
#: Punctuation that NFKC leaves alone, and that people and their editors use for its plain form.
PLAIN = dict(zip("‘’‚‛“”„‟‐‑‒–—―−", "''''\"\"\"\"-------", strict=True))


#: So many kinds of characters are replaced one kind after the other, which takes less than looking at each character.
FEW = 16


class _Fold(dict[int, str]):
    """Character → what it is read as, filled as characters are met."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if unicodedata.category(char) == "Cf":  # zero-width, direction marks, soft hyphen
            folded = ""
        elif char in PLAIN:
            folded = PLAIN[char]
        elif (digit := unicodedata.decimal(char, None)) is not None:
            folded = str(digit)
        elif unicodedata.category(char) in ("Zs", "Zl", "Zp"):
            folded = " " if char == "\u00a0" or unicodedata.category(char) == "Zs" else "\n"
        else:
            folded = unicodedata.normalize("NFKC", char)
        self[code] = folded
        return folded


FOLD = _Fold()


class Folded:
    """A text as it is read. `origin(start, end)` are the offsets in the original."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._at: Sequence[int] | None = None
        if text.isascii():
            return
        folded = {char: FOLD[ord(char)] for char in set(text) if char > "\x7f"}
        odd = {char: plain for char, plain in folded.items() if plain != char}
        if all(len(plain) == 1 for plain in odd.values()):
            self.text = _replaced(text, odd)
        else:
            pieces = [odd.get(char, char) for char in text]
            at, position = [], 0
            for piece in pieces:
                at.append(position)
                position += len(piece)
            self._at, self.text = at, "".join(pieces)
        if any(map(OTHER_SCRIPT.search, folded.values())):
            self.text = MIXED.sub(lambda word: word[0].translate(LOOKALIKES), self.text)

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Where a range of the read text stands in the original; invisible characters around it stay outside."""
        if self._at is None:
            return start, end
        return bisect_right(self._at, start) - 1, bisect_right(self._at, end - 1)


def _replaced(text: str, odd: dict[str, str]) -> str:
    """The text with each odd character as another; one after the other where they are few, and none becomes another of them."""
    if len(odd) > FEW or not odd.keys().isdisjoint(odd.values()):
        return "".join([odd.get(char, char) for char in text])
    for char, plain in odd.items():
        text = text.replace(char, plain)
    return text
