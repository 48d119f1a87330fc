"""Cost and its bound: exact, and the bound holds for every split."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.prices.cost import cost_usd, most_usd
from gateway.prices.rates import Rates
from gateway.types import Usage

PARTS = ("input", "cache_read", "cache_write", "audio_input", "output", "reasoning", "audio_output")
prices = st.decimals(min_value=0, max_value=1000, places=6).map(str)
partial = st.dictionaries(st.sampled_from(PARTS), prices)


@st.composite
def rate_tables(draw):
    table = {"input": draw(prices), **draw(partial)}
    above = sorted(draw(st.sets(st.integers(0, 300_000), max_size=3)))
    table["tiers"] = [{"above": start, **draw(partial)} for start in above]
    if draw(st.booleans()):
        table["request"] = draw(prices)
    return table


counts = st.integers(0, 400_000)


@given(
    rate_tables(), counts, counts, counts, counts, counts, counts, counts, st.integers(0, 1000), st.integers(0, 1000)
)
def test_no_usage_within_the_bound_costs_more_than_the_bound(table, i, r, w, a, o, t, b, more_in, more_out):
    rates = Rates.parse(table)
    usage = Usage(
        input_tokens=i, cache_read_tokens=r, cache_write_tokens=w, audio_input_tokens=a, output_tokens=o,
        reasoning_tokens=t, audio_output_tokens=b,
    )  # fmt: skip
    most = most_usd(
        input_tokens=usage.all_input_tokens + more_in, output_tokens=usage.all_output_tokens + more_out, rates=rates
    )
    assert cost_usd(usage, rates) <= most


def test_every_part_is_billed_at_its_own_rate():
    rates = Rates.parse({"input": "2.50", "cache_read": "1.25", "output": "10", "reasoning": "20"})
    usage = Usage(input_tokens=200, cache_read_tokens=800, output_tokens=10, reasoning_tokens=5)
    assert cost_usd(usage, rates) == Decimal("0.0017")


def test_parts_without_a_rate_are_billed_as_plain_input_and_output():
    rates = Rates.parse({"input": "1", "output": "2"})
    assert cost_usd(Usage(cache_read_tokens=10, cache_write_tokens=10, reasoning_tokens=10), rates) == Decimal(
        "0.00004"
    )


def test_a_tier_is_a_cliff_by_all_input_tokens():
    rates = Rates.parse({"input": "1", "output": "1", "tiers": [{"above": 100, "input": "3"}]})
    assert cost_usd(Usage(input_tokens=60, cache_read_tokens=40), rates) == Decimal("0.0001")
    assert cost_usd(Usage(input_tokens=61, cache_read_tokens=40), rates) == Decimal("0.000303")


def test_a_variant_replaces_the_rates_it_names_with_their_tiers():
    rates = Rates.parse({
        "input": "4", "output": "8", "tiers": [{"above": 10, "input": "8", "output": "16"}],
        "variants": {"batch": {"input": "2"}},
    })  # fmt: skip
    usage = Usage(input_tokens=20, output_tokens=1)
    assert cost_usd(usage, rates.variant("batch")) == Decimal("0.000056")
    assert cost_usd(usage, rates.variant("unheard-of")) == cost_usd(usage, rates)


@pytest.mark.parametrize(
    "table, words",
    [
        ([], "Rates are an object"),
        ({"output": "1"}, '"input" is missing'),
        ({"input": "-1"}, "cannot be '-1'"),
        ({"input": "NaN"}, "cannot be 'NaN'"),
        ({"input": "a lot"}, "not a decimal"),
        ({"input": "2000000"}, "more than one dollar a token"),
        ({"input": "1", "inptu": "1"}, "inptu is no part"),
        ({"input": "1", "tiers": [{"above": "100"}]}, "whole number"),
    ],
)
def test_a_wrong_table_says_what_is_wrong(table, words):
    with pytest.raises(ValueError, match=words):
        Rates.parse(table)
