"""Words as the name tagger sees them. Training and use share this file, so that both see the same."""

import re
from functools import lru_cache
from zlib import crc32

TYPES = ("PERSON", "LOCATION", "ORGANIZATION", "NRP", "STREET_ADDRESS")
#: What a word can be: outside, or the beginning or the inside of an entity.
TAGS = ("O", *(f"{place}-{entity}" for entity in TYPES for place in "BI"))

#: Rows of the table of embeddings; row 0 stands for a word that is hidden, in training.
ROWS = 40_000
#: Features of a word that tell which word it is; in training they are hidden now and then, so that the rest has to do.
LEXICAL, WIDTH = 5, 11

TOKEN = re.compile(r"[^\W_]{1,40}|[^\w\s]|_")
#: How many words are remembered at most: each by its hash alone, which Python keys anew in each process.
MOST_REMEMBERED = 20_000
_words: dict[int, tuple[int, ...]] = {}


def tokens(text: str) -> list[tuple[int, int]]:
    """Where words and signs stand: runs of letters and digits, and each other sign by itself."""
    return [match.span() for match in TOKEN.finditer(text)]


def rows(text: str, places: list[tuple[int, int]]) -> list[tuple[int, ...]]:
    """For each token the WIDTH rows whose embeddings add up to it."""
    found, last = [], 0
    for start, end in places:
        found.append((*_word(text[start:end]), _gap(text[last:start])))
        last = end
    return found


@lru_cache(maxsize=64)
def _gap(between: str) -> int:
    lines = min(between.count("\n"), 2)
    return _row("gap", f"{lines}{'t' if between[-2:].isspace() and len(between) > 1 else 's' if between else '-'}")


def _word(word: str) -> tuple[int, ...]:
    known = _words.get(hash(word))
    if known is None:
        if len(_words) >= MOST_REMEMBERED:
            _words.clear()
        known = _words[hash(word)] = _features(word)
    return known


def _features(word: str) -> tuple[int, ...]:
    norm = re.sub(r"\d", "0", word.lower())
    return (
        _row("a", norm), _row("b", norm), _row("p4", norm[:4]), _row("s4", norm[-4:]), _row("m", norm[1:5]),
        _row("p2", norm[:2]), _row("s3", norm[-3:]), _row("s2", norm[-2:]), _row("shape", _shape(word)),
        _row("len", str(min(len(word), 12))),
    )  # fmt: skip


def _row(kind: str, value: str) -> int:
    return 1 + crc32(f"{kind} {value}".encode("utf-8", "surrogatepass")) % (ROWS - 1)


def _shape(word: str) -> str:
    """Xx for Title, X for CAPITALS, x for small letters, 0 for digits by their number, a script's name where it is not Latin."""
    if word.isdigit():
        return "0" * min(len(word), 6)
    code = ord(word[0])
    script = "" if code < 0x250 else str(code >> 7)
    kinds = "".join("0" if c.isdigit() else "X" if c.isupper() else "x" if c.isalpha() else c for c in word[:8])
    return script + re.sub(r"(.)\1+", r"\1", kinds) + ("1" if len(word) == 1 else "")
