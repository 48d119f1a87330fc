"""What the GenAI conventions say (semantic-conventions v1.41, docs/gen-ai; the newest text of their own repository).

Written from those pages and from no code of ours, so that a name or bucket that drifts is found.
"""

from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.gateway.telemetry.collector import attributes

#: Attribute → type of its value, of all that may stand on an inference or embeddings span.
ATTRIBUTES: dict[str, type] = {
    "gen_ai.operation.name": str, "gen_ai.provider.name": str, "gen_ai.request.model": str, "gen_ai.response.model": str,
    "gen_ai.response.id": str, "gen_ai.response.finish_reasons": list, "gen_ai.response.time_to_first_chunk": float,
    "gen_ai.conversation.id": str, "gen_ai.output.type": str, "gen_ai.request.choice.count": int, "gen_ai.request.seed": int,
    "gen_ai.request.stream": bool, "gen_ai.request.temperature": float, "gen_ai.request.top_p": float,
    "gen_ai.request.max_tokens": int, "gen_ai.request.frequency_penalty": float, "gen_ai.request.presence_penalty": float,
    "gen_ai.usage.input_tokens": int, "gen_ai.usage.output_tokens": int, "gen_ai.usage.cache_read.input_tokens": int,
    "gen_ai.usage.cache_creation.input_tokens": int, "gen_ai.usage.cache_write.input_tokens": int,
    "gen_ai.usage.reasoning.output_tokens": int, "gen_ai.prompt.name": str, "server.address": str, "server.port": int,
    "error.type": str, "gen_ai.system_instructions": str, "gen_ai.input.messages": str, "gen_ai.output.messages": str,
}  # fmt: skip
REQUIRED = {"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"}
OPERATIONS = {"chat", "embeddings"}
#: Names outside of the convention that readers of cost look for.
VENDORS = {"operation.cost": float, "gen_ai.usage.cost": float}

TOKENS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]
SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
#: Metric → kind, unit, buckets, attributes that each point must have.
METRICS: dict[str, tuple[str, str, list[float], set[str]]] = {
    "gen_ai.client.token.usage": ("histogram", "{token}", TOKENS, REQUIRED | {"gen_ai.token.type"}),
    "gen_ai.client.operation.duration": ("histogram", "s", SECONDS, REQUIRED),
    "gen_ai.client.operation.time_to_first_chunk": ("histogram", "s", SECONDS, REQUIRED),
    "gen_ai.client.operation.time_per_output_chunk": ("histogram", "s", SECONDS, REQUIRED),
}
NEXT: dict[str, tuple[str, str, list[float], set[str]]] = {
    "gen_ai.client.inference.usage.input_tokens": ("sum", "{token}", [], REQUIRED | {"gen_ai.token.modality"}),
    "gen_ai.client.inference.usage.output_tokens": ("sum", "{token}", [], REQUIRED | {"gen_ai.token.modality"}),
    "gen_ai.client.inference.usage.cache_read.input_tokens": (
        "sum",
        "{token}",
        [],
        REQUIRED | {"gen_ai.token.modality"},
    ),
    "gen_ai.client.inference.usage.cache_write.input_tokens": (
        "sum",
        "{token}",
        [],
        REQUIRED | {"gen_ai.token.modality"},
    ),
    "gen_ai.client.inference.usage.reasoning.output_tokens": (
        "sum",
        "{token}",
        [],
        REQUIRED | {"gen_ai.token.modality"},
    ),
    "gen_ai.client.inference.operation.input_tokens": ("histogram", "{token}", TOKENS, REQUIRED),
    "gen_ai.client.inference.operation.output_tokens": ("histogram", "{token}", TOKENS, REQUIRED),
    "gen_ai.client.inference.duration": ("histogram", "s", SECONDS, REQUIRED),
    "gen_ai.client.inference.time_to_first_chunk": ("histogram", "s", SECONDS, REQUIRED),
    "gen_ai.client.inference.time_per_output_chunk": ("histogram", "s", SECONDS, REQUIRED),
}


def faults_of_span(span: Span) -> list[str]:
    """What of a call's span is not as the convention has it."""
    said = attributes(span)
    model = said.get("gen_ai.request.model")
    faults = [f"{name} is missing" for name in REQUIRED - said.keys()]
    if span.name != f"{said.get('gen_ai.operation.name')} {model}":
        faults.append(f"its name is {span.name}")
    if span.kind != Span.SPAN_KIND_CLIENT:
        faults.append(f"its kind is {span.kind}")
    if said.get("gen_ai.operation.name") not in OPERATIONS:
        faults.append("its operation is none")
    for name, value in said.items():
        known = {**ATTRIBUTES, **VENDORS}.get(name)
        if known is None and not name.startswith("tollhouse."):
            faults.append(f"{name} is no attribute")
        elif known is not None and type(value) is not known:
            faults.append(f"{name} is a {type(value).__name__}")
    if ("error.type" in said) != (span.status.code == Status.STATUS_CODE_ERROR):
        faults.append("error.type and status do not agree")
    if "server.address" in said and "server.port" not in said:
        faults.append("an address without a port")
    parts = ("cache_read.input_tokens", "cache_creation.input_tokens")
    if sum(said.get(f"gen_ai.usage.{part}", 0) for part in parts) > said.get("gen_ai.usage.input_tokens", 0):
        faults.append("cached tokens are not among the input's")
    used = [said.get(f"gen_ai.usage.{part}_tokens") for part in ("input", "output")]
    if ("gen_ai.response.model" in said) != any(used) or used == [0, 0]:
        faults.append(f"a reply by {said.get('gen_ai.response.model')!r} with {used} tokens")
    return faults


def faults_of_metric(metric: Metric, known: dict[str, Any] = METRICS) -> list[str]:
    """What of a `gen_ai.` metric is not as the convention has it."""
    if metric.name not in known:
        return [f"{metric.name} is no metric"]
    kind, unit, buckets, required = known[metric.name]
    if not metric.HasField(kind):
        return [f"{metric.name} is no {kind}"]
    faults = [] if metric.unit == unit else [f"{metric.name} is in {metric.unit}"]
    for point in getattr(metric, kind).data_points:
        if missing := required - attributes(point).keys():
            faults.append(f"{metric.name} lacks {missing}")
        if kind == "histogram" and [round(bound, 6) for bound in point.explicit_bounds] != buckets:
            faults.append(f"{metric.name} has buckets {list(point.explicit_bounds)}")
        if "gen_ai.token.type" in required and attributes(point)["gen_ai.token.type"] not in ("input", "output"):
            faults.append("a token type that is none")
    return faults
