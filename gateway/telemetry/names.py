"""Names of what is measured: one table, from which OpenTelemetry's instruments, `/metrics` and the tests are made.

Sources: GenAI semantic conventions v1.41 (`gen_ai.client.*`) and the newest text of their own repository
(`gen_ai.client.inference.*`, only with the dialect `genai-next`). Nothing there is for cost, budgets and gates: those names
are ours, under `tollhouse.`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

#: Providers by litellm's name, which the price book uses, as the conventions write them.
PROVIDERS: Mapping[str, str] = MappingProxyType({
    "openai": "openai", "anthropic": "anthropic", "azure": "azure.ai.openai", "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock", "gemini": "gcp.gemini", "vertex_ai": "gcp.vertex_ai", "cohere": "cohere",
    "deepseek": "deepseek", "groq": "groq", "watsonx": "ibm.watsonx.ai", "mistral": "mistral_ai",
    "moonshot": "moonshot_ai", "perplexity": "perplexity", "xai": "x_ai",
})  # fmt: skip

#: From four to the thirteenth: 1, 4, 16 … 67,108,864.
TOKEN_BUCKETS = tuple(float(4**n) for n in range(14))
#: From 10 ms, doubling to 81.92 s.
SECOND_BUCKETS = tuple(0.01 * 2**n for n in range(14))
#: Of what the gate itself takes: from half a millisecond, doubling to 4 s.
GATE_BUCKETS = tuple(0.0005 * 2**n for n in range(14))


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, with the unit in UCUM and the attributes that it has in every case or in some.

    A gauge is of one process (`ledger`, `breaker`) or of the whole gate (`budget`); `dialect` is the setting that it needs.
    """

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    unit: str
    description: str
    attributes: tuple[str, ...]
    buckets: tuple[float, ...] = ()
    dialect: str = ""


_GENAI = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model", "error.type",
          "tollhouse.feature")  # fmt: skip
_TARGET = ("tollhouse.feature", "tollhouse.provider", "tollhouse.model")
_WINDOW = ("tollhouse.budget", "tollhouse.budget.value", "tollhouse.budget.metric", "tollhouse.budget.period")
_NEXT = "genai-next"


def _usage(what: str, description: str) -> Metric:
    return Metric(f"gen_ai.client.inference.usage.{what}", "counter", "{token}", description,
                  (*_GENAI, "gen_ai.token.modality"), dialect=_NEXT)  # fmt: skip


METRICS: tuple[Metric, ...] = (
    Metric("gen_ai.client.token.usage", "histogram", "{token}", "Tokens of a call, as its provider reported them.",
           (*_GENAI, "gen_ai.token.type"), TOKEN_BUCKETS),
    Metric("gen_ai.client.operation.duration", "histogram", "s", "How long a call took.", _GENAI, SECOND_BUCKETS),
    Metric("gen_ai.client.operation.time_to_first_chunk", "histogram", "s", "How long a stream took to begin.", _GENAI,
           SECOND_BUCKETS),
    Metric("gen_ai.client.operation.time_per_output_chunk", "histogram", "s",
           "How long a chunk of a stream took after the one before; of long streams an even sample.", _GENAI, SECOND_BUCKETS),
    _usage("input_tokens", "Tokens read."),
    _usage("output_tokens", "Tokens written."),
    _usage("cache_read.input_tokens", "Tokens read from a provider's cache."),
    _usage("cache_write.input_tokens", "Tokens written to a provider's cache."),
    _usage("reasoning.output_tokens", "Tokens of reasoning."),
    Metric("gen_ai.client.inference.operation.input_tokens", "histogram", "{token}", "Tokens that a call read.", _GENAI,
           TOKEN_BUCKETS, _NEXT),
    Metric("gen_ai.client.inference.operation.output_tokens", "histogram", "{token}", "Tokens that a call wrote.", _GENAI,
           TOKEN_BUCKETS, _NEXT),
    Metric("gen_ai.client.inference.duration", "histogram", "s", "How long an inference took.", _GENAI, SECOND_BUCKETS, _NEXT),
    Metric("gen_ai.client.inference.time_to_first_chunk", "histogram", "s", "How long a stream took to begin.", _GENAI,
           SECOND_BUCKETS, _NEXT),
    Metric("gen_ai.client.inference.time_per_output_chunk", "histogram", "s",
           "How long a chunk of a stream took after the one before; of long streams an even sample.", _GENAI, SECOND_BUCKETS,
           _NEXT),
    Metric("tollhouse.calls", "counter", "{call}", "Calls that passed the gate or were refused there.",
           (*_TARGET, "tollhouse.outcome", "tollhouse.cache_hit")),
    Metric("tollhouse.cost", "counter", "{USD}", "What calls cost, in US dollars, when their rows were written.", _TARGET),
    Metric("tollhouse.overrun", "counter", "{USD}", "What calls cost beyond what was held, in US dollars.", _TARGET),
    Metric("tollhouse.tokens", "counter", "{token}", "Tokens, in disjoint parts.", (*_TARGET, "tollhouse.token.part")),
    Metric("tollhouse.attempts", "counter", "{attempt}", "Requests to providers.", _TARGET),
    Metric("tollhouse.fallbacks", "counter", "{call}", "Calls that another target than the first served.", _TARGET),
    Metric("tollhouse.entities", "counter", "{entity}", "Personal data found in calls.",
           ("tollhouse.feature", "tollhouse.entity")),
    Metric("tollhouse.gate.duration", "histogram", "s", "What of a call's time was the gate's own.", ("tollhouse.feature",),
           GATE_BUCKETS),
    Metric("tollhouse.redaction.duration", "histogram", "s", "How long a call was looked at for personal data.",
           ("tollhouse.feature",), GATE_BUCKETS),
    Metric("tollhouse.settle.duration", "histogram", "s", "How long a call's row took to be committed.",
           ("tollhouse.feature",), GATE_BUCKETS),
    Metric("tollhouse.telemetry.dropped", "counter", "{item}", "Telemetry that no collector took.", ("tollhouse.signal",)),
    Metric("tollhouse.breaker.trips", "counter", "{trip}", "Times that a process began to leave a target alone.",
           ("tollhouse.target",)),
    Metric("tollhouse.ledger.queue", "gauge", "{operation}", "Holds and settlements that wait for the database.",
           ("tollhouse.process",)),
    Metric("tollhouse.ledger.away", "gauge", "s", "For how long the ledger's database has not answered.",
           ("tollhouse.process",)),
    Metric("tollhouse.breaker.open", "gauge", "{target}", "1 where a process leaves a target alone.",
           ("tollhouse.process", "tollhouse.target")),
    Metric("tollhouse.budget.spent", "gauge", "{unit}", "Spent in a budget's window, in dollars, tokens or calls.", _WINDOW),
    Metric("tollhouse.budget.held", "gauge", "{unit}", "Held in it by calls under way.", _WINDOW),
    Metric("tollhouse.budget.limit", "gauge", "{unit}", "Its limit, raises counted.", _WINDOW),
    Metric("tollhouse.budget.share", "gauge", "1", "Spent and held, as a share of the limit.", _WINDOW),
    Metric("tollhouse.holds", "gauge", "{call}", "Calls under way that hold money, tokens or calls.", ()),
    Metric("tollhouse.switches.on", "gauge", "{switch}", "Kill switches that are on.", ("tollhouse.scope",)),
    Metric("tollhouse.alerts.open", "gauge", "{alert}", "Alerts that are open.",
           ("tollhouse.alert.kind", "tollhouse.alert.severity")),
    Metric("tollhouse.worker.silent", "gauge", "s", "Since when no worker was seen; absent where none ever was.", ()),
)  # fmt: skip
BY_NAME: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in METRICS})
