"""The product's server tells real receivers of its calls: a collector over gRPC and HTTP, Sentry, Prometheus.

One server for all of it; personal data goes through every kind of call, and stands nowhere afterwards.
"""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

import gateway
from budgets.models import Budget
from gateway.models import Call
from tests.gateway.telemetry import sentry_host
from tests.gateway.telemetry.collector import Collector, attributes
from tests.gateway.telemetry.convention import METRICS, NEXT, faults_of_metric, faults_of_span
from tests.gateway.test_nothing_raw import MAIL, MODELS, TEXT, marks_in, messages, post
from tests.server import ROOT, Server, environment

TOKEN = "a-token-for-prometheus-alone"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
#: Features whose callers have a trace of their own.
CONTEXTS = {
    "strict-echo": {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"},
    "open-echo": {
        "sentry-trace": f"{TRACE}-{PARENT}-1",
        "baggage": f"sentry-trace_id={TRACE},sentry-sample_rate=0.5,theirs=1",
    },
    "open-tool": {"sentry-trace": f"{TRACE}-{PARENT}-0"},
}
SHORT = ("echo", "tool", "quote", "status", "cut", "garbage", "event", "truncated")


def until(condition, what):
    deadline = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def scrape(server, token=TOKEN):
    request = urllib.request.Request(f"{server.url}/metrics", headers={"authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["content-type"].startswith("text/plain")
        return answer.read().decode()


def sample(page, line):
    """The value of the one sample of that name and those labels."""
    found = [text.rsplit(" ", 1)[1] for text in page.splitlines() if text.rsplit(" ", 1)[0] == line]
    return float(found[0]) if found else None


@pytest.fixture
def receivers():
    with Collector() as collector, sentry_host.SentryHost() as sentry:
        yield collector, sentry


def test_a_worker_tells_of_budgets_over_grpc(world, receivers):
    collector, _ = receivers
    Budget.objects.create(limit=5)
    world.feature("f")
    gateway.complete("f", messages=[{"role": "user", "content": "hi"}])
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc_url, "OTEL_METRIC_EXPORT_INTERVAL": "300", "OTEL_TRACES_EXPORTER": "none"
    }  # fmt: skip
    worker = subprocess.Popen([sys.executable, "manage.py", "worker"], cwd=ROOT, env=environment() | variables)
    try:
        until(lambda: "tollhouse.worker.silent" in collector.metrics, "the worker's gauges")
        (limit,) = collector.metrics["tollhouse.budget.limit"].gauge.data_points
        (spent,) = collector.metrics["tollhouse.budget.spent"].gauge.data_points
        assert limit.as_double == 5 and spent.as_double == pytest.approx(float(Call.objects.get().cost_usd))
        assert attributes(limit)["tollhouse.budget.metric"] == "usd"
    finally:
        worker.terminate()
        assert worker.wait(30) == 0
    assert collector.came_by == {"metrics over gRPC"}


@pytest.fixture
def told(world, receivers, tmp_path):
    """A server that tells both of everything, with spans by gRPC and metrics by HTTP."""
    collector, sentry = receivers
    variables = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.grpc_url, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{collector.http_url}/v1/metrics",
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf", "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_METRIC_EXPORT_INTERVAL": "300", "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
        "SENTRY_DSN": sentry.dsn, "SENTRY_TRACES_SAMPLE_RATE": "1.0", "TOLLHOUSE_METRICS_TOKEN": TOKEN,
        "TOLLHOUSE_TELEMETRY_DIALECTS": "genai-next", "TOLLHOUSE_TRACE_PROVIDERS": "mock", "DJANGO_LOG_LEVEL": "DEBUG",
    }  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        server = Server(log=log, **variables)
        yield server
        server.stop()


def test_receivers_are_told_of_every_call_and_of_no_text(world, told, receivers, provider):
    server, (collector, sentry) = told, receivers
    for name, outbound in (("strict", "pseudonymise"), ("open", "off")):
        policy = world.policy(name, outbound=outbound)
        for slug in SHORT:
            world.feature(f"{name}-{slug}", MODELS[slug], policy=policy)
    world.feature("refusing", policy=world.policy("refusing", outbound="refuse"))
    world.feature("raw", policy=world.off)
    Budget.objects.create(feature="strict-echo", limit=5)
    key = world.key()
    server.catch_up()
    features = [f"{name}-{slug}" for name in ("strict", "open") for slug in SHORT]
    for feature in [*features, "refusing", "raw"]:
        for stream in (False, True):
            body = {"model": feature, "messages": messages(), "stream": stream, "user": MAIL, "stop": [MAIL], "seed": 7}
            traced = CONTEXTS.get(feature, {})
            post(server, key, "/v1/chat/completions", body, **traced, **{"x-tollhouse-user": MAIL})
    post(server, key, "/v1/embeddings", {"model": "strict-echo", "input": [TEXT]})
    count = 2 * (len(features) + 2) + 1
    assert Call.objects.count() == count

    def of_calls():
        return [span for span in collector.spans if "tollhouse.call_id" in attributes(span)]

    until(lambda: len(of_calls()) >= count, "spans")
    spans = of_calls()
    assert [(span.name, faults) for span in spans if (faults := faults_of_span(span))] == []
    rows = {str(row.pk): row for row in Call.objects.all()}
    assert {attributes(span)["tollhouse.call_id"] for span in spans} == set(rows)
    for span in spans:
        said, row = attributes(span), rows[attributes(span)["tollhouse.call_id"]]
        assert said["tollhouse.outcome"] == row.outcome and said["tollhouse.feature"] == row.feature
        if row.cost_usd is not None:
            assert said["operation.cost"] == pytest.approx(float(row.cost_usd))

    # The application's own trace goes on through the gate, and to a provider that is to know of it.
    traced = [span for span in spans if span.trace_id.hex() == TRACE]
    assert len(traced) == 2 and {span.parent_span_id.hex() for span in traced} == {PARENT}
    assert {span.trace_state for span in traced} == {"vendor=1"}
    passed_on = {headers["traceparent"] for headers in provider.headers if TRACE in headers.get("traceparent", "")}
    assert passed_on == {f"00-{TRACE}-{span.span_id.hex()}-01" for span in traced}
    children = {span.name for span in collector.spans if span.parent_span_id == traced[0].span_id and span not in spans}
    assert children >= {"redact", "hold", "attempt mock/echo", "settle"}

    # A step that is told of one of these calls afterwards stands in the trace that its teller names, once.
    call = next(id for id, row in rows.items() if row.trace_id == TRACE)
    step = {
        "kind": "tool",
        "name": "look_up",
        "latency_ms": 1500,
        "ended_ms_ago": 250,
        "outcome": "error",
        "counts": {"rows": 2},
    }
    for _ in range(2):
        again = {**CONTEXTS["strict-echo"], "idempotency-key": "1"}
        assert post(server, key, f"/v1/calls/{call}/steps", step, **again)[0] in (200, 201)
    assert post(server, key, f"/v1/calls/{call}/steps", {**step, "name": "untraced"})[0] == 201
    look_up = until(lambda: [s for s in collector.spans if "tollhouse.step_id" in attributes(s)], "a step's span")[0]
    said = attributes(look_up)
    assert (look_up.name, look_up.trace_id.hex(), look_up.parent_span_id.hex()) == (
        "execute_tool look_up",
        TRACE,
        PARENT,
    )
    assert (said["gen_ai.tool.name"], said["error.type"], said["tollhouse.step.rows"]) == ("look_up", "error", 2)
    assert look_up.end_time_unix_nano - look_up.start_time_unix_nano == 1_500_000_000

    # Text: only redacted, and only where the policy keeps no raw text.
    by_feature = {}
    for span in spans:
        by_feature.setdefault(attributes(span)["tollhouse.feature"], []).append(attributes(span))
    assert all(
        "gen_ai.input.messages" in said for said in by_feature["open-echo"] if said["gen_ai.operation.name"] == "chat"
    )
    assert not any("gen_ai.input.messages" in said for said in by_feature["raw"])
    roles = [message["role"] for message in json.loads(by_feature["open-echo"][0]["gen_ai.input.messages"])]
    assert roles == ["assistant", "tool", "user"]

    metrics = until(lambda: collector.metrics if len(collector.metrics) > 15 else None, "metrics")
    known = METRICS | NEXT
    assert [
        fault for name, m in metrics.items() if name.startswith("gen_ai.") for fault in faults_of_metric(m, known)
    ] == []
    assert metrics.keys() >= METRICS.keys()
    assert metrics.keys() >= {"tollhouse.calls", "tollhouse.cost", "tollhouse.ledger.queue", "tollhouse.gate.duration"}
    until(
        lambda: sum(p.as_int or p.as_double for p in collector.metrics["tollhouse.calls"].sum.data_points) == count,
        "calls",
    )
    assert collector.came_by == {"traces over gRPC", "metrics over HTTP"}

    assert sum("tollhouse.step_id" in attributes(span) for span in collector.spans) == 1

    # Prometheus: the same meters, for whoever has the token.
    with pytest.raises(urllib.error.HTTPError, match="401"):
        scrape(server, key)
    page = scrape(server)
    labels = (
        ("cache_hit", "false"),
        ("feature", "strict-echo"),
        ("model", "echo"),
        ("outcome", "ok"),
        ("provider", "mock"),
    )
    pairs = ",".join(f'tollhouse_{name}="{value}"' for name, value in labels)
    assert sample(page, f"tollhouse_calls_total{{{pairs}}}") == 3
    assert "gen_ai_client_operation_duration_seconds_bucket{" in page and 'le="+Inf"' in page
    assert "tollhouse_budget_limit{" in page and "tollhouse_ledger_queue{" in page
    assert (
        sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith("tollhouse_calls_total{"))
        == count
    )

    # Sentry: spans of all calls but those that their caller did not sample, metrics, and one issue for each feature, target
    # and error.
    until(lambda: len(sentry.spans("gen_ai.chat")) >= count - 3, "Sentry's spans")
    heard = {}
    for span in sentry.spans("gen_ai.chat"):
        heard.setdefault(sentry_host.attributes(span)["gen_ai.pipeline.name"], []).append(span)
    assert {span["trace_id"] for span in heard["open-echo"]} == {TRACE} and "open-tool" not in heard
    assert not any(span["trace_id"] == TRACE for span in heard["strict-echo"])
    began = [event["contexts"]["trace"] for event in sentry.of("transaction") if event["transaction"] == "open-echo"]
    assert [(trace["trace_id"], trace["parent_span_id"]) for trace in began] == [(TRACE, PARENT)] * 2
    assert {row.trace_id for row in rows.values() if row.feature in ("open-echo", "open-tool")} == {TRACE}
    assert not any("baggage" in headers or "sentry-trace" in headers for headers in provider.headers)
    ok = [sentry_host.attributes(span) for span in heard["strict-echo"]]
    assert ok[0]["gen_ai.operation.name"] == "chat" and ok[0]["gen_ai.usage.total_tokens"] > 0
    events = until(
        lambda: [e for e in sentry.of("event") if e["tags"].get("tollhouse.feature") == "open-status"], "issues"
    )
    assert {tuple(event["fingerprint"]) for event in events} == {
        ("tollhouse", "call", "open-status", "mock/status:500", "ProviderError", "500")
    }
    assert {event["tags"]["tollhouse.call_id"] for event in events} <= set(rows)
    until(lambda: sentry.of("trace_metric"), "Sentry's metrics")

    assert marks_in(collector.text) == [] and marks_in(sentry.raw) == [] and marks_in(page) == []

    # A collector that is gone costs calls nothing, and whoever looks sees it.
    collector.__exit__()
    assert post(server, key, "/v1/chat/completions", {"model": "strict-echo", "messages": messages()})[0] == 200
    until(lambda: server.ready()["telemetry"]["dropped"].get("spans"), "what is dropped")
    assert server.ready()["telemetry"][
        "failing"
    ] and 'tollhouse_telemetry_dropped_total{tollhouse_signal="spans"}' in scrape(server)
    collector.__enter__()
