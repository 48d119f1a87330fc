"""What values of a dimension contributed to a change of spend: it adds up, and the one that explains it is found."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.cause_words import reasons, short_usd
from dashboards.causes import DIMENSIONS, Compared, Spend, dimension, standing_out

NOTHING = Compared(now=Spend(), before=Spend())
usd = st.decimals(min_value=0, max_value=10**9, places=9)


@st.composite
def spends(draw):
    calls = draw(st.integers(min_value=0, max_value=10**6))
    return Spend(usd=draw(usd), calls=calls)


tables = st.lists(st.builds(Compared, now=spends(), before=spends()), min_size=1, max_size=12)


def spent(cost, calls):
    return Spend(usd=Decimal(cost), calls=calls)


def compared(now, before):
    return Compared(now=spent(*now), before=spent(*before))


def total(parts):
    whole = NOTHING
    for part in parts:
        whole -= NOTHING - part
    return whole


def told(**kinds):
    """Sentences for a feature whose calls are told apart by these dimensions, each a dict of value → (now, before)."""
    tables = {name: {value: compared(*pair) for value, pair in table.items()} for name, table in kinds.items()}
    whole = total(next(iter(tables.values())).values())
    assert all(total(table.values()) == whole for table in tables.values())
    found = [dimension(name, whole, table, len(table)) for name, table in tables.items()]
    return reasons("support.reply", whole, found)


@given(tables, st.integers(min_value=1, max_value=12))
def test_contributions_add_up_to_the_change_to_the_nano_dollar(parts, shown):
    whole = total(parts)
    values = {str(number): part for number, part in enumerate(parts[:shown])}
    found = dimension("tenant", whole, values, len(parts))
    causes = [*found.causes, *([found.others] if found.others else [])]
    assert (found.others is not None) == (shown < len(parts))
    assert sum(cause.spend.change for cause in causes) == whole.change
    for cause in causes:
        assert cause.volume_usd + cause.price_usd == cause.spend.change
    assert total(cause.spend for cause in causes) == whole
    if whole.change:
        assert abs(sum(cause.share for cause in causes) - 1) < Decimal("1e-9")
        # Each cause's volume is rounded to the nano-dollar, so the shares of small changes are as coarse as that.
        assert abs(sum(cause.effect for cause in causes) - 1) < Decimal("1e-6") + Decimal("1e-7") / abs(whole.change)


@given(tables)
def test_there_is_always_something_to_say_and_no_shares_of_nothing(parts):
    whole = total(parts)
    found = dimension("tenant", whole, {str(number): part for number, part in enumerate(parts)}, len(parts))
    sentences = reasons("f", whole, [found])
    assert sentences and all(text.endswith(".") and "NaN" not in text and "Infinity" not in text for text in sentences)
    if whole.same:
        assert standing_out(whole, [found]) == []


def test_more_calls_of_a_tenant():
    [first] = told(
        tenant={"acme": (("41", 410), ("10", 100)), "other": (("12.7", 127), ("10", 100))},
        model={"openai/a": (("53.7", 537), ("20", 200))},
    )
    assert first == "92% of the rise comes from tenant acme: 4.1 times as many calls at the same cost per call."


def test_a_dearer_version_in_place_of_another_is_named_rather_than_those_whom_it_served():
    new, old = "b" * 64, "a" * 64
    [first] = told(
        prompt_version={old: (("0", 0), ("10", 100)), new: (("20", 100), ("0", 0))},
        tenant={"x": (("10", 50), ("5", 50)), "y": (("10", 50), ("5", 50))},
    )
    assert first == (
        "The rise comes from prompt version support.reply@bbbbbbbb, and others went against it: "
        "100 calls, none before, at 2 times what a call cost before."
    )


def test_a_version_of_the_same_cost_is_not_blamed_for_more_calls():
    new, old = "b" * 64, "a" * 64
    [only] = told(
        prompt_version={old: (("0", 0), ("10", 100)), new: (("20", 200), ("0", 0))},
        tenant={"x": (("15", 150), ("5", 50)), "y": (("5", 50), ("5", 50))},
    )
    assert only == "All of the rise comes from tenant x: 3 times as many calls at the same cost per call."


def test_a_shift_to_a_dearer_model():
    [first] = told(model={"openai/big": (("25", 50), ("5", 10)), "openai/mini": (("5", 50), ("9", 90))})
    assert first == (
        "The rise comes from model openai/big, and others went against it: "
        "5 times as many calls at the same cost per call."
    )


def test_new_calls_of_a_new_version_beside_the_old_one():
    [first] = told(prompt_version={"a" * 64: (("10", 100), ("10", 100)), "b" * 64: (("40", 400), ("0", 0))})
    assert first == (
        "All of the rise comes from prompt version support.reply@bbbbbbbb: "
        "400 calls, none before, at what a call cost before."
    )


def test_one_kind_of_calls_alone():
    [only] = told(tenant={"x": (("20", 100), ("10", 100))})
    assert only == (
        "Nothing stands out: all calls are of one kind. All calls together: as many calls at 2 times the cost per call."
    )


def test_a_fall():
    [first] = told(tenant={"acme": (("1", 10), ("10", 100)), "b": (("9.5", 95), ("10", 100))})
    assert first == "95% of the fall comes from tenant acme: 90% fewer calls at the same cost per call."


def test_nothing_stands_out_where_all_changed_alike():
    [only] = told(
        tenant={"x": (("20", 100), ("10", 100)), "y": (("20", 100), ("10", 100))},
        key={"web": (("20", 100), ("10", 100)), "": (("20", 100), ("10", 100))},
        model={"openai/a": (("40", 200), ("20", 200))},
        cohort={"": (("40", 200), ("20", 200))},
    )
    assert only == (
        "Nothing stands out: no single tenant or API key explains most of the rise. All calls together: "
        "as many calls at 2 times the cost per call."
    )


@pytest.mark.parametrize(
    "now, before, words",
    [
        (
            ("10.2", 102),
            ("10", 100),
            "Spend is about the same as before: about as many calls at the same cost per call.",
        ),
        (("0", 0), ("10", 100), "There are no calls now; in the time before there were 100 for $10.00."),
        (("5", 50), ("0", 0), "There were no calls in the time before, so there is nothing to compare with."),
        (("0", 50), ("0", 40), "Spend is about the same as before: 25% more calls at no cost."),
    ],
)
def test_honest_where_there_is_nothing_to_explain(now, before, words):
    assert told(tenant={"acme": (now, before)}) == [words]


def test_without_a_time_before_the_biggest_spender_is_named():
    [only] = told(tenant={"acme": (("4", 40), ("0", 0)), "b": (("1", 10), ("0", 0))})
    assert only.endswith("Most was spent by tenant acme: $4.00.")


def test_calls_that_name_nobody_and_long_references():
    [first] = told(user_ref={"": (("30", 300), ("10", 100)), "u" * 64: (("10", 100), ("10", 100))})
    assert first.startswith("All of the rise comes from calls without a user: 3 times")
    [first] = told(user_ref={"u" * 64: (("30", 300), ("10", 100)), "v": (("10", 100), ("10", 100))})
    assert "user uuuuuuuuuuuu…:" in first


def test_several_views_of_the_same_calls_are_told_of_in_a_fixed_order():
    table = {"one": (("30", 300), ("10", 100)), "two": (("10", 100), ("10", 100))}
    sentences = told(**dict.fromkeys(reversed(DIMENSIONS), table))
    assert [text.split(" comes from ")[1].split(":")[0] for text in sentences] == [
        "prompt version support.reply@one", "model one", "tenant one", "cohort one",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value, text",
    [("0", "$0.00"), ("12345.678", "$12,345.68"), ("0.5", "$0.50"), ("0.0003241", "$0.000324"), ("-0.012", "−$0.012"),
     ("-3", "−$3.00"), ("0.000000001", "$0.000000001"), ("0.99999", "$1.00"), (None, "–")],
)  # fmt: skip
def test_dollars_as_one_reads_them(value, text):
    assert short_usd(value if value is None else Decimal(value)) == text
