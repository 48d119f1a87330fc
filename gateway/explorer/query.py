"""The explorer's query language: what somebody typed becomes terms, or a problem that points at its place.

    feature:support.* -outcome:ok cost>0.05 latency:2s..10s label:team=checkout tenant:"Acme, Inc" since:7d "rate limit"

Terms that stand next to each other must all hold; values with a comma between them are alternatives; `-` in front negates.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Literal
from uuid import UUID

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from gateway.explorer.fields import ALIASES, FIELDS, MEASURED, Field, Kind
from gateway.scores import LEAST

MOST_CHARACTERS, MOST_TERMS, MOST_VALUES = 2000, 40, 50
Sign = Literal[":", ">", ">=", "<", "<="]
ScoreSign = Literal["", "=", ">", ">=", "<", "<="]


@dataclass(frozen=True, slots=True)
class Said:
    """What a score is to say: of which kind, an eval of which name (empty: any), and how its value compares (empty: anyhow)."""

    kind: str
    name: str = ""
    sign: ScoreSign = ""
    value: Decimal = Decimal(0)


#: What a value may be: a number, its bounds, a text, a flag, a moment, a score; None for `none`, the absence of a figure.
Value = Decimal | tuple[Decimal | None, Decimal | None] | str | bool | datetime | Said | None

HEAD = re.compile(r"(?P<minus>-?)(?P<name>[A-Za-z_]+)(?P<sign>:|>=|<=|>|<)")
PLAIN = re.compile(r'[^\s",]+')
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
FLAGS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
SCORE = re.compile(
    r"(?P<of>[a-z0-9][a-z0-9_.:/-]{0,99}?)(?:(?P<sign>>=|<=|>|<|=)(?P<value>-?(?:\d(?:\.\d{1,9})?|\.\d{1,9})))?"
)
AGO = re.compile(r"(\d{1,5})(m|h|d|w)")
AGES = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


class Problem(Exception):
    """A query that cannot be understood: why, and the characters `start` to `end` that are meant."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.message, self.start, self.end = message, start, end


@dataclass(frozen=True, slots=True)
class Text:
    """A text as written; a quoted one has no wildcards."""

    text: str
    quoted: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Term:
    """One condition; `field` is None for words that are looked for anywhere. `values` are alternatives.

    Values of a field of text are `Text`, as a `*` of theirs is a wildcard unless it was quoted.
    """

    field: Field | None
    sign: Sign
    values: tuple[Value | Text, ...]
    negated: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Query:
    """A query as typed, and its terms. Times are not among them: they are `since` and `until`, None where not given."""

    text: str
    terms: tuple[Term, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def asking(self, kind: Kind) -> Term | None:
        """The first condition on a field of this kind."""
        return next((term for term in self.terms if term.field and term.field.kind is kind), None)

    def exact(self) -> dict[str, str]:
        """The columns that the query wants to have one certain text."""
        found = {}
        for term in self.terms:
            value = term.values[0]
            if term.field and term.field.kind is Kind.TEXT and not term.negated and len(term.values) == 1:
                assert isinstance(value, Text)
                if value.quoted or "*" not in value.text:
                    found[term.field.columns[0]] = value.text
        return found


def parse(text: str, *, now: datetime) -> Query:
    """The query that the text says. Raises Problem."""
    if len(text) > MOST_CHARACTERS:
        raise Problem(f"A query has at most {MOST_CHARACTERS} characters.", MOST_CHARACTERS, len(text))
    if found := re.search(r"[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]", text):
        raise Problem("This character cannot be part of a query; remove it.", found.start(), found.end())
    terms: list[Term] = []
    times: dict[str, datetime] = {}
    for term in _terms(text, now):
        if term.field is None or term.field.kind is not Kind.MOMENT:
            terms.append(term)
            continue
        if term.field.name in times:
            raise Problem(f"{term.field.name} can be said once.", term.start, term.end)
        moment = term.values[0]
        assert isinstance(moment, datetime)
        times[term.field.name] = moment
    if len(terms) > MOST_TERMS:
        raise Problem(f"A query has at most {MOST_TERMS} conditions.", terms[MOST_TERMS].start, len(text))
    return Query(text=text, terms=tuple(terms), since=times.get("since"), until=times.get("until"))


def exactly(**values: str) -> Query:
    """The query for calls whose fields of text are just these."""
    terms = (Term(FIELDS[name], ":", (Text(value, True, 0, 0),), False, 0, 0) for name, value in values.items())
    return Query(text="", terms=tuple(terms))


def moment(text: str, now: datetime) -> datetime | None:
    """The time that a text says: a day, a moment, or how long ago (`7d`); None where it says none."""
    if found := AGO.fullmatch(text):
        return max(now - int(found[1]) * AGES[found[2]], datetime(1971, 1, 1, tzinfo=UTC))
    try:
        if day := parse_date(text):
            return _within(timezone.make_aware(datetime(day.year, day.month, day.day)))
        found_at = parse_datetime(text)
        if found_at is not None:
            return _within(found_at if found_at.tzinfo else timezone.make_aware(found_at))
    except (ValueError, OverflowError):
        return None
    return None


def quote(value: str) -> str:
    """A value as it is written in a query so that it means just itself."""
    if PLAIN.fullmatch(value) and "*" not in value and "\\" not in value:
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _within(at: datetime) -> datetime | None:
    """The moment in UTC, where a UUIDv7 can have been made then."""
    at = at.astimezone(UTC)
    return at if 1971 <= at.year < 9000 else None


def _terms(text: str, now: datetime) -> Iterator[Term]:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        term, at = _term(text, at, now)
        if at < len(text) and not text[at].isspace():
            raise Problem("Put a space between two conditions, or the whole value in quotes.", at, at + 1)
        yield term


def _term(text: str, at: int, now: datetime) -> tuple[Term, int]:
    """The condition that begins at this place, and the place after it."""
    head = HEAD.match(text, at)
    if head is None:
        negated = text[at] == "-" and at + 1 < len(text) and not text[at + 1].isspace()
        word, end = _value(text, at + negated)
        return Term(None, ":", (word,), negated, at, end), end
    name = head["name"].lower()
    field = FIELDS.get(ALIASES.get(name, name))
    if field is None:
        raise Problem(_unknown(name, text[at:]), head.start("name"), head.end("name"))
    sign: Sign = head["sign"]  # type: ignore[assignment]  # the expression has just these
    if sign != ":" and field.kind not in MEASURED:
        raise Problem(f"{field.name} has no order; write {field.name}: and its value.", *head.span("sign"))
    values, end = [], head.end()
    while True:
        written, end = _value(text, end, field)
        values.append(_read(field, written, now))
        if end >= len(text) or text[end] != ",":
            break
        end += 1
    if len(values) > MOST_VALUES:
        raise Problem(f"{field.name} has more than {MOST_VALUES} alternatives.", at, end)
    if len(values) > 1 and (sign != ":" or field.kind is Kind.MOMENT):
        raise Problem(f"{field.name}{sign} takes one value.", head.end(), end)
    if sign != ":" and not isinstance(values[0], Decimal):
        raise Problem(f"Write one figure after {sign}, e.g. {field.example}.", head.end(), end)
    if head["minus"] and field.kind is Kind.MOMENT:
        raise Problem(f"{field.name} cannot be negated.", at, end)
    return Term(field, sign, tuple(values), bool(head["minus"]), at, end), end


def _value(text: str, at: int, field: Field | None = None) -> tuple[Text, int]:
    """The value that is written at this place, and the place after it."""
    if found := QUOTED.match(text, at):
        return Text(re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL), True, at, found.end()), found.end()
    if text.startswith('"', at):
        raise Problem('This quote has no end; close it with another “"”.', at, len(text))
    if found := (PLAIN.match(text, at) if field else re.compile(r'[^\s"]+').match(text, at)):
        return Text(found[0], False, at, found.end()), found.end()
    example = f'{field.example}, or {field.name}:"" for none' if field else "a word"
    raise Problem(f"A value is missing here, e.g. {example}.", max(0, at - 1), min(len(text), at + 1))


def _unknown(name: str, rest: str) -> str:
    near = get_close_matches(name, [*FIELDS, *ALIASES], n=1, cutoff=0.6)
    meant = f"Did you mean {ALIASES.get(near[0], near[0])}?" if near else "The help lists those that there are."
    return f'There is no field “{name}”. {meant} To look for the words themselves, put them in quotes: "{rest.split()[0]}".'


def _read(field: Field, written: Text, now: datetime) -> Value | Text:
    """A value of the field's kind."""
    text = written.text
    match field.kind:
        case Kind.NUMBER | Kind.MONEY | Kind.TIME:
            found = _figures(field.kind, text.lower())
            wanted = f"{field.name} wants {_UNITS[field.kind]}, e.g. {field.example}"
        case Kind.FLAG:
            if (flag := FLAGS.get(text.lower())) is not None:
                return flag
            found, wanted = False, f"{field.name} is yes or no"
        case Kind.MOMENT:
            if (at := moment(text, now)) is not None:
                return at
            found, wanted = (
                False,
                f"{field.name} wants a time: 2026-11-01, 2026-11-01T12:30, or 24h for the last 24 hours",
            )
        case Kind.ID:
            digits = text.replace("-", "").lower()
            if re.fullmatch(r"[0-9a-f]{1,32}", digits) and (field.name == "id" or len(digits) == 32):
                return digits
            found, wanted = False, f"{field.name} wants the id of a call, e.g. {UUID(int=0)}"
        case Kind.SCORE:
            if (said := _said(text.lower())) is not None:
                return said
            found, wanted = (
                False,
                f"{field.name} wants {', '.join(LEAST)} or the name of an eval, and how much: {field.example}",
            )
        case Kind.PROMPT:
            return Text(text.rpartition("@")[2], written.quoted, written.start, written.end)
        case _:
            return written
    if found is False:
        raise Problem(f"{wanted}; “{text[:60]}” is none.", written.start, written.end)
    return found


def _said(text: str) -> Said | None:
    found = SCORE.fullmatch(text)
    if found is None:
        return None
    kind, name = (found["of"], "") if found["of"] in LEAST else ("eval", found["of"])
    sign: ScoreSign = found["sign"] or ""  # type: ignore[assignment]  # the expression has just these
    return Said(kind, name, sign, Decimal(found["value"] or 0))


_UNITS = {
    Kind.NUMBER: "a whole number",
    Kind.MONEY: "an amount of US dollars",
    Kind.TIME: "a time with its unit (ms, s, m, h)",
}


def _figures(kind: Kind, text: str) -> Decimal | tuple[Decimal | None, Decimal | None] | Literal[False] | None:
    """A figure, the two bounds of a range, or None for the word `none`; False for anything else."""
    if text == "none":
        return None
    low, dots, high = text.partition("..")
    bounds = [_figure(kind, part) if part else None for part in (low, high)]
    if any(bound is False for bound in bounds) or (not low and not high):
        return False
    if dots:
        return bounds[0], bounds[1]  # type: ignore[return-value]  # no False is left
    return bounds[0]


def _figure(kind: Kind, text: str) -> Decimal | Literal[False]:
    shape = {
        Kind.NUMBER: r"(\d{1,12}(?:\.\d{1,6})?)(k|m)?",
        Kind.MONEY: r"\$?(\d{1,9}(?:\.\d{1,12})?|\.\d{1,12})()",
        Kind.TIME: r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h)",
    }[kind]
    found = re.fullmatch(shape, text, re.ASCII)
    if found is None:
        return False
    try:
        number = Decimal(found[1])
    except InvalidOperation:
        return False
    if kind is Kind.TIME:
        return number * SECONDS[found[2]] * 1000
    return number * {"k": 1000, "m": 1_000_000}.get(found[2] or "", 1)
