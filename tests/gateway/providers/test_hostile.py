"""A provider that answers anything at all: the caller gets a sound reply or a clean error, the ledger one sound row."""

import gzip
import http.client
import json
import os
from itertools import repeat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from budgets.models import Budget, Window
from gateway.models import Call, Hold
from tests.scripted import USAGE, ScriptedProvider, chunk, completion, reply, sound, stream
from tests.server import Server

PATHS = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi jane.doe@example.com"}]},
    "/v1/responses": {"input": "Hi jane.doe@example.com"},
    "/v1/messages": {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi jane.doe@example.com"}]},
    "/v1/embeddings": {"input": "Hi jane.doe@example.com", "encoding_format": "base64"},
}
MOST_BYTES = 300_000
#: `FUZZ_EXAMPLES=5000` makes a long run of it.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))


@pytest.fixture(scope="module")
def small_server(django_db_setup, django_db_blocker):
    """A server that takes small replies only."""
    with django_db_blocker.unblock():
        server = Server(TOLLHOUSE_MAX_REPLY_BYTES=str(MOST_BYTES), TOLLHOUSE_BREAKER_FAILURES="1000000")
    yield server
    server.stop()


@pytest.fixture
def gate(world, small_server):
    """Asks a gate whose provider answers with a script; checks the answer, its row, and that nothing stays held."""
    with ScriptedProvider() as provider:
        policy = world.policy("p", outbound="pseudonymise", entities=["EMAIL_ADDRESS"], stored="redacted")
        for kind in ("openai", "anthropic"):
            made = world.kind(kind, base_url=provider.base_url, name=f"bad-{kind}")
            world.feature(kind, (made, "m"), policy=policy, route={"timeout_s": 5})
        Budget.objects.create(metric="usd", period="month", limit=10**6)
        key = world.key()
        small_server.catch_up()

        def ask(script, path="/v1/chat/completions", *, streamed=False, kind="openai"):
            provider.answer = script if callable(script) else lambda *_: script
            connection = http.client.HTTPConnection("127.0.0.1", small_server.port, timeout=20)
            try:
                body = {"model": kind, **PATHS[path], **({"stream": True} if streamed else {})}
                connection.request("POST", path, json.dumps(body), {"x-api-key": key})
                answer = connection.getresponse()
                content = answer.read()
            finally:
                connection.close()
            assert b"inside the gate" not in content and answer.status in (200, 400, 429, 502, 503, 504), content[-900:]
            if answer.headers["content-type"] == "application/json":
                assert isinstance(json.loads(content), dict)
            row = Call.objects.get(id=answer.headers["x-tollhouse-call-id"])
            # 61 or so tokens held; a report may say more, and is believed up to what a call can have.
            assert row.cost_usd is not None and row.cost_usd >= 0
            assert (answer.status == 200) >= (row.outcome == "ok")
            assert not Hold.objects.exists() and not Window.objects.exclude(held=0).exists()
            return answer.status, content, row

        yield ask
        assert Call.objects.count() == len(provider.requests)


ENDLESS = [
    stream()[0],
    *repeat(b'data: {"choices": [{"index": 0, "delta": {"content": "' + b"x" * 5000 + b'"}}]}\n\n', 100),
]
NEVER_COMPLETE = [stream()[0], *repeat(b"x" * 5000, 100)]
BOMB = reply(gzip.compress(b" " * 50_000_000), b"content-encoding: gzip")
CUT_GZIP = reply(gzip.compress(json.dumps(completion()).encode())[:-20], b"content-encoding: gzip")


@pytest.mark.parametrize(
    "script, streamed, words",
    [
        (reply(b"x" * (MOST_BYTES + 1)), False, "larger than 300,000 bytes (TOLLHOUSE_MAX_REPLY_BYTES)"),
        (BOMB, False, "larger than 300,000 bytes"),
        (ENDLESS, True, "larger than 300,000 bytes"),
        (NEVER_COMPLETE, True, "larger than 300,000 bytes"),
        ([*BOMB[:0], stream()[0], gzip.compress(b"x")], True, "ended before its end mark"),
        (CUT_GZIP, False, "is not a JSON object"),
        (reply(b"x", b"content-encoding: gzip"), False, "is not a JSON object"),
        (reply(b'{"a":' * 300 + b"1" + b"}" * 300), False, "is not a JSON object"),
        (reply(b'{"choices": "\xff"}'), False, "is not a JSON object"),
        (reply(b"{}"), False, "there are no choices"),
        (reply(b"{}", b"x-bad: a\r\n b\x00"), False, "closed the connection"),
        (reply(b"", status=b"204 No Content"), False, "answered with status 204"),
        (reply(b"{}", status=b"226 IM Used"), False, "answered with status 226"),
        (reply(b"{}", status=b"999 Odd"), False, "answered with status 999"),
        (reply(b"", b"location: http://169.254.169.254/", status=b"307 Moved"), False, "redirect, which is not followed"),
        ([b"garbage\r\n\r\n"], False, "closed the connection"),
        ([b""], False, "closed the connection"),
        (stream(b"[1]"), True, "held an event that is not JSON"),
        (stream(b"[" * 300 + b"]" * 300), True, "held an event that is not JSON"),
        (stream(chunk({"tool_calls": 5})), True, "tool_calls is no list of objects"),
        (stream(chunk({"content": 5})), True, "content is neither a text nor a list"),
        (stream(chunk({"content": "x"}, usage=[1])), True, "usage is no object"),
        ([stream()[0], 10], True, "did not answer in the time of its route"),
        ([stream()[0], *[0.5, b": still here\n\n"] * 20], True, "did not answer in the time of its route"),
    ],
)  # fmt: skip
def test_what_is_no_reply_is_an_error_that_says_so(gate, script, streamed, words):
    status, content, row = gate(script, streamed=streamed)
    assert words in content.decode() and row.outcome in ("provider_error", "timeout")
    assert status in (502, 504) or content.rpartition(b"data: ")[2].startswith(b'{"error"')


@pytest.mark.parametrize("wait", [b"inf", b"1e999", b"nan", b"-5", b"soon", b"1" * 400])
def test_a_wait_that_cannot_be_is_not_passed_on(gate, wait):
    status, content, _ = gate(reply(b'{"error": {"message": "slow"}}', b"retry-after: " + wait, status=b"429 Slow"))
    assert status == 429 and b"slow" in content


@pytest.mark.parametrize(
    "body", [b"x" * 2_000_000, b'{"error": ' + b'{"a":' * 300 + b"1" + b"}" * 301, b'{"error": {"message": 5}}']
)
def test_the_body_of_an_error_may_be_anything(gate, body):
    status, content, row = gate(reply(body, status=b"503 No"))
    assert (status, row.outcome, row.cost_usd) == (503, "provider_error", 0) and len(content) < 1000


ODD_USAGES = [
    {}, {"prompt_tokens": -1, "completion_tokens": 5}, {"prompt_tokens": "20", "completion_tokens": 5},
    {"prompt_tokens": 10**30, "completion_tokens": 5}, {"prompt_tokens": 2**63, "completion_tokens": 5},
    {"prompt_tokens": 20, "completion_tokens": [5]}, {"prompt_tokens": 2.5, "completion_tokens": 5}, {"total_tokens": 5},
]  # fmt: skip


@pytest.mark.parametrize("usage", ODD_USAGES)
@pytest.mark.parametrize("streamed", [False, True])
def test_usage_that_cannot_be_read_is_counted(gate, usage, streamed):
    """No call is free because its report is nonsense."""
    _, _, row = gate(
        stream(chunk({"content": "hello"}), {"choices": [], "usage": usage})
        if streamed
        else reply(completion(usage=usage)),
        streamed=streamed,
    )
    assert row.outcome == "ok" and row.usage_estimated and not row.usage_adds_up
    assert row.input_tokens > 0 and row.output_tokens > 0 and 0 < row.cost_usd < 1


@pytest.mark.parametrize("usage", [None, {}, 5, {"input_tokens": "20", "output_tokens": 10}, {"input_tokens": -20, "output_tokens": 10},
                                   {"input_tokens": 20}, {"input_tokens": 20, "output_tokens": 1, "cache_read_input_tokens": "x"}])  # fmt: skip
def test_usage_of_anthropic_that_cannot_be_read_is_counted(gate, usage):
    message = {
        "id": "1",
        "model": "m",
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn",
        "usage": usage,
    }
    _, _, row = gate(reply(message), kind="anthropic")
    assert row.outcome == "ok" and row.usage_estimated and row.input_tokens > 0 and row.cost_usd > 0


def test_usage_in_the_last_choice_of_a_stream_counts_and_is_replaced_by_the_stream_s_own(gate):
    """Kimi's streams tell it there."""
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": {**USAGE, "cached_tokens": 15}}]}
    for own, cached in ((None, 15), (USAGE, 0)):
        _, _, row = gate(stream(chunk({"content": "hello"}), last, {"choices": [], "usage": own}), streamed=True)
        assert (row.input_tokens, row.cache_read_tokens, row.output_tokens) == (20 - cached, cached, 10)
        assert not row.usage_estimated


@pytest.mark.parametrize("streamed", [False, True])
def test_a_usage_of_nothing_is_believed_and_what_a_provider_says_it_cost_is_not(gate, streamed):
    """Neither is a report of zero replaced by an estimate, nor a `cost` without unit or currency taken for US dollars."""
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost": 7.5, "cost_details": {"total": 9}}
    last = chunk({"content": "hello"}), {"choices": [], "usage": usage}
    _, _, row = gate(stream(*last) if streamed else reply(completion(usage=usage)), streamed=streamed)
    assert (row.outcome, row.cost_usd, row.input_tokens, row.output_tokens) == ("ok", 0, 0, 0)
    assert row.usage_adds_up and not row.usage_estimated


def test_a_usage_of_nothing_in_a_stream_that_breaks_off_is_no_report(gate):
    """Some servers write one into every event until the last."""
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    _, _, row = gate(stream(chunk({"content": "hello"}, usage=nothing), end=b""), streamed=True)
    assert row.outcome == "provider_error" and row.usage_estimated and row.cost_usd > 0


@pytest.mark.parametrize("fault", [b'data: {"error": {"message": "mock overload"}}\n\n', b"data: garbage\n\n"])
def test_what_comes_at_once_with_a_fault_is_passed_on_and_counted(gate, fault):
    start, said, _ = stream(chunk({"content": "hello"}))
    _, content, row = gate([start + said + fault], streamed=True)
    assert b"hello" in content and b"error" in content.rpartition(b"data: ")[2]
    assert row.outcome == "provider_error" and row.usage_estimated and row.output_tokens == 1


def test_whole_floats_are_counts(gate):
    _, _, row = gate(reply(completion(usage={"prompt_tokens": 20.0, "completion_tokens": 10.0, "total_tokens": 30.0})))
    assert (row.input_tokens, row.output_tokens, row.usage_estimated) == (20, 10, False)


def test_thousands_of_tool_calls(gate):
    calls = [{"id": f"c{n}", "function": {"name": "f", "arguments": ""}} for n in range(3000)]
    for path in ("/v1/chat/completions", "/v1/responses", "/v1/messages"):
        assert gate(reply(completion({"tool_calls": calls})), path)[2].tool_calls == 3000
    calls = b",".join([b"{}"] * 40_000)
    status, _, row = gate(reply(b'{"choices":[{"message":{"tool_calls":[' + calls + b"]}}]}"))
    assert (status, row.tool_calls) == (200, 2**15 - 1)


def test_a_nul_in_a_reply_does_not_keep_its_row_from_being_written(gate):
    """PostgreSQL has no NUL in any text."""
    message = {"role": "assistant", "content": "a\x00b \\\\u0000"}
    status, content, row = gate(
        reply(completion(message, model="m\x00", choices=[{"message": message, "finish_reason": "\x00"}]))
    )
    assert status == 200 and json.loads(content)["choices"][0]["message"]["content"] == message["content"]
    assert (row.model_served, row.finish_reason) == ("m\ufffd", "\ufffd")


def test_an_end_mark_in_the_midst_of_what_came_at_once_ends_the_stream(gate):
    """What a client takes for the end is handed over after the row is committed, and not before."""
    late = b'data: {"choices": [], "x": "data: [DONE]"}\n\n'
    _, content, _ = gate([stream()[0] + b"data: [DONE]\n\n" + late], streamed=True)
    assert content.count(b"[DONE]") == 1 and content.endswith(b"data: [DONE]\n\n")


def test_content_in_parts_is_text_where_a_client_expects_text(gate):
    """Mistral's reasoning models answer so."""
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "hello"}]
    for script, streamed in (
        (reply(completion({"content": parts})), False),
        (stream(chunk({"content": parts}), chunk({"content": " you"})), True),
    ):
        for path in ("/v1/responses", "/v1/messages"):
            assert b'"hello' in gate(script, path, streamed=streamed)[1]


odd = (
    st.none()
    | st.booleans()
    | st.sampled_from(
        [
            -1,
            0,
            1,
            2**40,
            2**63,
            1e30,
            "",
            "x",
            "\x00",
            "[EMAIL_ADDRESS_1]",
            [],
            {},
            [[]],
            [{}],
            [None],
            {"a": [5]},
            ["x"],
        ]
    )
)
CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": "[EMAIL_ADDRESS_1]"}'}}
MESSAGE = {"role": "assistant", "content": "hello [EMAIL_ADDRESS_1]", "reasoning_content": "hm", "tool_calls": [CALL], "refusal": None,
           "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}]}  # fmt: skip
ANTHROPIC = [
    {"type": "thinking", "thinking": "hm", "signature": "s"},
    {"type": "text", "text": "hi"},
    {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
]
VECTORS = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1]}],
    "model": "m",
    "usage": USAGE,
}


def places(value, path=()):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def changed(value, number, replacement):
    """A copy of the JSON value with the value at one place replaced."""
    value = json.loads(json.dumps(value))
    *path, key = (found := list(places(value)))[number % len(found)]
    holder = value
    for step in path:
        holder = holder[step]
    holder[key] = replacement
    return value


def scripts(path, kind, streamed):
    """Sound answers, as JSON: one body, or the events of a stream."""
    if path == "/v1/embeddings":
        return [VECTORS]
    if kind == "openai":
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USAGE}
        return (
            [chunk(MESSAGE), chunk({"tool_calls": [CALL]}), chunk({"content": "x [EMAIL"}), last]
            if streamed
            else [completion(MESSAGE)]
        )
    if not streamed:
        return [
            {
                "id": "1",
                "model": "m",
                "content": ANTHROPIC,
                "stop_reason": "tool_use",
                "usage": {"input_tokens": 2, "output_tokens": 3},
            }
        ]
    parts = b"".join(part for part in sound("/v1/messages", {"stream": True}) if isinstance(part, bytes))
    events = [json.loads(line[6:]) for line in parts.decode().splitlines() if line.startswith("data: ")]
    tool = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    events[-2:-2] = [
        {"type": "content_block_start", "index": 1, "content_block": tool},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        {"type": "content_block_start", "index": 2, "content_block": ANTHROPIC[0]},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "thinking_delta", "thinking": "x"}},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "signature_delta", "signature": "x"}},
        {"type": "content_block_stop", "index": 2},
    ]
    return events


@settings(
    max_examples=EXAMPLES, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    st.sampled_from(list(PATHS)),
    st.sampled_from(["openai", "anthropic"]),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 200), odd), max_size=2),
)
def test_whatever_a_reply_holds(gate, path, kind, streamed, edits):
    kind, streamed = ("openai", False) if path == "/v1/embeddings" else (kind, streamed)
    value = scripts(path, kind, streamed)
    for number, replacement in edits:
        value = changed(value, number, replacement)
    script = stream(*value) if streamed else reply(value[0])
    gate(script, path, streamed=streamed, kind=kind)
