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
        odd = {char for char in set(text) if char > "\x7f" and FOLD[ord(char)] != char}
        if not odd and not OTHER_SCRIPT.search(text):
            return
        pieces = [FOLD[ord(char)] if char in odd else char for char in text]
        if any(len(FOLD[ord(char)]) != 1 for char in odd):
            at, position = [], 0
            for piece in pieces:
                at.append(position)
                position += len(piece)
            self._at = at
        self.text = MIXED.sub(lambda word: word[0].translate(LOOKALIKES), "".join(pieces))

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Where a range of the read text stands in the original; invisible characters around it stay outside."""
        if self._at is None:
            return start, end
        return bisect_right(self._at, start) - 1, bisect_right(self._at, end - 1)
