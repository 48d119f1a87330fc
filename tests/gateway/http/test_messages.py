"""`/v1/messages`: Anthropic's shape over the same pipeline, whatever the provider."""

import json
from decimal import Decimal
from uuid import uuid4

import httpx
import orjson
import pytest

from budgets.models import Budget
from gateway.http.messages.reply import message
from gateway.models import Call

TOOL = {"name": "look_up", "description": "Looks up.", "input_schema": {"type": "object"}}
TURNS = [
    {"role": "user", "content": [
        {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "BBBB"}, "title": "a.pdf"},
    ]},
    {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "a", "name": "look_up", "input": {"query": "cat"}},
    ]},
    {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "a", "content": "no cat", "is_error": True},
        {"type": "text", "text": "Thanks."},
    ]},
]  # fmt: skip


@pytest.fixture
def post(world, server):
    """Posts a message's body with a key in Anthropic's header."""
    claude = world.kind("anthropic")
    models = ("echo", "tool", "think", "cached", "overloaded", "truncated", "cut")
    world.feature("claude", *((claude, model) for model in models), max_output_tokens=1000)
    world.feature("f", "echo", "tool", "cached", "json", "cut", max_output_tokens=1000)
    key = world.key()
    server.catch_up()
    with httpx.Client(
        base_url=server.url, headers={"x-api-key": key, "anthropic-version": "2023-06-01"}, timeout=30
    ) as client:

        def send(feature, model="echo", **fields):
            body = {
                "model": model,
                "max_tokens": 100,
                "messages": [{"role": "user", "content": "hello there"}],
                **fields,
            }
            return client.post("/v1/messages", json=body, headers={"x-tollhouse-feature": feature})

        yield send


def events_of(answer):
    blocks = [block.split("\n") for block in answer.text.strip().split("\n\n")]
    parsed = [json.loads(lines[1].removeprefix("data: ")) for lines in blocks]
    assert [lines[0] for lines in blocks] == [f"event: {event['type']}" for event in parsed]
    return parsed


def text_of(events):
    return "".join(e["delta"].get("text", "") for e in events if e["type"] == "content_block_delta")


@pytest.mark.parametrize("feature", ["claude", "f"])
def test_a_message_over_either_kind_of_provider(post, feature):
    answer = post(feature, system="Be brief.")
    message = answer.json()
    assert (message["type"], message["role"], message["stop_reason"]) == ("message", "assistant", "end_turn")
    assert message["content"] == [{"type": "text", "text": "hello there"}]
    assert message["usage"] == {
        "input_tokens": 20, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "output_tokens": 10,
    }  # fmt: skip
    call = Call.objects.get()
    assert answer.headers["x-tollhouse-call-id"] == str(call.id) and call.cost_usd == Decimal("0.0004")


def test_to_anthropic_and_back_a_conversation_stays_what_it_was(post, provider):
    assert post(
        "claude", messages=TURNS, system=[{"type": "text", "text": "Be brief."}], tools=[TOOL], top_k=5
    ).is_success
    sent = provider.requests[0]
    assert sent["messages"][:2] == TURNS[:2]
    result = {
        "type": "tool_result",
        "tool_use_id": "a",
        "content": [{"type": "text", "text": "no cat"}],
        "is_error": True,
    }
    assert sent["messages"][2]["content"] == [result, {"type": "text", "text": "Thanks."}]
    assert (sent["tools"], sent["top_k"], sent["max_tokens"]) == ([TOOL], 5, 100)
    assert sent["system"] == [{"type": "text", "text": "Be brief."}]


def test_to_openai_a_conversation_has_nothing_that_it_does_not_know(post, provider):
    assert post("f", messages=TURNS, tools=[{**TOOL, "cache_control": {"type": "ephemeral"}}]).is_success
    sent = provider.requests[0]
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "tool", "user"]
    assert sent["messages"][1]["tool_calls"][0]["function"] == {"name": "look_up", "arguments": '{"query":"cat"}'}
    assert not any(word in json.dumps(sent) for word in ("cache_control", "thinking_blocks", "is_error"))


@pytest.mark.parametrize("feature", ["claude", "f"])
def test_tools_plain_and_streamed(post, feature):
    choice = {"type": "any", "disable_parallel_tool_use": True}
    message = post(feature, "tool", tools=[TOOL], tool_choice=choice).json()
    assert message["stop_reason"] == "tool_use"
    assert message["content"][-1]["input"] == {"query": "hello there"}
    events = events_of(post(feature, "tool", tools=[TOOL], stream=True))
    start = [e["content_block"] for e in events if e["type"] == "content_block_start"][-1]
    assert (start["type"], start["name"], start["input"]) == ("tool_use", "look_up", {})
    arguments = "".join(e["delta"].get("partial_json", "") for e in events if e["type"] == "content_block_delta")
    assert json.loads(arguments) == {"query": "hello there"}
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize("feature", ["claude", "f"])
def test_a_stream(post, feature):
    events = events_of(post(feature, "cached", stream=True))
    kinds = list(dict.fromkeys(event["type"] for event in events))
    assert kinds == [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    assert text_of(events) == "hello there"
    usage = events[-2]["usage"]
    assert (usage["cache_read_input_tokens"], usage["output_tokens"]) == (800, 30)
    assert usage["input_tokens"] + usage["cache_creation_input_tokens"] == 200


def test_thinking_plain_and_streamed(post, provider):
    thought = {"type": "thinking", "thinking": "Hm, let me see.", "signature": "c2lnbmVk"}
    thinking = {"type": "enabled", "budget_tokens": 50}
    assert post("claude", "think", thinking=thinking).json()["content"][0] == thought
    assert provider.requests[0]["thinking"] == thinking
    events = events_of(post("claude", "think", stream=True, thinking=thinking))
    deltas = [e["delta"] for e in events if e["type"] == "content_block_delta" and e["index"] == 0]
    assert "".join(d.get("thinking", "") for d in deltas) == thought["thinking"]
    assert deltas[-1] == {"type": "signature_delta", "signature": "c2lnbmVk"}
    assert text_of(events) == "hello there"


def test_structured_output_over_openai(post, provider):
    wanted = {"format": {"type": "json_schema", "schema": {"type": "object"}}, "effort": "low"}
    assert json.loads(post("f", "json", output_config=wanted).json()["content"][0]["text"])["name"] == "Ada"
    assert provider.requests[0]["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert provider.requests[0]["reasoning_effort"] == "low"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools that Anthropic runs"),
        ({"container": "c"}, "`container`"),
        ({"messages": [{"role": "user", "content": [{"type": "search_result"}]}]}, "search_result"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "role"),
        ({"messages": "x"}, "must be a list"),
        ({"thinking": "on"}, "must be an object"),
        ({"max_tokens": 5000}, "from 1 to 1000"),
    ],
)
def test_what_cannot_be_passed_on_is_told_in_anthropics_way(post, provider, fields, words):
    answer = post("f", **fields)
    assert answer.status_code == 400
    body = answer.json()
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error") and words in body["error"][
        "message"
    ]
    assert provider.requests == []


def test_errors_have_anthropics_types(post):
    Budget.objects.create(feature="f", limit=0)
    over = post("f")
    assert (over.status_code, over.json()["error"]["type"]) == (429, "rate_limit_error")
    assert over.json()["request_id"] == str(Call.objects.get().id) and over.headers["x-should-retry"] == "false"
    assert post("nope").json()["error"]["type"] == "not_found_error"
    overloaded = post("claude", "overloaded")
    assert (overloaded.status_code, overloaded.json()["error"]["type"]) == (529, "overloaded_error")


@pytest.mark.parametrize("feature", ["claude", "f"])
def test_a_stream_that_breaks_ends_with_an_error_event(post, feature):
    events = events_of(post(feature, "cut", stream=True))
    assert events[-1]["type"] == "error" and events[-1]["error"]["type"] == "api_error"


@pytest.mark.parametrize("arguments", ["{", "[1]", '{"a":' + "[" * 500 + "]" * 500 + "}"])
def test_arguments_that_are_no_object_or_too_deep_to_be_written_stay_a_text(arguments):
    calls = [{"id": "a", "function": {"name": "look_up", "arguments": arguments}}]
    made = message({"choices": [{"message": {"tool_calls": calls}, "finish_reason": "tool_calls"}]}, uuid4())
    assert made["content"][0]["input"] == {"arguments": arguments}
    assert orjson.dumps(made)
