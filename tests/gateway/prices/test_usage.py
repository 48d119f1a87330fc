"""Reports become disjoint parts that add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.prices.usage import from_openai
from gateway.types import Usage


@pytest.mark.parametrize(
    "report, parts, adds_up",
    [
        ({"prompt_tokens": 8, "total_tokens": 8}, {"input_tokens": 8}, True),
        (
            {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050,
             "prompt_tokens_details": {"cached_tokens": 800, "cache_write_tokens": 100, "audio_tokens": 30},
             "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 5}},
            {"input_tokens": 70, "cache_read_tokens": 800, "cache_write_tokens": 100, "audio_input_tokens": 30,
             "output_tokens": 25, "reasoning_tokens": 20, "audio_output_tokens": 5},
            True,
        ),
        # Reasoning counted outside of completion_tokens, which the total proves.
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 35, "completion_tokens_details": {"reasoning_tokens": 20}},
            {"input_tokens": 10, "output_tokens": 5, "reasoning_tokens": 20},
            True,
        ),
        # Gemini's OpenAI-compatible endpoint tells of thoughts in the total alone.
        (
            {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623},
            {"input_tokens": 20, "output_tokens": 198, "reasoning_tokens": 405},
            False,
        ),
        (
            {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 90, "completion_tokens_details": {"reasoning_tokens": 4}},
            {"input_tokens": 20, "output_tokens": 10, "reasoning_tokens": 60},
            False,
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 9}, {"input_tokens": 10, "output_tokens": 5}, False),
        ({"prompt_tokens": 10, "completion_tokens": 5}, {"input_tokens": 10, "output_tokens": 5}, True),
        (
            {"prompt_tokens": 10, "completion_tokens": None, "total_tokens": 10, "prompt_tokens_details": None},
            {"input_tokens": 10},
            True,
        ),
    ],
)  # fmt: skip
def test_reports(report, parts, adds_up):
    assert from_openai(report) == (Usage(**parts), adds_up)


@pytest.mark.parametrize("name", ["cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens"])
def test_cached_tokens_are_read_where_servers_have_names_of_their_own_for_them(name):
    report = {"prompt_tokens": 1000, "completion_tokens": 30, "total_tokens": 1030, name: 800}
    parts = Usage(input_tokens=200, cache_read_tokens=800, output_tokens=30)
    assert from_openai(report) == (parts, True)
    assert from_openai({**report, "prompt_tokens_details": {"cached_tokens": 800}}) == (parts, True)
    assert from_openai({**report, "prompt_tokens_details": {"cached_tokens": 0}, name: None})[0].cache_read_tokens == 0


counts = st.one_of(st.none(), st.booleans(), st.integers(-5, 10**6), st.text(max_size=3))
details = st.one_of(
    st.none(),
    st.lists(counts),
    st.dictionaries(
        st.sampled_from(["cached_tokens", "cache_write_tokens", "audio_tokens", "reasoning_tokens"]), counts
    ),
)


def report_negative(report):
    return min(report["prompt_tokens"], report["completion_tokens"]) < 0


@pytest.mark.parametrize("count", [-1, "20", 2.5, 10**30, 1e30, float("inf"), float("nan"), True, [20], None])
def test_a_report_that_does_not_say_what_was_used_is_none(count):
    assert from_openai({"prompt_tokens": count, "completion_tokens": 5, "total_tokens": 25}) is None
    assert from_openai({"prompt_tokens": 20, "completion_tokens": count}) is None


@given(st.fixed_dictionaries({}, optional={
    "prompt_tokens": counts, "completion_tokens": counts, "total_tokens": counts,
    "prompt_tokens_details": details, "completion_tokens_details": details,
}))  # fmt: skip
def test_whatever_a_provider_sends_gives_parts_that_are_not_negative(report):
    if (found := from_openai(report)) is None:
        assert not {type(report.get("prompt_tokens")), type(report.get("completion_tokens"))} <= {
            int
        } or report_negative(report)
        return
    usage, adds_up = found
    assert all(getattr(usage, part) >= 0 for part in Usage.__slots__ if part != "estimated")
    if adds_up and type(report.get("total_tokens")) is int:
        assert usage.total_tokens == report["total_tokens"]
