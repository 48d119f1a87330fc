"""Whatever a client sends: an answer in good form, never a failure inside the gate, one row for each call that went out."""

import contextlib
import gzip
import http.client
import json
import os
import re
import socket
from copy import deepcopy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from budgets.models import Budget, Window
from gateway.models import Call, Hold
from tests.scripted import ScriptedProvider

#: `FUZZ_EXAMPLES=5000` makes a long run of it.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
FEATURES = [f"{kind}.{policy}" for kind in ("openai", "anthropic", "sandbox") for policy in ("off", "pseudonymise")]
TEXT = "Write to jane.doe@example.com or [EMAIL_ADDRESS_1]"

FUNCTION = {"name": "look_up", "description": "d", "parameters": {"type": "object", "properties": {}}, "strict": True}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look_up", "arguments": '{"q": "jane.doe@example.com"}'},
}
IMAGE = "data:image/png;base64,aGVsbG8="
CHAT = {
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "name": "jane", "content": [
            {"type": "text", "text": TEXT}, {"type": "image_url", "image_url": {"url": IMAGE, "detail": "low"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGVsbG8="}},
        ]},
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": [CALL],
         "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}]},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"found": ["jane.doe@example.com", 4111111111111111]}'},
        {"role": "user", "content": TEXT},
    ],
    "max_tokens": 50, "n": 1, "temperature": 0.5, "top_p": 0.9, "stop": ["x"], "stream": True, "user": "jane", "seed": 1,
    "stream_options": {"include_usage": True}, "tools": [{"type": "function", "function": FUNCTION}], "metadata": {"a": "b"},
    "tool_choice": {"type": "function", "function": {"name": "look_up"}}, "parallel_tool_calls": False,
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
    "reasoning_effort": "low", "service_tier": "auto",
}  # fmt: skip
RESPONSES = {
    "input": [
        {"role": "user", "content": TEXT},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]},
        {"type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "x"}]},
        {"type": "reasoning", "summary": []},
        {"role": "user", "content": [{"type": "input_text", "text": TEXT}, {"type": "input_image", "image_url": IMAGE, "detail": "low"},
                                     {"type": "input_file", "filename": "a", "file_data": "data:application/pdf;base64,aGVsbG8="}]},
    ],
    "instructions": "Be kind.", "max_output_tokens": 50, "tools": [{"type": "function", **FUNCTION}], "stream": True,
    "tool_choice": {"type": "function", "name": "look_up"}, "text": {"format": {"type": "json_schema", "name": "a", "schema": {}}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"], "store": False, "metadata": {"a": "b"},
    "temperature": 1, "truncation": "disabled", "parallel_tool_calls": True, "user": "jane",
}  # fmt: skip
MESSAGES = {
    "system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": TEXT}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}},
            {"type": "document", "title": "a", "source": {"type": "text", "media_type": "text/plain", "data": TEXT}},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "hi"},
            {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"q": "jane.doe@example.com"}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True, "content": [{"type": "text", "text": TEXT}]}
        ]},
    ],
    "max_tokens": 50, "stop_sequences": ["x"], "stream": True, "temperature": 0.5, "top_k": 5, "metadata": {"user_id": "jane"},
    "tools": [{"name": "look_up", "description": "d", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}],
    "tool_choice": {"type": "tool", "name": "look_up", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 10}, "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
    "service_tier": "auto",
}  # fmt: skip
EMBEDDINGS = {"input": [TEXT, "b"], "encoding_format": "base64", "dimensions": 3, "user": "jane"}
VARIABLES = {"variables": {"ticket": TEXT}, "stream": True}
BODIES = {
    "/v1/chat/completions": [CHAT, {"messages": [{"role": "user", "content": TEXT}]}, VARIABLES],
    "/v1/responses": [RESPONSES, {"input": TEXT}, VARIABLES],
    "/v1/messages": [MESSAGES, {"max_tokens": 9, "messages": [{"role": "user", "content": TEXT}]}, VARIABLES | {"max_tokens": 9, "messages": []}],
    "/v1/embeddings": [EMBEDDINGS],
}  # fmt: skip

#: JSON that `json.dumps` does not write, by the text that stands for it.
RAW = {
    "@deep200@": "[" * 190 + "]" * 190, "@deep300@": "[" * 300 + "]" * 300, "@deep1010@": '{"a":' * 1010 + "1" + "}" * 1010,
    "@deep2000@": "[" * 2000 + "]" * 2000, "@nan@": "NaN", "@inf@": "-Infinity", "@1e999@": "1e999", "@big@": "9" * 5000,
    "@surrogate@": '"\\ud800 jane.doe@example.com"', "@nul@": '"a\\u0000b jane.doe@example.com"', "@bytes@": '"\udcff\udcfe"',
    "@long@": '"' + "x" * 200_000 + '"', "@broken@": '{"a"',
}  # fmt: skip
#: Texts that are JSON themselves, as arguments and results of tools are.
INNER = [
    "[" * 3000 + "]" * 3000, '{"a": "\\ud800 jane.doe@example.com"}', '{"a": NaN}', "{", '{"a": 1' + "0" * 5000 + "}",
    '[{"a":' * 990 + "1" + "}]" * 990,
]  # fmt: skip
odd = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([2**31, 2**63, 2**64 - 1, -(2**63), 1e300, 0.5, 10**30])
    | st.sampled_from(list(RAW)) | st.sampled_from(INNER) | st.text(max_size=8)
    | st.sampled_from(["", "auto", "none", "user", "text", "image_url", "function", "tool_use", "refusal", "low", "\x00"])
    | st.sampled_from([[], {}, [[]], [{}], [None], [5], {"type": "text"}, {"type": []}, {"a": {"b": {}}}, [TEXT], {"text": 5}, {"content": 5}])
)  # fmt: skip
changes = st.lists(
    st.tuples(st.integers(0, 300), st.sampled_from(["set", "set", "drop", "wrap", "twice"]), odd), max_size=3
)


def places(value, path=()):
    """The path to every value inside of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def changed(body, edits):
    """A copy of the body with the values at some places dropped, wrapped, doubled or replaced."""
    body = json.loads(json.dumps(body))
    for number, how, value in edits:
        *path, key = (found := list(places(body)))[number % len(found)]
        holder = body
        for step in path:
            holder = holder[step]
        if how == "drop":
            del holder[key]
        elif how == "twice" and isinstance(holder, list):
            holder.append(deepcopy(holder[key]))
        else:
            holder[key] = [holder[key]] if how == "wrap" else deepcopy(value)
        if not body:
            break
    return body


def encoded(body) -> bytes:
    text = json.dumps(body)
    for name, raw in RAW.items():
        text = text.replace(json.dumps(name), raw)
    return text.encode("utf-8", "surrogateescape")


@pytest.fixture
def gate(world, server):
    """Posts to a gate with a feature for every kind of provider and policy; checks every answer, and the rows at the end."""
    with ScriptedProvider() as provider:
        policies = {
            "off": world.off,
            "pseudonymise": world.policy("p", outbound="pseudonymise", entities=["EMAIL_ADDRESS"]),
        }
        for kind in ("openai", "anthropic", "sandbox"):
            made = world.kind(kind, base_url=provider.base_url if kind != "sandbox" else "", name=f"fuzz-{kind}")
            for name, policy in policies.items():
                feature = world.feature(f"{kind}.{name}", (made, "m"), policy=policy, route={"timeout_s": 10})
                world.prompt(feature, {"messages": [{"role": "user", "content": "Answer {{ ticket }}"}]})
        Budget.objects.create(metric="usd", period="month", limit=10**9)
        key = world.key()
        server.catch_up()

        def post(path, body: bytes, headers=()):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            try:
                given = {"authorization": f"Bearer {key}", "content-type": "application/json", **dict(headers)}
                connection.request("POST", path, body=body, headers=given)
                answer = connection.getresponse()
                content = answer.read()
            finally:
                connection.close()
            check(path, answer.status, dict(answer.headers), content)
            return answer.status, content

        post.key = key
        yield post
        sent = Call.objects.exclude(provider="fuzz-sandbox")
        # A client may go away when its attempt has begun and nothing has been sent yet.
        surely = sum(call.attempts for call in sent.exclude(outcome="cancelled"))
        assert surely <= len(provider.requests) <= sum(call.attempts for call in sent)
        assert not Hold.objects.exists() and not Window.objects.exclude(held=0).exists()


#: How an event begins that says that a stream failed, in each endpoint's shape.
FAILED = ('data: {"error"', "event: error", "event: response.failed")


def check(path, status, headers, content):
    """An answer is a success, or an error of the client's in the endpoint's shape; also the last event of a stream."""
    text = content.decode()
    assert status < 500, (status, text)
    if headers.get("content-type", "").startswith("text/event-stream"):
        assert text.endswith("\n\n") and not any(event.startswith(FAILED) for event in text.split("\n\n")), text[-2000:]
        return
    body = json.loads(text)
    if status >= 400:
        if path == "/v1/messages":
            assert body["type"] == "error" and {"type", "message"} <= set(body["error"]), body
        else:
            assert set(body["error"]) == {"message", "type", "code", "param"}, body
        assert len(text) < 10_000, "an error repeats what was sent at length"


FUZZ = settings(
    max_examples=EXAMPLES, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


@FUZZ
@given(st.data())
def test_whatever_a_body_holds(gate, data):
    path = data.draw(st.sampled_from(list(BODIES)))
    body = data.draw(st.sampled_from(BODIES[path])) | {"model": data.draw(st.sampled_from(FEATURES))}
    body = changed(body, data.draw(changes))
    gate(path, encoded(body))


CHUNKED = [(b"transfer-encoding", b"chunked")]
BODY = json.dumps({"model": "openai.off", "messages": [{"role": "user", "content": TEXT}]}).encode()
PIECES = (
    b"".join(b"%x\r\n%s\r\n" % (len(BODY[i : i + 9]), BODY[i : i + 9]) for i in range(0, len(BODY), 9)) + b"0\r\n\r\n"
)
LENGTH = (b"content-length", b"%d" % len(BODY))
#: How a body can come, true or not: its headers and its bytes.
FRAMES = [
    ([LENGTH], BODY), (CHUNKED, PIECES), (CHUNKED, PIECES[:-9]), (CHUNKED, b"zz\r\n"), (CHUNKED, b"fffffffffffffffff\r\nx"),
    ([(b"content-length", b"5")], BODY), ([(b"content-length", b"99999")], BODY), ([(b"content-length", b"-1")], BODY),
    ([(b"content-length", b"9" * 40)], BODY), ([LENGTH, (b"content-length", b"5")], BODY), ([LENGTH, *CHUNKED], BODY), ([], BODY),
    ([LENGTH, (b"expect", b"100-continue")], BODY), ([LENGTH, (b"expect", b"the worst")], BODY),
    ([(b"content-encoding", b"gzip"), (b"content-length", b"%d" % len(gzip.compress(BODY, mtime=0)))], gzip.compress(BODY, mtime=0)),
    ([LENGTH, (b"content-type", b"text/plain; charset=utf-16")], BODY), ([LENGTH, (b"upgrade", b"websocket"), (b"connection", b"upgrade")], BODY),
]  # fmt: skip
NAMES = [f"x-tollhouse-{name}".encode() for name in ("feature", "user", "tenant", "cohort", "session", "call-id", "x")] + [
    b"traceparent", b"tracestate", b"authorization", b"x-api-key", b"host", b"cookie", b"x-forwarded-for", b"accept", b"connection", b"te",
]  # fmt: skip
lines = st.binary(max_size=12) | st.sampled_from([
    b"", b"Bearer", b"Bearer ", b"bearer  KEY ", b"Basic KEY", b"Bearer KEY KEY", b"Bearer \xff\xfe", b"x" * 5000, b"openai.off", b"sandbox.off", b"*",
    b"' OR 1=1 --", b"{{ 7*7 }}", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00", b"00-" + b"z" * 32 + b"-" + b"z" * 16 + b"-01", b"\x00", b"a\r\nb: c",
    b"00-" + b"+1" * 16 + b"-" + b"_1" * 8 + b"-01", "ünï".encode(), b"a\tb", b"\xa0" * 300, b"close", b"trailers",
])  # fmt: skip


@FUZZ
@given(
    st.sampled_from([b"POST", b"GET", b"HEAD", b"OPTIONS", b"PUT", b"get", b"TRACE", b"\x00"]) | st.just(b"POST"),
    st.sampled_from([b"/v1/chat/completions"] * 5 + [b"/v1/models", b"/v1/%ff%00", b"/v1/../admin/", b"/v1/chat/completions?x=%ff", b"/v1/\xff", b"/readyz"]),
    st.sampled_from(FRAMES), st.lists(st.tuples(st.sampled_from(NAMES), lines), max_size=3), st.booleans(),
)  # fmt: skip
def test_whatever_headers_say(gate, server, method, target, frame, given_headers, good_key):
    headers, body = frame
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        key = gate.key.encode()
        known = [(b"host", b"localhost"), *([(b"authorization", b"Bearer " + key)] if good_key else [])]
        made = [
            *known,
            *headers,
            *((name, value.replace(b"KEY", key)) for name, value in given_headers),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%s: %s\r\n" % header for header in made)
        with contextlib.suppress(OSError):
            connection.sendall(b"%s %s HTTP/1.1\r\n%s\r\n%s" % (method, target, lines, body))
            connection.shutdown(socket.SHUT_WR)
        answered = b""
        with contextlib.suppress(OSError):
            while part := connection.recv(65536):
                answered += part
    # Whoever promises more than it sends is told nothing; everybody else has a status.
    assert not answered or answered.startswith(b"HTTP/1.")
    for status in re.findall(rb"^HTTP/1\.[01] (\d+)", answered, re.MULTILINE):
        assert int(status) < 500 or b"left_alone" in answered, answered[-2000:]
    assert b"inside the gate" not in answered
