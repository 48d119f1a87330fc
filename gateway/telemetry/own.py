"""OpenTelemetry and Sentry in processes that are the product's own, set up by their standard environment variables.

In the process of an application this does nothing where the application has set them up itself.
"""

import logging
import os
import threading
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from gateway.telemetry import meters, sentry, spans

logger = logging.getLogger("tollhouse.telemetry")

#: One of these says that telemetry is wanted, and where.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
PROTOCOLS = {"grpc": "grpc", "http/protobuf": "http"}
#: How long the end of a process waits for a collector that does not answer, in seconds.
STOP_S = 3.0

_stops: list[Callable[[], Any]] = []


def start(role: str) -> None:
    """Sets up what the environment asks for; `role` (server, worker) becomes part of the service's name.

    To be called in the process that serves, after it was forked: exporters have threads and connections.
    """
    sentry.start(role)
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or not any(map(os.environ.get, ENDPOINTS)):
        return
    if find_spec("opentelemetry.exporter") is None or find_spec("opentelemetry.sdk") is None:
        logger.error(
            "telemetry: an OTLP endpoint is set, and its exporter is not installed: pip install 'tollhouse[otel]'"
        )
        return
    for signal, is_set_up, set_up in (("TRACES", spans.active, _traces), ("METRICS", meters.exported, _metrics)):
        wanted = os.environ.get(f"OTEL_{signal}_EXPORTER", "otlp")
        if wanted == "otlp" and not is_set_up():
            try:
                set_up(_protocol(signal), role)
            except Exception:
                logger.exception("telemetry: %s are not exported", signal.lower())
        elif wanted not in ("otlp", "none"):
            logger.error("telemetry: OTEL_%s_EXPORTER=%s is not known here; write otlp or none", signal, wanted)


def stop() -> None:
    """Sends what waits, as far as somebody takes it within STOP_S."""
    stopping = [threading.Thread(target=stop, daemon=True) for stop in _stops]
    _stops.clear()
    for thread in stopping:
        thread.start()
    for thread in stopping:
        thread.join(STOP_S)


def _protocol(signal: str) -> str:
    """`grpc` or `http`. Raises ValueError for a protocol that there is none of."""
    name = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL") or os.environ.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"
    )
    if name not in PROTOCOLS:
        raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL={name} is not known; write {' or '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]


def _resource(role: str) -> Any:
    from opentelemetry.sdk.resources import Resource
    from uuid_utils.compat import uuid7

    try:
        release = version("tollhouse")
    except PackageNotFoundError:
        release = ""
    ours = {
        "service.instance.id": str(uuid7()),
        "tollhouse.role": role,
        **({"service.version": release} if release else {}),
    }
    found = Resource.create()
    if str(found.attributes["service.name"]).startswith("unknown_service"):
        ours["service.name"] = "tollhouse"
    return found.merge(Resource(ours))


def _traces(protocol: str, role: str) -> None:
    from opentelemetry import trace

    provider = tracer_provider(protocol, role)
    trace.set_tracer_provider(provider)
    _stops.append(provider.shutdown)


def tracer_provider(protocol: str, role: str) -> Any:
    """What makes spans and sends them over `grpc` or `http`, to where the environment says."""
    from opentelemetry.sdk.trace import TracerProvider

    from gateway.telemetry.exporting import CountedSpans

    exporter = import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.trace_exporter").OTLPSpanExporter()
    # Stopped by us, as its own way at the end of a process waits for a dead collector for half a minute.
    provider = TracerProvider(resource=_resource(role), shutdown_on_exit=False)
    provider.add_span_processor(CountedSpans(exporter))
    return provider


def _metrics(protocol: str, role: str) -> None:
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    from gateway.telemetry.exporting import watched_metrics

    exporter = import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.metric_exporter").OTLPMetricExporter()
    reader = PeriodicExportingMetricReader(watched_metrics(exporter))
    provider = MeterProvider([reader], resource=_resource(role), shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    _stops.append(provider.shutdown)
