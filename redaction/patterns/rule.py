"""What one rule of the pattern tier is."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

#: How far from a value its context words may stand, in characters, before and behind it.
BEFORE, BEHIND = 70, 30
#: The score of a value that has one of its context words beside it.
IN_CONTEXT = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A pattern, and what has to be true of what it matches.

    The span is the group `value`, or the whole match. `needs` are lower-case words of which one has to be in the text before
    the pattern is tried at all: most texts then cost a few substring searches. `check` says whether the value is real (a
    checksum, a range). `near` are context words that lift the score to `IN_CONTEXT`. Every repetition in a
    pattern is bounded, and a run of its characters is entered at its beginning only, so that time is linear.
    """

    entity: str
    pattern: re.Pattern[str]
    score: float
    needs: tuple[str, ...] = ()
    check: Callable[[str], bool] | None = None
    near: re.Pattern[str] | None = field(default=None)

    def group(self) -> str | int:
        return "value" if "value" in self.pattern.groupindex else 0


def rule(
    entity: str,
    pattern: str,
    score: float,
    *,
    needs: str = "",
    check: Callable[[str], bool] | None = None,
    near: str = "",
    flags: int = 0,
) -> Rule:
    """A rule, as tables write it: `needs` and `near` are words with a bar between them, `near` matched from word beginnings."""
    return Rule(
        entity=entity,
        pattern=re.compile(pattern, flags),
        score=score,
        needs=tuple(needs.split("|")) if needs else (),
        check=check,
        near=re.compile(rf"\b(?:{near})", re.IGNORECASE) if near else None,
    )
