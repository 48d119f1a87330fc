"""What queries say, and what is said about those that cannot be understood."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.explorer.fields import FIELDS
from gateway.explorer.query import Problem, Text, parse, quote

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def said(text):
    """Each term as (negated, field, sign, values), texts as they are and quoted ones in quotes."""
    return [
        (
            "-" * term.negated + (term.field.name if term.field else ""),
            term.sign,
            [(f'"{v.text}"' if v.quoted else v.text) if isinstance(v, Text) else v for v in term.values],
        )
        for term in parse(text, now=NOW).terms
    ]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        ("feature:support.reply", [("feature", ":", ["support.reply"])]),
        ("  FEATURE:a\t-outcome:ok ", [("feature", ":", ["a"]), ("-outcome", ":", ["ok"])]),
        ("outcome:timeout,lost", [("outcome", ":", ["timeout", "lost"])]),
        ('tenant:"Acme, Inc","b \\"c\\" \\\\"', [("tenant", ":", ['"Acme, Inc"', '"b "c" \\"'])]),
        ('tenant:""', [("tenant", ":", ['""'])]),
        ("cost>0.05", [("cost", ">", [Decimal("0.05")])]),
        ("cost<=$2 cost:none", [("cost", "<=", [Decimal(2)]), ("cost", ":", [None])]),
        ("cost:.5..1", [("cost", ":", [(Decimal("0.5"), Decimal(1))])]),
        ("cost:0..", [("cost", ":", [(Decimal(0), None)])]),
        ("latency>2s latency<1.5m", [("latency", ">", [2000]), ("latency", "<", [90000])]),
        ("gate:20ms", [("gate", ":", [20])]),
        ("input>10k", [("input", ">", [10000])]),
        ("status:500..599", [("status", ":", [(Decimal(500), Decimal(599))])]),
        ("user_ref:x model_served:gpt-*", [("user", ":", ["x"]), ("model", ":", ["gpt-*"])]),
        ("label:team=x", [("label", ":", ["team=x"])]),
        ("prompt:support.reply@abc123", [("prompt", ":", ["abc123"])]),
        ("streamed:yes -cached:TRUE", [("streamed", ":", [True]), ("-cached", ":", [True])]),
        ("id:0190A2B4-", [("id", ":", ["0190a2b4"])]),
        ('"rate limit" -slow', [("", ":", ['"rate limit"']), ("-", ":", ["slow"])]),
        ("- a-b 4:5", [("", ":", ["-"]), ("", ":", ["a-b"]), ("", ":", ["4:5"])]),
    ],
)
def test_a_query_is_read(text, terms):
    assert said(text) == terms


def test_times_are_those_of_the_query():
    query = parse("since:7d until:2026-11-20T08:00:00+02:00", now=NOW)
    assert query.terms == ()
    assert (query.since, query.until) == (NOW - timedelta(days=7), datetime(2026, 11, 20, 6, tzinfo=UTC))
    assert parse("since:2026-11-01", now=NOW).since == datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("tenat:acme", "tenat", "There is no field “tenat”. Did you mean tenant? To look for the words themselves"),
        ("a xyzzy:1", "xyzzy", "The help lists"),
        ("cost>cheap", "cheap", "cost wants an amount of US dollars, e.g. cost>0.05; “cheap” is none."),
        ("latency>2", "2", "with its unit"),
        ("cost>1..2", "1..2", "Write one figure after >"),
        ("cost>1,2", "1,2", "cost> takes one value."),
        ("cost:..", "..", "amount"),
        ("cost>1e9999", "1e9999", "amount"),
        ("feature>a", ">", "feature has no order; write feature:"),
        ("feature:", "feature:"[-1:], "A value is missing here"),
        ("outcome:a,", ",", "A value is missing here"),
        ('x "open', '"open', "This quote has no end"),
        ('"a"b', "b", "Put a space"),
        ("score:feedback<", "feedback<", "score wants feedback, edit, eval or the name of an eval"),
        ("score:edit>10", "edit>10", "score wants"),
        ("score<0.5", "<", "score has no order; write score:"),
        ("streamed:perhaps", "perhaps", "streamed is yes or no"),
        ("since:yesterday", "yesterday", "since wants a time"),
        ("since:2026-13-45", "2026-13-45", "since wants a time"),
        ("since:0001-01-01", "0001-01-01", "since wants a time"),
        ("since:1d since:2d", "since:2d", "can be said once"),
        ("-until:1d", "-until:1d", "cannot be negated"),
        ("id:zz", "zz", "wants the id of a call"),
        ("parent:0190", "0190", "wants the id of a call"),
        ("a\x00b", "\x00", "cannot be part"),
        (" ".join(["a"] * 41), "a", "at most 40"),
        ("feature:" + ",".join("abcdefghij" * 6), None, "alternatives"),
        ("x" * 2001, "x", "at most 2000"),
    ],
)
def test_a_problem_points_at_its_place_and_says_what_to_do(text, place, words):
    with pytest.raises(Problem) as found:
        parse(text, now=NOW)
    assert words in found.value.message
    if place is not None:
        assert text[found.value.start : found.value.end].endswith(place)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=50))
@settings(max_examples=60, deadline=None)
def test_a_quoted_value_means_just_itself(value):
    [term] = parse(f"tenant:{quote(value)}", now=NOW).terms
    assert [v.text for v in term.values] == [value]
    assert parse(f"tenant:{quote(value)}", now=NOW).exact() == {"tenant": value}


@given(
    st.lists(
        st.one_of(
            st.sampled_from([*FIELDS, ":", ">", "<=", "..", ",", '"', "-", " ", "\\", "*", "5", "2s"]),
            st.text(max_size=4),
        ),
        max_size=12,
    )
)
@settings(max_examples=150, deadline=None)
def test_whatever_is_typed_is_a_query_or_a_problem_within_the_text(pieces):
    text = "".join(pieces)
    try:
        parse(text, now=NOW)
    except Problem as problem:
        assert 0 <= problem.start <= len(text) and problem.start <= problem.end <= len(text) and problem.message


def test_every_example_of_the_help_is_a_query():
    for field in FIELDS.values():
        if "…" not in field.example:
            parse(field.example, now=NOW)
