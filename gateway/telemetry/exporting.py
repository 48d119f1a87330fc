"""Exporters that are watched: what a collector did not take is counted and told, and costs no call anything.

Imports OpenTelemetry's SDK, which is an extra: only `gateway.telemetry.own` imports this.
"""

import os
import threading
from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from gateway.telemetry import trouble

#: Spans that wait for a collector, as the SDK has it unless the environment says otherwise.
DEFAULT_QUEUE = 2048


class SpansWatched(SpanExporter):
    """An exporter of spans, with what became of each batch; `take` counts what is to come, up to `most` at a time."""

    def __init__(self, exporter: SpanExporter, most: int) -> None:
        self._exporter = exporter
        self._most = most
        self._waiting = 0
        self._lock = threading.Lock()

    def take(self) -> None:
        """One more span waits, and where there is no room for it, one is gone."""
        with self._lock:
            has_room = self._waiting < self._most
            self._waiting += has_room
        if not has_room:
            trouble.note("spans", ok=False, dropped=1)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._lock:
            self._waiting = max(0, self._waiting - len(spans))
        result = self._exporter.export(spans)
        trouble.note("spans", ok=result is SpanExportResult.SUCCESS, dropped=len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class CountedSpans(BatchSpanProcessor):
    """The SDK's queue of spans, bounded by OTEL_BSP_MAX_QUEUE_SIZE; those that it has no room for are counted."""

    def __init__(self, exporter: SpanExporter) -> None:
        most = int(os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE", DEFAULT_QUEUE))
        self._watched = SpansWatched(exporter, most)
        super().__init__(self._watched, max_queue_size=most)

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is not None and span.context.trace_flags.sampled:
            self._watched.take()
        super().on_end(span)


def watched_metrics(exporter: MetricExporter) -> MetricExporter:
    """The exporter, which notes what became of what it was given."""
    export = exporter.export

    def watched(*args: Any, **kwargs: Any) -> MetricExportResult:
        result = export(*args, **kwargs)
        # Counters and histograms go on counting, so nothing is lost but the moment.
        trouble.note("metrics", ok=result is MetricExportResult.SUCCESS, dropped=0)
        return result

    exporter.export = watched  # type: ignore[method-assign]
    return exporter
