"""How well personal data is found in texts whose spans are known: precision, recall and F1 by entity, and what is left standing.

A finding is right when it meets a known span of its type in any character; other names of the same kind count as that type.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from zlib import crc32

from redaction.spans import Span

#: Names that sets use for a type → ours; None: such spans are not scored, and a finding on them is neither right nor wrong.
SAME: dict[str, str | None] = {
    "STREET_ADDRESS": "LOCATION", "ADDRESS": "LOCATION", "GPE": "LOCATION", "ZIP_CODE": "LOCATION", "DOMAIN_NAME": "URL",
    "CORPORATION": "ORGANIZATION", "BANK": "ORGANIZATION", "GROUP": None, "PRODUCT": None, "CREATIVE_WORK": None, "TITLE": None,
    "PREFIX": None, "AGE": None, "SYSTEM": None, "EVENT": None, "MISC": None, "MISCELLANEOUS": None,
}  # fmt: skip
ALL = "ALL"

#: From, to (end exclusive) and type.
Known = tuple[int, int, str]


#: Texts with the same wording are in the same fold, so that a tagger trained without one has not seen its sentences.
FOLDS = 4


def fold(text: str, known: Iterable[Known]) -> int:
    """Which of the folds a text is in: by its wording without what is known in it."""
    wording, end = "", 0
    for start, until, _ in sorted(known):
        wording, end = wording + text[end:start], until
    return crc32(re.sub(r"[\W\d_]+", "", wording + text[end:]).lower().encode()) % FOLDS


@dataclass(slots=True)
class Score:
    """Counts over the texts seen so far, by type and for `ALL`."""

    known: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    characters: int = 0
    left: int = 0
    clean: int = 0
    clean_flagged: int = 0

    def add(self, known: Iterable[Known], found: Iterable[Span]) -> None:
        """Counts one text: the spans that are there, and those that were found."""
        every = [(start, end, SAME.get(entity, entity)) for start, end, entity in known]
        scored = [(start, end, entity) for start, end, entity in every if entity]
        spans = [(span.start, span.end, SAME.get(span.type, span.type) or "") for span in found]
        counted = [s for s in spans if any(_meet(s, k) for k in scored) or not any(_meet(s, k) for k in every)]
        for start, end, entity in scored:
            hit = any(entity == s[2] and _meet((start, end, entity), s) for s in counted)
            self._count(self.known, self.hit, entity, hit)
            self.characters += end - start
            self.left += end - start - len({at for s in spans for at in range(max(start, s[0]), min(end, s[1]))})
        for s in counted:
            self._count(self.found, self.right, s[2], any(s[2] == k[2] and _meet(s, k) for k in scored))
        if not every:
            self.clean += 1
            self.clean_flagged += bool(counted)

    @staticmethod
    def _count(total: Counter[str], good: Counter[str], entity: str, yes: bool) -> None:
        for name in (ALL, entity):
            total[name] += 1
            good[name] += yes

    def figures(self, entity: str = ALL) -> tuple[float, float, float]:
        """Precision, recall and F1; 0 where there is nothing to divide by."""
        precision = self.right[entity] / self.found[entity] if self.found[entity] else 0.0
        recall = self.hit[entity] / self.known[entity] if self.known[entity] else 0.0
        return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    @property
    def standing(self) -> float:
        """The share of personal characters in which nothing was found."""
        return self.left / self.characters if self.characters else 0.0

    def table(self) -> str:
        """A Markdown table, most frequent types first, and a line on what was left standing."""
        lines = ["| entity | known | found | precision | recall | F1 |", "| --- | --- | --- | --- | --- | --- |"]
        for entity in sorted(self.known | self.found, key=lambda name: (-self.known[name], name)):
            precision, recall, f1 = self.figures(entity)
            lines.append(
                f"| {entity} | {self.known[entity]} | {self.found[entity]} | {precision:.2f} | {recall:.2f} | {f1:.2f} |"
            )
        lines.append(
            f"\nPersonal characters left standing: {self.standing:.1%}. "
            f"Texts without personal data in which something was found: {self.clean_flagged} of {self.clean}."
        )
        return "\n".join(lines)


def _meet(one: tuple[int, int, str | None], other: tuple[int, int, str | None]) -> bool:
    return one[0] < other[1] and other[0] < one[1]
