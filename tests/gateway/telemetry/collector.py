"""A collector for tests: takes OTLP over gRPC and over HTTP, on real ports, and keeps what came."""

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

TRACES, METRICS = trace_service_pb2.ExportTraceServiceRequest, metrics_service_pb2.ExportMetricsServiceRequest


class Collector:
    """`grpc_url` and `http_url` are where; use as a context manager. `came_by` are the ways on which anything came."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.came_by: set[str] = set()

    def __enter__(self) -> "Collector":
        self._grpc = grpc.server(ThreadPoolExecutor(2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Traces(self), self._grpc)
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(self), self._grpc)
        self.grpc_url = f"http://127.0.0.1:{self._grpc.add_insecure_port('127.0.0.1:0')}"
        self._grpc.start()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.http_url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._grpc.stop(0).wait()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def take(self, request: Any, way: str) -> None:
        self.came_by.add(way)
        self.requests.append(request)

    @property
    def spans(self) -> list[Any]:
        """Every span that came."""
        return [
            span
            for request in list(self.requests)
            if isinstance(request, TRACES)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def metrics(self) -> dict[str, Any]:
        """Each metric as it came last."""
        return {
            metric.name: metric
            for request in list(self.requests)
            if isinstance(request, METRICS)
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            if scope.scope.name == "tollhouse"
            for metric in scope.metrics
        }

    @property
    def text(self) -> str:
        """All that came, as text, to look for what should not have."""
        return "\n".join(str(request) for request in list(self.requests))


def attributes(thing: Any) -> dict[str, Any]:
    """The attributes of a span or of a metric's point, by name."""
    return {pair.key: _value(pair.value) for pair in thing.attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(item) for item in value.array_value.values] if kind == "array_value" else getattr(value, kind)


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> Any:
        self._collector.take(request, "traces over gRPC")
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> Any:
        self._collector.take(request, "metrics over gRPC")
        return metrics_service_pb2.ExportMetricsServiceResponse()


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            kind = {"/v1/traces": TRACES, "/v1/metrics": METRICS}[self.path]
            collector.take(kind.FromString(body), f"{self.path[4:]} over HTTP")
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nothing: tests have an output of their own."""

    return Handler
