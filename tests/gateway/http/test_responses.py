"""`/v1/responses`: the official client's types, and the order of a stream's events."""

import json
from decimal import Decimal

import openai
import pytest
from openai import OpenAI

from gateway.models import Call

TOOL = {
    "type": "function",
    "name": "look_up",
    "description": "Looks up.",
    "parameters": {"type": "object"},
    "strict": False,
}


@pytest.fixture
def client(world, server):
    claude = world.kind("anthropic")
    world.feature("f", "echo", "tool", "json", "truncated", "cut", (claude, "think"), (claude, "cached"))
    key = world.key()
    server.catch_up()
    with OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, timeout=20) as found:
        yield found


def at(model):
    return {"extra_headers": {"X-Tollhouse-Feature": "f"}, "model": model}


def test_a_response(client, provider):
    raw = client.responses.with_raw_response.create(
        model="f", instructions="Be brief.", input="hello there", max_output_tokens=50, temperature=0.5, user="u"
    )
    response = raw.parse()
    assert (response.output_text, response.status, response.instructions) == ("hello there", "completed", "Be brief.")
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (20, 10, 30)
    call = Call.objects.get()
    assert raw.headers["x-tollhouse-call-id"] == str(call.id) and response.id == f"resp_{call.id.hex}"
    assert call.cost_usd == Decimal("0.0004")
    assert provider.requests[0] == {
        "model": "echo", "temperature": 0.5, "user": "u", "max_completion_tokens": 50,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello there"}],
    }  # fmt: skip


def test_a_conversation_with_tools_is_translated_whole(client, provider):
    first = client.responses.create(input="hello there", tools=[TOOL], tool_choice="required", **at("tool"))
    [call] = first.output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "look_up", {"query": "hello there"})
    conversation = [
        {"role": "user", "content": [
            {"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": "https://example.com/a.png"},
        ]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"role": "assistant", "content": "I look."},
        {**call.model_dump(), "call_id": "a"},
        {**call.model_dump(), "call_id": "b"},
        {"type": "function_call_output", "call_id": "a", "output": "a cat"},
        {"type": "function_call_output", "call_id": "b", "output": "nothing"},
    ]  # fmt: skip
    client.responses.create(
        input=conversation, tools=[TOOL], tool_choice={"type": "function", "name": "look_up"}, **at("echo")
    )
    sent = provider.requests[1]
    function = {"name": "look_up", "arguments": '{"query": "hello there"}'}
    assert sent["messages"] == [
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        ]},
        {"role": "assistant", "content": "I look.", "tool_calls": [
            {"id": "a", "type": "function", "function": function}, {"id": "b", "type": "function", "function": function},
        ]},
        {"role": "tool", "tool_call_id": "a", "content": "a cat"},
        {"role": "tool", "tool_call_id": "b", "content": "nothing"},
    ]  # fmt: skip
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "look_up"}}
    assert sent["tools"][0]["function"]["name"] == "look_up"


def test_structured_output(client, provider):
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    form = {"format": {"type": "json_schema", "name": "person", "schema": schema, "strict": True}}
    response = client.responses.create(input="x", text=form, reasoning={"effort": "low"}, **at("json"))
    assert json.loads(response.output_text)["name"] == "Ada"
    assert provider.requests[0]["response_format"]["json_schema"] == {
        "name": "person",
        "schema": schema,
        "strict": True,
    }
    assert provider.requests[0]["reasoning_effort"] == "low"


def test_a_stream_has_every_event_in_its_place(client):
    with client.responses.stream(input="hello there", **at("echo")) as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = list(dict.fromkeys(event.type for event in events))
    assert kinds == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        "response.output_text.delta", "response.output_text.done", "response.content_part.done",
        "response.output_item.done", "response.completed",
    ]  # fmt: skip
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "hello there"
    assert (final.output_text, final.usage.total_tokens) == ("hello there", 30)
    assert Call.objects.get().outcome == "ok"


def test_a_stream_of_thoughts_and_of_tool_calls(client):
    with client.responses.stream(input="hello there", **at("anthropic/think")) as stream:
        events = list(stream)
        output = stream.get_final_response().output
    assert [item.type for item in output] == ["reasoning", "message"]
    assert output[0].summary[0].text == "Hm, let me see."
    assert [e.output_index for e in events if e.type == "response.output_item.added"] == [0, 1]
    with client.responses.stream(input="hello there", tools=[TOOL], **at("tool")) as stream:
        events = list(stream)
        [call] = stream.get_final_response().output
    assert json.loads(call.arguments) == {"query": "hello there"} and call.call_id == "call_1"
    assert [e for e in events if e.type == "response.function_call_arguments.done"]


def test_what_was_cut_off_is_incomplete(client):
    response = client.responses.create(input="x", **at("truncated"))
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    events = list(client.responses.create(input="x", stream=True, **at("truncated")))
    assert events[-1].type == "response.incomplete"


def test_a_stream_that_breaks_ends_with_an_error(client):
    events = list(client.responses.create(input="hello there", stream=True, **at("cut")))
    assert (events[-1].type, events[-1].code) == ("error", "provider_error")
    assert events[-1].sequence_number == len(events) - 1
    assert Call.objects.get().outcome == "provider_error"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"previous_response_id": "resp_1"}, "send the whole conversation"),
        ({"background": True}, "not kept"),
        ({"tools": [{"type": "web_search"}]}, "Only functions"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "store: false"),
        ({"input": [{"type": "computer_call"}]}, "computer_call"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input_file"),
        ({"include": ["file_search_call.results"]}, "include"),
        ({"extra_body": {"surprise": 1}}, "surprise"),
    ],
)
def test_what_cannot_be_passed_on_is_told(client, provider, given, words):
    with pytest.raises(openai.BadRequestError, match=words):
        client.responses.create(**{"model": "f", "input": "x", **given})
    assert provider.requests == [] and Call.objects.count() == 0
