"""What a query can ask of a call: one line for each field."""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """How the values of a field are written and compared."""

    TEXT = "text"
    PROMPT = "prompt"
    ID = "id"
    NUMBER = "number"
    MONEY = "money"
    TIME = "time"
    FLAG = "flag"
    PAIR = "pair"
    TYPES = "types"
    ENDED = "ended"
    SCORE = "score"
    MOMENT = "moment"


#: Fields of these kinds are compared by size.
MEASURED = (Kind.NUMBER, Kind.MONEY, Kind.TIME)


@dataclass(frozen=True, slots=True)
class Field:
    """A field's name in queries, the columns that it stands for (several: their sum), and an example for the help."""

    name: str
    kind: Kind
    columns: tuple[str, ...]
    example: str
    help: str


FIELDS = {
    field.name: field
    for field in (
        Field("feature", Kind.TEXT, ("feature",), "feature:support.*", "the feature; * stands for any characters"),
        Field("outcome", Kind.TEXT, ("outcome",), "outcome:timeout,lost", "how it ended; a comma means “or”"),
        Field("ended", Kind.ENDED, ("outcome",), "ended:lost", "as it counts: lost and settled late is as it ended then"),
        Field("tenant", Kind.TEXT, ("tenant",), "tenant:acme", 'the tenant; tenant:"" means none'),
        Field("user", Kind.TEXT, ("user_ref",), "user:0f3a*", "the user ref, a pseudonym"),
        Field("cohort", Kind.TEXT, ("cohort",), "cohort:beta", "the rollout group"),
        Field("session", Kind.TEXT, ("session_id",), "session:s-42", "the session"),
        Field("label", Kind.PAIR, ("labels",), "label:team=checkout", "a label; label:team alone: has one of that name"),
        Field("key", Kind.TEXT, ("key",), "key:web", "the API key's name"),
        Field("source", Kind.TEXT, ("source",), "source:http", "where it came from"),
        Field("model", Kind.TEXT, ("model_served",), "model:gpt-*", "the model that answered"),
        Field("asked", Kind.TEXT, ("model_asked",), "asked:gpt-4o", "the model that was asked for"),
        Field("provider", Kind.TEXT, ("provider",), "provider:openai", "the provider that answered"),
        Field("route", Kind.TEXT, ("route",), "route:fast", "the route"),
        Field("fallback", Kind.TEXT, ("fallback_from",), "-fallback:\"\"", "the target that it fell back from"),
        Field("prompt", Kind.PROMPT, ("prompt_version",), "prompt:3f2a9c41", "the prompt version, by the start of its address"),
        Field("variant", Kind.TEXT, ("variant",), "variant:b", "the variant of the deployment"),
        Field("cost", Kind.MONEY, ("cost_usd",), "cost>0.05", "US dollars, without later adjustments; cost:none: no price"),
        Field("overrun", Kind.MONEY, ("overrun_usd",), "overrun>0", "US dollars above what was held"),
        Field("latency", Kind.TIME, ("latency_ms",), "latency>2s", "in all; ms, s, m or h"),
        Field("first", Kind.TIME, ("first_token_ms",), "first>800ms", "time to the first token, of streams"),
        Field("gate", Kind.TIME, ("gate_ms",), "gate>20ms", "the gate's own time"),
        Field(
            "input", Kind.NUMBER, ("input_tokens", "cache_read_tokens", "cache_write_tokens", "audio_input_tokens"),
            "input>10k", "input tokens, cached ones too",
        ),
        Field(
            "output", Kind.NUMBER, ("output_tokens", "reasoning_tokens", "audio_output_tokens"),
            "output:100..200", "output tokens, reasoning too; two dots: from, to",
        ),
        Field("attempts", Kind.NUMBER, ("attempts",), "attempts>1", "requests to providers"),
        Field("tools", Kind.NUMBER, ("tool_calls",), "tools>0", "tool calls in the reply"),
        Field("status", Kind.NUMBER, ("http_status",), "status:500..599", "the HTTP status"),
        Field("error", Kind.TEXT, ("error_class",), "error:ProviderTimeout", "the class of the error"),
        Field("finish", Kind.TEXT, ("finish_reason",), "finish:length", "the finish reason"),
        Field("policy", Kind.TEXT, ("policy",), "policy:default", "the redaction policy"),
        Field("entity", Kind.TYPES, ("entities",), "entity:PERSON", "a type of personal data that was found"),
        Field(
            "score", Kind.SCORE, (), "score:feedback<0",
            "what was said of it: feedback, edit, eval or an eval's name, and how much; score:edit alone: has one",
        ),
        Field("streamed", Kind.FLAG, ("streamed",), "streamed:yes", "yes or no"),
        Field("cached", Kind.FLAG, ("cache_hit",), "cached:yes", "answered from the cache; yes or no"),
        Field("operation", Kind.TEXT, ("operation",), "operation:embeddings", "chat or embeddings"),
        Field("id", Kind.ID, ("id",), "id:0190a2b4", "the call, by the start of its id"),
        Field("parent", Kind.ID, ("parent",), "parent:0190a2b4-…", "the step or call that it was made within"),
        Field("trace", Kind.TEXT, ("trace_id",), "trace:4bf92f35…", "the trace of OpenTelemetry"),
        Field("since", Kind.MOMENT, (), "since:2026-11-01", "from then on; a day, a moment, or 7d for the last seven days"),
        Field("until", Kind.MOMENT, (), "until:2026-11-02T12:00", "before then"),
    )
}  # fmt: skip
#: Columns by their own names, as the dashboards and older links know them.
ALIASES = {
    "user_ref": "user", "session_id": "session", "prompt_version": "prompt", "model_served": "model",
    "model_asked": "asked", "labels": "label", "trace_id": "trace", "cost_usd": "cost", "cache_hit": "cached",
    "fallback_from": "fallback", "error_class": "error", "finish_reason": "finish",
}  # fmt: skip
#: The columns in which words without a field are looked for.
WORDS_IN = ("feature", "tenant", "model_served", "reason", "error_class", "session_id")
