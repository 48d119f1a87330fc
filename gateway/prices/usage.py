"""A provider's usage report in our words: disjoint parts that add up to its total."""

from collections.abc import Mapping

from gateway.types import Json, Usage


def from_openai(report: Mapping[str, Json]) -> tuple[Usage, bool]:
    """The parts of an OpenAI-shaped report (chat or embeddings), and whether they add up to its `total_tokens`.

    `prompt_tokens` includes cached, cache-written and audio tokens, `completion_tokens` includes reasoning and audio
    ones (OpenAI API reference, "usage"). Some compatible servers count reasoning outside of `completion_tokens`; they
    are known by a total that is larger by just that. Details that exceed their whole are cut to it.
    """
    prompt, completion = _count(report, "prompt_tokens"), _count(report, "completion_tokens")
    inside, outside = _details(report, "prompt_tokens_details"), _details(report, "completion_tokens_details")
    total = report.get("total_tokens")
    stated = total if isinstance(total, int) and not isinstance(total, bool) else prompt + completion

    cache_read = min(_count(inside, "cached_tokens"), prompt)
    cache_write = min(_count(inside, "cache_write_tokens"), prompt - cache_read)
    audio_input = min(_count(inside, "audio_tokens"), prompt - cache_read - cache_write)
    reasoning = _count(outside, "reasoning_tokens")
    if stated == prompt + completion + reasoning:
        completion += reasoning
    reasoning = min(reasoning, completion)
    audio_output = min(_count(outside, "audio_tokens"), completion - reasoning)
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


def _details(report: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    found = report.get(name)
    return found if isinstance(found, Mapping) else {}


def _count(report: Mapping[str, Json], name: str) -> int:
    value = report.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
