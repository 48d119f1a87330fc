"""Other names for the same facts, for backends that read those: switched on by the setting TELEMETRY_DIALECTS."""

from collections.abc import Callable, Mapping, Sequence

import orjson

from gateway.telemetry import content
from gateway.telemetry.finished import Finished

Attribute = str | bool | int | float | Sequence[str]


def openinference(call: Finished) -> dict[str, Attribute]:
    """OpenInference, which Phoenix and Arize read (openinference.semconv.trace 0.1.42)."""
    row = call.row
    embeds = row["operation"] == "embeddings"
    found: dict[str, Attribute] = {
        "openinference.span.kind": "EMBEDDING" if embeds else "LLM",
        "embedding.model_name" if embeds else "llm.model_name": row["model_served"] or call.model,
        "llm.provider": call.vendor,
        "llm.system": call.vendor,
    }
    if call.used:
        found |= {
            "llm.token_count.prompt": call.input_tokens,
            "llm.token_count.completion": call.output_tokens,
            "llm.token_count.total": call.input_tokens + call.output_tokens,
            "llm.token_count.prompt_details.cache_read": row["cache_read_tokens"],
            "llm.token_count.prompt_details.cache_write": row["cache_write_tokens"],
            "llm.token_count.prompt_details.audio": row["audio_input_tokens"],
            "llm.token_count.completion_details.reasoning": row["reasoning_tokens"],
            "llm.token_count.completion_details.audio": row["audio_output_tokens"],
        }
    if call.cost is not None:
        found["llm.cost.total"] = call.cost
    if row["session_id"]:
        found["session.id"] = row["session_id"]
    if row["user_ref"]:
        found["user.id"] = row["user_ref"]
    if call.content and content.switched_on():
        told = content.attributes(call.content, row["finish_reason"])
        for name, ours in (("input", "gen_ai.input.messages"), ("output", "gen_ai.output.messages")):
            if ours in told:
                found |= {f"{name}.value": told[ours], f"{name}.mime_type": "application/json"}
    return found


def langfuse(call: Finished) -> dict[str, Attribute]:
    """What Langfuse reads beside the conventions' names (langfuse 5.0)."""
    row = call.row
    found: dict[str, Attribute] = {
        "langfuse.observation.type": "embedding" if row["operation"] == "embeddings" else "generation",
        "langfuse.observation.model.name": row["model_served"] or call.model,
    }
    if call.cost is not None:
        found["langfuse.observation.cost_details"] = orjson.dumps({"total": call.cost}).decode()
    if row["session_id"]:
        found["session.id"] = row["session_id"]
    if row["user_ref"]:
        found["user.id"] = row["user_ref"]
    return found


def genai_next(call: Finished) -> dict[str, Attribute]:
    """The newest text of the GenAI conventions: it changes metrics, and no name of a span that we do not tell already."""
    return {}


#: What each dialect adds to a span.
SPANS: Mapping[str, Callable[[Finished], Mapping[str, Attribute]]] = {
    "openinference": openinference,
    "langfuse": langfuse,
    "genai-next": genai_next,
}
