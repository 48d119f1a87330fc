"""Telemetry inside of an application's process: its own trace, its own providers, and nothing where it has none."""

import threading

import pytest
import sentry_sdk
from django.test import override_settings
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode
from sentry_sdk.integrations.aiohttp import AioHttpIntegration

import gateway
import gateway.errors
from gateway.conf import DIALECTS
from gateway.entry import trace_context
from gateway.models import Call, Step
from gateway.steps import writer
from gateway.telemetry import content, dialects, meters, names, own, sentry, spans, trouble
from gateway.telemetry.exporting import CountedSpans
from gateway.telemetry.gaps import MOST, Gaps
from redaction.policies import Policy
from tests.gateway.telemetry.calls import finished
from tests.gateway.telemetry.collector import Collector
from tests.gateway.telemetry.sentry_host import SentryHost

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STATES = ("bad", "A=1", "a=\x01", "a=1,ann@example.com", ",".join(f"k{n}=v" for n in range(33)))


class Kept(SpanExporter):
    """Keeps spans while somebody wants them."""

    def __init__(self) -> None:
        self.spans = []
        self.wanted = False

    def export(self, spans):
        self.spans += spans if self.wanted else ()
        return SpanExportResult.SUCCESS


@pytest.fixture(scope="session")
def application():
    """An application that sets OpenTelemetry up for itself, unless another test was one before: a process has one, for good."""
    kept, provider = Kept(), trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    return kept


@pytest.fixture
def exported(application):
    application.spans, application.wanted = [], True
    yield application.spans
    application.wanted = False


def test_calls_are_children_of_the_applications_span(world, exported):
    world.feature("f")
    messages = [{"role": "user", "content": "hi"}]
    tracer = trace.get_tracer("app")
    with tracer.start_as_current_span("view") as view:
        gateway.complete("f", messages=messages)
        assert list(gateway.stream("f", messages=messages))
    with tracer.start_as_current_span("task"):
        pass
    gateway.complete("f", messages=messages)
    calls = [span for span in exported if span.name == "chat echo"]
    parent = view.get_span_context()
    assert [span.parent and span.parent.span_id for span in calls] == [parent.span_id, parent.span_id, None]
    assert [span.context.trace_id == parent.trace_id for span in calls] == [True, True, False]
    for call in calls:
        inside = [span for span in exported if span.parent and span.parent.span_id == call.context.span_id]
        assert {"hold", "attempt mock/echo", "settle"} <= {span.name for span in inside}
        assert all(call.start_time <= span.start_time <= span.end_time for span in inside)


def test_a_span_says_what_the_row_does():
    call = finished(
        body={"temperature": 1, "n": 2, "max_tokens": 50, "top_p": True, "response_format": {"type": "json_schema"}}
    )
    said = spans.attributes(call)
    assert said["gen_ai.provider.name"] == "azure.ai.openai"
    assert said["gen_ai.usage.input_tokens"] == 1200 and said["gen_ai.usage.output_tokens"] == 300
    assert said["gen_ai.usage.cache_read.input_tokens"] == 200 and said["gen_ai.usage.reasoning.output_tokens"] == 60
    assert said["gen_ai.request.temperature"] == 1.0 and said["gen_ai.request.choice.count"] == 2
    assert said["gen_ai.request.max_tokens"] == 50 and "gen_ai.request.top_p" not in said
    assert said["gen_ai.output.type"] == "json" and said["server.port"] == 443
    assert said["operation.cost"] == said["gen_ai.usage.cost"] == 0.000324


def test_of_a_call_without_usage_nothing_is_told_of_tokens():
    nothing = {"input_tokens": 0, "cache_read_tokens": 0, "output_tokens": 0, "reasoning_tokens": 0}
    unanswered = finished(row=nothing | {"outcome": "provider_error", "error_class": "ProviderError"})
    cached = finished(row=nothing | {"cache_hit": True})
    for call, model in ((unanswered, None), (cached, "gpt-4o-mini")):
        with override_settings(TOLLHOUSE={"TELEMETRY_DIALECTS": ("openinference", "langfuse", "genai-next")}):
            told = [spans.attributes(call), sentry.attributes(call)]
            metrics = [(name, said) for name, _, said in meters.measured(call)]
        for said in told:
            assert not [name for name in said if (".usage." in name and "cost" not in name) or "token_count" in name]
        models = [said for _, said in metrics if "gen_ai.operation.name" in said]
        assert {said.get("gen_ai.response.model") for said in [*told, *models]} == {model}
        assert not any("token" in name for name, _ in metrics)


def test_an_unsampled_trace_is_not_sampled_here(exported):
    for flags in ("00", "01"):
        parent = spans.around(f"00-{TRACE}-{PARENT}-{flags}", "")
        spans.tell(finished(parent=parent), 1_800_000_000_000_000_000)
    assert len({span.name: span for span in exported}) == len(exported) == 6
    assert spans.around("", "") is None


@pytest.mark.parametrize(
    "traceparent",
    [
        "00-nonsense-b7ad6b7169203331-01", "00-1-2-1", f"ff-{TRACE}-{PARENT}-01", f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-1ff", f"00-{TRACE}-{PARENT}-01-more", f"00-0x{TRACE[2:]}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01",
    ],
)  # fmt: skip
def test_a_malformed_trace_context_is_nobody_s(traceparent):
    """Neither the row's nor the span's."""
    assert spans.around(traceparent, "") is None and trace_context(traceparent) == ("", "")


def test_states_of_traces_that_are_malformed_are_left_out_and_not_logged(caplog):
    around = [spans.around(f"01-{TRACE}-{PARENT}-01-more", state) for state in (*STATES, "a=1,,0b@c=x y")]
    states = [trace.get_current_span(context).get_span_context().trace_state for context in around]
    assert [state.to_header() for state in states] == [""] * len(STATES) + ["a=1,0b@c=x y"]
    assert not caplog.records


def test_dialects_are_told_beside_the_conventions():
    call = finished()
    with override_settings(TOLLHOUSE={"TELEMETRY_DIALECTS": ("openinference", "langfuse")}):
        said = spans.attributes(call)
    assert said["openinference.span.kind"] == "LLM" and said["llm.model_name"] == "gpt-4o-mini"
    assert (said["llm.token_count.prompt"], said["llm.token_count.completion"], said["llm.token_count.total"]) == (
        1200,
        300,
        1500,
    )
    assert said["llm.cost.total"] == 0.000324 and said["langfuse.observation.cost_details"] == '{"total":0.000324}'
    assert set(dialects.SPANS) == set(DIALECTS)
    assert not any(name.startswith(("llm.", "langfuse.")) for name in spans.attributes(call))


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ({"stored": "redacted"}, True),
        ({"stored": "full"}, False),
        ({"stored": "hash"}, False),
        ({"stored": "none"}, False),
        ({"stored": "redacted", "stored_parts": (("tool_results", "full"),)}, False),
        ({"stored": "none", "stored_parts": (("replies", "redacted"),)}, True),
    ],
)
def test_text_is_told_only_where_all_that_is_kept_is_redacted(policy, kept):
    found = Policy(name="p", outbound="off", entities=("PERSON",), **policy)
    stored = {"messages": [{"role": "user", "content": "x"}], "reply": []}
    assert (content.tellable(found, stored) is not None) == kept
    assert content.tellable(found, {"sha256": "0"}) is None and content.tellable(found, None) is None


def test_text_is_told_only_where_the_conventions_switch_is_on(monkeypatch):
    call = finished(content={
        "messages": [{"role": "system", "content": "Serve."}, {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url"}]}],
        "reply": [{"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "mail", "arguments": "{}"}}]}],
    })  # fmt: skip
    for word in ("", "NO_CONTENT", "EVENT_ONLY", "false"):
        monkeypatch.setenv(content.SWITCH, word)
        assert not any(name.endswith((".messages", "_instructions")) for name in spans.attributes(call))
    monkeypatch.setenv(content.SWITCH, "SPAN_ONLY")
    said = spans.attributes(call)
    assert said["gen_ai.system_instructions"] == '[{"type":"text","content":"Serve."}]'
    assert said["gen_ai.input.messages"] == '[{"role":"user","parts":[{"type":"text","content":"hi\\n[image_url]"}]}]'
    assert '"type":"tool_call","id":"c","name":"mail","arguments":"{}"' in said["gen_ai.output.messages"]


def test_estimates_are_no_usage_and_models_cannot_be_invented_for_ever():
    told = {name for name, _, _ in meters.measured(finished(row={"usage_estimated": True}))}
    assert "gen_ai.client.token.usage" not in told and "tollhouse.tokens" in told
    said = [meters.bounded({"test.model": f"m{n}"})["test.model"] for n in range(meters.MOST_VALUES + 5)]
    assert said[-5:] == [meters.OTHER] * 5 and said[0] == "m0" and len(set(said)) == meters.MOST_VALUES + 1
    for name, _, attributes in meters.measured(finished(row={"outcome": "timeout", "error_class": "ProviderTimeout"})):
        assert set(attributes) <= set(names.BY_NAME[name].attributes), name


def test_a_stream_tells_how_long_its_chunks_took_and_of_a_long_one_an_even_sample():
    gaps = Gaps()
    for events in (1, 0, 3, 1):
        gaps.note(events)
    assert len(gaps.kept) == 4 and gaps.kept[1:3] == [0.0, 0.0] and min(gaps.kept) == 0.0
    told = [
        amount
        for name, amount, _ in meters.measured(finished(row={"streamed": True}, gaps=gaps.kept))
        if "per_output" in name
    ]
    assert told == gaps.kept
    first = gaps.kept[0]
    for _ in range(10 * MOST):
        gaps.note(1)
    assert MOST / 2 <= len(gaps.kept) <= MOST and gaps.kept[0] == first
    assert not any("per_output" in name for name, _, _ in meters.measured(finished()))


def test_a_collector_that_does_not_answer_costs_a_bounded_queue(monkeypatch):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
    blocked, asked = threading.Event(), threading.Event()

    class Stuck(Kept):
        def export(self, spans):
            asked.set()
            blocked.wait(30)
            return SpanExportResult.FAILURE

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(CountedSpans(Stuck()))
    tracer, before = provider.get_tracer("test"), trouble.state()["dropped"].get("spans", 0)
    for _ in range(2):
        tracer.start_span("s").end()
    assert asked.wait(30)
    for _ in range(7):
        tracer.start_span("s").end()
    assert trouble.state()["dropped"]["spans"] - before == 3
    blocked.set()
    provider.shutdown()
    assert trouble.state()["dropped"]["spans"] - before == 9 and "spans" in trouble.state()["failing"]
    trouble.note("spans", ok=True, dropped=0)
    assert "spans" not in trouble.state()["failing"]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_spans_go_over_either_protocol(monkeypatch, protocol):
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", getattr(collector, f"{protocol}_url"))
        provider = own.tracer_provider(protocol, "worker")
        provider.get_tracer("test").start_span("s").end()
        provider.shutdown()
        assert [span.name for span in collector.spans] == ["s"] and "tollhouse.role" in collector.text
        assert collector.came_by == {"traces over gRPC" if protocol == "grpc" else "traces over HTTP"}


def test_the_overview_says_what_a_collector_does_not_take(admin_client):
    said = "The collector does not take metrics of this process."
    trouble.note("metrics", ok=False, dropped=0)
    assert said in admin_client.get("/admin/").content.decode()
    trouble.note("metrics", ok=True, dropped=0)
    assert said not in admin_client.get("/admin/").content.decode()


def test_sentry_hears_nothing_of_what_our_functions_had_in_hand():
    def frames():
        return [{"module": "shop.views", "vars": {"a": "1"}}, {"module": "gateway.facade", "vars": {"messages": "raw"}},
                {"module": "orjson", "vars": {"body": "raw"}}, {"module": None, "vars": {"x": "raw"}}]  # fmt: skip

    event = {
        "exception": {"values": [
            {"type": "ProviderError", "module": "gateway.errors", "value": "The provider answered: raw", "stacktrace": {"frames": frames()}},
            {"type": "KeyError", "module": None, "value": "k", "stacktrace": {"frames": [{"module": "shop.views", "vars": {"b": "2"}}]}},
        ]},
        "threads": {"values": [{"stacktrace": {"frames": frames()}}]},
    }  # fmt: skip
    text = str(sentry.scrubbed(event, {}))
    assert "raw" not in text and "'a': '1'" in text and "'b': '2'" in text
    assert sentry.scrubbed({}, {}) == {}


@pytest.fixture
def sentry_set_up():
    """An application that has Sentry, and its integration for HTTP clients, for the time of a test."""
    with SentryHost() as host:
        sentry_sdk.init(
            dsn=host.dsn, traces_sample_rate=1.0, default_integrations=False, auto_enabling_integrations=False,
            integrations=[AioHttpIntegration()],
        )  # fmt: skip
        yield host
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(None)


def test_sentry_gets_a_calls_span_in_the_applications_transaction_and_providers_nothing(world, provider, sentry_set_up):
    world.feature("f")
    world.feature("broken", "status:500")
    messages = [{"role": "user", "content": "zebedee.quark@example.com"}]
    with sentry_sdk.start_transaction(op="http.server", name="view") as view:
        gateway.complete("f", messages=messages)
        with pytest.raises(gateway.errors.ProviderError):
            gateway.complete("broken", messages=messages)
    sentry_sdk.flush()
    spans_heard = sentry_set_up.spans("gen_ai.chat")
    assert [(span["name"], span["trace_id"], span["parent_span_id"]) for span in spans_heard] == [
        ("chat echo", view.trace_id, view.span_id), ("chat status:500", view.trace_id, view.span_id)
    ]  # fmt: skip
    (event,) = sentry_set_up.of("event")
    assert event["contexts"]["trace"]["trace_id"] == view.trace_id
    assert event["tags"]["tollhouse.feature"] == "broken" and event["tags"]["tollhouse.call_id"]
    assert "zebedee" not in sentry_set_up.raw
    told = {name.lower() for headers in provider.headers for name in headers}
    assert "content-type" in told and not told & {"sentry-trace", "baggage", "traceparent"}
    counted = [item for payload in sentry_set_up.of("trace_metric") for item in payload["items"]]
    assert {item["name"] for item in counted} >= {"tollhouse.calls", "gen_ai.client.operation.duration"}


def test_steps_are_spans_around_what_is_inside_of_them_by_the_conventions_names(world, exported):
    world.feature("f")
    messages = [{"role": "user", "content": "hi"}]
    with (
        trace.get_tracer("app").start_as_current_span("view"),
        gateway.context(session="s-1"),
        gateway.step("step", "answer") as answer,
    ):
        with gateway.step("retrieval", "docs", documents=3):
            gateway.complete("f", messages=messages)
        with pytest.raises(KeyError), gateway.step("tool", "lookup"):
            raise KeyError("ann@example.com")
    spans = {span.name: span for span in exported}
    view, top, docs, tool, call = (
        spans[name] for name in ("view", "answer", "retrieval docs", "execute_tool lookup", "chat echo")
    )
    assert [span.parent.span_id for span in (top, docs, tool, call)] == [
        span.context.span_id for span in (view, top, top, docs)
    ]
    assert (
        docs.attributes["gen_ai.operation.name"] == "retrieval" and docs.attributes["gen_ai.data_source.id"] == "docs"
    )
    assert docs.attributes["tollhouse.step.documents"] == 3 and docs.attributes["gen_ai.conversation.id"] == "s-1"
    assert (
        tool.attributes["gen_ai.operation.name"] == "execute_tool" and tool.attributes["gen_ai.tool.name"] == "lookup"
    )
    assert (tool.status.status_code, tool.attributes["error.type"]) == (StatusCode.ERROR, "KeyError")
    assert "ann@" not in str([span.to_json() for span in exported])
    assert writer.flush()
    row = Step.objects.get(name="docs")
    assert (row.trace_id, row.span_id) == (f"{docs.context.trace_id:032x}", f"{docs.context.span_id:016x}")
    assert row.parent == answer.id and Call.objects.get().trace_id == row.trace_id
    assert Call.objects.get().parent == row.id
