"""A provider's usage report in our words: disjoint parts that add up to its total."""

from collections.abc import Mapping

from gateway.types import Json, Usage

#: No call has more tokens; a report of more is a mistake, or a trick.
MOST_TOKENS = 1_000_000_000
#: How servers name cached tokens, in the details of the prompt or beside them, always as a part of `prompt_tokens`: OpenAI,
#: DeepSeek ("Create Chat Completion": prompt_tokens = hits + misses) and Databricks; Kimi has OpenAI's name beside the
#: details. Then those written to a cache: OpenAI, and litellm's proxy by its own name and Anthropic's.
CACHE_READ = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")
CACHE_WRITE = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")


def from_openai(report: Mapping[str, Json]) -> tuple[Usage, bool] | None:
    """The parts of an OpenAI-shaped report (chat or embeddings), and whether they add up to its `total_tokens`; None
    where it does not say what was used: no call may be free because its report cannot be read.

    `prompt_tokens` includes cached, cache-written and audio tokens, `completion_tokens` includes reasoning and audio
    ones (OpenAI API reference, "usage"). Some compatible servers count reasoning outside of `completion_tokens`; they
    are known by a total that is larger. Gemini's does so without a word on reasoning, and bills it as output all the same,
    so whatever the total has besides is taken for reasoning. Details that exceed their whole are cut to it.
    """
    prompt, total = whole(report.get("prompt_tokens")), whole(report.get("total_tokens"))
    completion = whole(report.get("completion_tokens"))
    if completion is None and report.get("completion_tokens") is None and prompt is not None and total is not None:
        # Embeddings have none.
        completion = max(0, total - prompt)
    if prompt is None or completion is None:
        return None
    inside, outside = _details(report, "prompt_tokens_details"), _details(report, "completion_tokens_details")
    stated = prompt + completion if total is None else total

    cache_read = min(_cached(inside, report, CACHE_READ), prompt)
    cache_write = min(_cached(inside, report, CACHE_WRITE), prompt - cache_read)
    audio_input = min(count(inside, "audio_tokens"), prompt - cache_read - cache_write)
    reasoning = count(outside, "reasoning_tokens")
    beside = max(0, stated - prompt - completion)
    adds_up = stated == prompt + completion or beside == reasoning > 0
    completion += beside
    reasoning = min(max(reasoning, beside), completion)
    audio_output = min(count(outside, "audio_tokens"), completion - reasoning)
    usage = Usage(
        input_tokens=prompt - cache_read - cache_write - audio_input,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        audio_input_tokens=audio_input,
        output_tokens=completion - reasoning - audio_output,
        reasoning_tokens=reasoning,
        audio_output_tokens=audio_output,
    )
    return usage, adds_up


def whole(value: Json) -> int | None:
    """A number of tokens; None for what cannot be one. A float that is whole counts: some servers write those."""
    # By its very type, as a truth value is an int too.
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def count(report: Mapping[str, Json], name: str) -> int:
    """The number of tokens under that name; 0 where there is none."""
    return whole(value) or 0 if (value := report.get(name)) else 0


def _cached(inside: Mapping[str, Json], report: Mapping[str, Json], names: tuple[str, ...]) -> int:
    """The cached tokens of a report whose details are `inside`, by the first name that tells of any."""
    for name in names:
        if found := count(inside, name) or count(report, name):
            return found
    return 0


def _details(report: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    found = report.get(name)
    return found if isinstance(found, dict) else {}
