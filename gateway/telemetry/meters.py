"""What a finished call adds to the meters: OpenTelemetry's, where it is set up, and those of `/metrics`, where it is on."""

from collections.abc import Iterator, Mapping
from functools import cache

from opentelemetry import metrics
from opentelemetry.metrics import Counter, Histogram

from gateway.conf import settings
from gateway.telemetry import store
from gateway.telemetry.finished import Finished
from gateway.telemetry.names import BY_NAME
from gateway.types import TOKEN_PARTS

#: A metric's name, the amount and the attributes.
Measured = tuple[str, float, Mapping[str, str]]

#: Different values of one attribute that a process tells apart; later ones are OTHER. Providers say what their models are
#: called, so that a hostile one could invent new names for ever.
MOST_VALUES = 300
OTHER = "_OTHER"


def active() -> bool:
    """Whether somebody reads meters: an application or environment that set up OpenTelemetry, or `/metrics`."""
    return exported() or bool(settings().METRICS_TOKEN)


def exported() -> bool:
    """Whether OpenTelemetry's meters are set up; its own stand-ins do nothing."""
    return not type(metrics.get_meter_provider()).__module__.startswith("opentelemetry.metrics")


def tell(call: Finished) -> None:
    """Adds a call to the meters that are read."""
    to_export, to_store = exported(), bool(settings().METRICS_TOKEN)
    last, said = None, {}
    for name, amount, about in measured(call):
        if about is not last:
            last, said = about, bounded(about)
        if to_export:
            add(name, amount, said)
        if to_store:
            store.store.add(name, amount, said)


def count(name: str, amount: float, said: Mapping[str, str]) -> None:
    """Adds what happened outside of calls to a counter, in the meters that are read."""
    said = bounded(said)
    if exported():
        add(name, amount, said)
    if settings().METRICS_TOKEN:
        store.store.add(name, amount, said)


def add(name: str, amount: float, said: Mapping[str, str]) -> None:
    """Adds to the counter, or records in the histogram, of that name."""
    instrument = _instrument(name)
    if isinstance(instrument, Histogram):
        instrument.record(amount, said)
    else:
        instrument.add(amount, said)


@cache
def _instrument(name: str) -> Counter | Histogram:
    """Made at first use; where OpenTelemetry is set up later, the instrument speaks to that from then on."""
    metric, meter = BY_NAME[name], metrics.get_meter("tollhouse")
    if metric.kind == "counter":
        return meter.create_counter(name, metric.unit, metric.description)
    return meter.create_histogram(
        name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.buckets
    )


def measured(call: Finished) -> Iterator[Measured]:
    """Everything that a call adds."""
    yield from _genai(call)
    if "genai-next" in settings().TELEMETRY_DIALECTS:
        yield from _genai_next(call)
    yield from _ours(call)


def _said(call: Finished) -> dict[str, str]:
    row = call.row
    said = {
        "gen_ai.operation.name": row["operation"],
        "gen_ai.provider.name": call.provider,
        "gen_ai.request.model": call.model,
        "tollhouse.feature": row["feature"],
    }
    if call.response_model:
        said["gen_ai.response.model"] = call.response_model
    return said | ({"error.type": call.error} if call.error else {})


def _genai(call: Finished) -> Iterator[Measured]:
    row, said = call.row, _said(call)
    yield "gen_ai.client.operation.duration", row["latency_ms"] / 1000, said
    if row["streamed"] and row["first_token_ms"] is not None:
        yield "gen_ai.client.operation.time_to_first_chunk", row["first_token_ms"] / 1000, said
    for gap in call.gaps:
        yield "gen_ai.client.operation.time_per_output_chunk", gap, said
    # The convention wants what a provider reported, and no estimates.
    if call.used and not row["usage_estimated"]:
        yield "gen_ai.client.token.usage", call.input_tokens, {**said, "gen_ai.token.type": "input"}
        yield "gen_ai.client.token.usage", call.output_tokens, {**said, "gen_ai.token.type": "output"}


def _genai_next(call: Finished) -> Iterator[Measured]:
    row, said, prefix = call.row, _said(call), "gen_ai.client.inference"
    if row["operation"] == "embeddings":
        return
    yield f"{prefix}.duration", row["latency_ms"] / 1000, said
    if row["streamed"] and row["first_token_ms"] is not None:
        yield f"{prefix}.time_to_first_chunk", row["first_token_ms"] / 1000, said
    for gap in call.gaps:
        yield f"{prefix}.time_per_output_chunk", gap, said
    if row["usage_estimated"] or not call.used:
        return
    yield f"{prefix}.operation.input_tokens", call.input_tokens, said
    yield f"{prefix}.operation.output_tokens", call.output_tokens, said
    audio_in, audio_out = row["audio_input_tokens"], row["audio_output_tokens"]
    usage = (
        ("input_tokens", call.input_tokens - audio_in, "text"),
        ("input_tokens", audio_in, "audio"),
        ("output_tokens", call.output_tokens - audio_out, "text"),
        ("output_tokens", audio_out, "audio"),
        ("cache_read.input_tokens", row["cache_read_tokens"], "unknown"),
        ("cache_write.input_tokens", row["cache_write_tokens"], "unknown"),
        ("reasoning.output_tokens", row["reasoning_tokens"], "text"),
    )
    for what, count, modality in usage:
        if count:
            yield f"{prefix}.usage.{what}", count, {**said, "gen_ai.token.modality": modality}


def _ours(call: Finished) -> Iterator[Measured]:
    row = call.row
    feature = {"tollhouse.feature": row["feature"]}
    target = feature | {"tollhouse.provider": row["provider"], "tollhouse.model": row["model_served"]}
    hit = "true" if row["cache_hit"] else "false"
    yield "tollhouse.calls", 1, {**target, "tollhouse.outcome": row["outcome"], "tollhouse.cache_hit": hit}
    if call.cost:
        yield "tollhouse.cost", call.cost, target
    if row["overrun_usd"]:
        yield "tollhouse.overrun", float(row["overrun_usd"]), target
    for part in TOKEN_PARTS:
        if row[part]:
            yield "tollhouse.tokens", row[part], {**target, "tollhouse.token.part": part.removesuffix("_tokens")}
    if row["attempts"]:
        yield "tollhouse.attempts", row["attempts"], target
    if row["fallback_from"]:
        yield "tollhouse.fallbacks", 1, target
    for entity, count in row["entities"].items():
        yield "tollhouse.entities", count, {**feature, "tollhouse.entity": entity}
    yield "tollhouse.gate.duration", row["gate_ms"] / 1000, feature
    yield "tollhouse.redaction.duration", row["redaction_ms"] / 1000, feature
    yield "tollhouse.settle.duration", call.settle_ms / 1000, feature


_known: dict[str, set[str]] = {}


def bounded(said: Mapping[str, str]) -> dict[str, str]:
    """The attributes, with OTHER in place of values beyond what a process tells apart."""
    found = {}
    for name, value in said.items():
        known = _known.setdefault(name, set())
        if value not in known and len(known) >= MOST_VALUES:
            value = OTHER
        known.add(value)
        found[name] = value
    return found
