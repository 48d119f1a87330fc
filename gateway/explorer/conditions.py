"""Terms of a query as conditions of the ORM: values are always parameters, and wildcards the only pattern."""

from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, Func, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.lookups import GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual

from gateway.explorer.fields import WORDS_IN, Field, Kind
from gateway.explorer.query import Query, Said, Term, Text
from gateway.models import Adjustment, Score

LOOKUPS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte", ":": "exact", "=": "exact"}


class Like(Func):
    """Whether a text fits a pattern of SQL's LIKE."""

    template = "(%(expressions)s)"
    arg_joiner = " LIKE "
    output_field = TextField()
    conditional = True


def conditions(query: Query, low: UUID | None = None, high: UUID | None = None) -> Q:
    """What a call must fulfil, apart from the time. Of calls whose ids are from `low` to below `high` the scores are looked for
    by their index there, however many others there are; without them among all.
    """
    found = Q()
    for term in query.terms:
        if term.field and term.field.kind is Kind.SCORE:
            condition = reduce(or_, (Q(id__in=_scored(value, low, high)) for value in term.values))
        else:
            condition = reduce(or_, (_condition(term, value) for value in term.values))
        found &= _not(condition, term) if term.negated else condition
    return found


def _not(condition: Q, term: Term) -> Q:
    # A figure that is not there is none of those that are excluded: SQL's NOT would leave its row out.
    absent = {"cost_usd", "first_token_ms", "http_status", "parent"}.intersection(
        term.field.columns if term.field else ()
    )
    if absent and None not in term.values:
        return ~condition | Q(**{f"{absent.pop()}__isnull": True})
    return ~condition


def _condition(term: Term, value: Any) -> Q:
    field = term.field
    if field is None:
        return reduce(or_, (Q(**{f"{column}__icontains": value.text}) for column in WORDS_IN))
    match field.kind:
        case Kind.NUMBER | Kind.MONEY | Kind.TIME:
            return _measured(field, term.sign, value)
        case Kind.FLAG:
            return Q(**{field.columns[0]: value})
        case Kind.ID:
            return _of_id(field.columns[0], value)
        case Kind.PAIR:
            name, equals, wanted = value.text.partition("=")
            if not value.text:
                return Q(labels={})
            if not equals:
                return Q(labels__has_key=name)
            # That the label is there is said too, or its absence would be neither this nor its contrary.
            pattern = _escaped(wanted) if value.quoted else _pattern(wanted)
            return Q(labels__has_key=name) & Q(Like(KeyTextTransform(name, "labels"), Value(pattern)))
        case Kind.ENDED:
            return _ended(value)
        case Kind.TYPES:
            return Q(entities__has_key=value.text)
        case Kind.PROMPT if value.text and not value.quoted:
            return Q(prompt_version__startswith=value.text.rstrip("*"))
        case _:
            return _of_column(field.columns[0], value)


def _scored(said: Any, low: UUID | None, high: UUID | None) -> QuerySet[Score, UUID]:
    """The calls of which some source says this now; what it said before does not count."""
    assert isinstance(said, Said)
    here = Score.objects.filter(kind=said.kind).order_by()
    if low is not None and high is not None:
        here = here.filter(call_id__gte=low, call_id__lt=high)
    found = here.filter(name=said.name) if said.name else here
    if said.sign:
        same = {name: OuterRef(name) for name in ("call_id", "name", "source", "author")}
        replaced = Exists(here.filter(number__gt=OuterRef("number"), **same))
        found = found.filter(~replaced, **{f"value__{LOOKUPS[said.sign]}": float(said.value)})
    return found.values_list("call_id", flat=True)


def _ended(value: Text) -> Q:
    """Calls that count as ended so. None but those that were lost are corrected, so that others are found by their index."""
    late = Adjustment.objects.filter(call_id=OuterRef("id")).exclude(outcome="").order_by()
    so = _of_column("outcome", value)
    lost = Q(outcome="lost")
    return (so & ~(lost & Exists(late))) | (lost & Exists(late.filter(so)))


def _of_column(column: str, value: Text) -> Q:
    if value.quoted or "*" not in value.text:
        return Q(**{column: value.text})
    if value.text.count("*") == 1 and value.text.endswith("*"):
        return Q(**{f"{column}__startswith": value.text[:-1]})
    return Q(Like(F(column), Value(_pattern(value.text))))


def _pattern(text: str) -> str:
    return _escaped(text).replace("*", "%")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")


def _of_id(column: str, digits: str) -> Q:
    """The calls whose id begins so, as a range, so that the key finds them."""
    low, high = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    return Q(**{column: low}) if low == high else Q(**{f"{column}__gte": low, f"{column}__lte": high})


COMPARE = {">": GreaterThan, ">=": GreaterThanOrEqual, "<": LessThan, "<=": LessThanOrEqual}


def _measured(field: Field, sign: str, value: Any) -> Q:
    column = field.columns[0]
    if value is None:
        return Q(**{f"{column}__isnull": True})
    if isinstance(value, tuple):
        low, high = value
        found = Q() if low is None else _measured(field, ">=", low)
        return found if high is None else found & _measured(field, "<=", high)
    figure: Decimal | float = value if field.kind is Kind.MONEY else float(value)
    if len(field.columns) == 1:
        return Q(**{f"{column}__{LOOKUPS[sign]}": figure})
    whole: Any = F(column)
    for name in field.columns[1:]:
        whole = whole + F(name)
    if sign == ":":
        return Q(GreaterThanOrEqual(whole, figure)) & Q(LessThanOrEqual(whole, figure))
    return Q(COMPARE[sign](whole, figure))
