"""A provider's usage report in our words: disjoint parts that add up to its total."""

from collections.abc import Mapping

from gateway.types import Json, Usage

#: No call has more tokens; a report of more is a mistake, or a trick.
MOST_TOKENS = 1_000_000_000


def from_openai(report: Mapping[str, Json]) -> tuple[Usage, bool] | None:
    """The parts of an OpenAI-shaped report (chat or embeddings), and whether they add up to its `total_tokens`; None
    where it does not say what was used: no call may be free because its report cannot be read.

    `prompt_tokens` includes cached, cache-written and audio tokens, `completion_tokens` includes reasoning and audio
    ones (OpenAI API reference, "usage"). Some compatible servers count reasoning outside of `completion_tokens`; they
    are known by a total that is larger by just that. Details that exceed their whole are cut to it.
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

    cache_read = min(count(inside, "cached_tokens"), prompt)
    cache_write = min(count(inside, "cache_write_tokens"), prompt - cache_read)
    audio_input = min(count(inside, "audio_tokens"), prompt - cache_read - cache_write)
    reasoning = count(outside, "reasoning_tokens")
    if stated == prompt + completion + reasoning:
        completion += reasoning
    reasoning = min(reasoning, completion)
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
    return usage, usage.total_tokens == stated


def whole(value: Json) -> int | None:
    """A number of tokens; None for what cannot be one. A float that is whole counts: some servers write those."""
    # By its very type, as a truth value is an int too.
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def count(report: Mapping[str, Json], name: str) -> int:
    """The number of tokens under that name; 0 where there is none."""
    return whole(value) or 0 if (value := report.get(name)) else 0


def _details(report: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    found = report.get(name)
    return found if isinstance(found, dict) else {}
