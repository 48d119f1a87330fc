"""What the Responses shape makes of chunks and fields that a mock provider does not send."""

from types import SimpleNamespace
from uuid import uuid4

import orjson
import pytest

from gateway.http.responses.reply import finished
from gateway.http.responses.request import chat_body
from gateway.http.responses.stream import Events
from gateway.providers.anthropic.request import messages_request


def told(*deltas, **last):
    """The output items of a stream with these deltas, as a client collects them, and the response at its end."""
    events = Events(SimpleNamespace(call_id=uuid4(), row={"model_served": "m"}), {})
    raw = b"".join(events.add({"choices": [{"index": 0, "delta": delta}]}) for delta in deltas)
    raw += events.add({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], **last}) + events.finish()
    parsed = [orjson.loads(part.partition(b"data: ")[2]) for part in raw.strip().split(b"\n\n")]
    added = [event["item"]["id"] for event in parsed if event["type"] == "response.output_item.added"]
    done = [event["item"] for event in parsed if event["type"] == "response.output_item.done"]
    assert added == [item["id"] for item in done] and parsed[-1]["response"]["output"] == done
    # Clients collect texts by the id of their item.
    assert len(set(added)) == len(added)
    assert all(event.get("item_id", added[0]) in added for event in parsed)
    return done, parsed[-1]["response"]


def test_every_item_of_a_stream_has_an_id_of_its_own():
    call = {"index": 0, "id": "a", "function": {"name": "t", "arguments": "{}"}}
    items, _ = told(
        {"reasoning_content": "Hm."}, {"content": "I look."}, {"tool_calls": [call]}, {"reasoning_content": "Oh."},
        {"content": "Nothing."}, {"refusal": "I stop."},
    )  # fmt: skip
    assert [item["type"] for item in items] == [
        "reasoning", "message", "function_call", "reasoning", "message", "message",
    ]  # fmt: skip


def test_calls_that_a_provider_does_not_number_are_calls_of_their_own():
    calls = [{"id": id, "function": {"name": name, "arguments": "{}"}} for id, name in (("a", "t"), ("b", "u"))]
    items, _ = told({"tool_calls": calls})
    assert [(item["call_id"], item["name"], item["arguments"]) for item in items] == [
        ("a", "t", "{}"), ("b", "u", "{}"),
    ]  # fmt: skip


def test_the_tier_that_served_is_told():
    assert told({"content": "x"}, service_tier="flex")[1]["service_tier"] == "flex"
    choice = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}
    assert finished({"choices": [choice], "service_tier": "flex"}, uuid4(), {})["service_tier"] == "flex"


def test_how_long_a_prompt_stays_cached_is_passed_on_and_a_hint_for_others():
    made = chat_body({"input": "x", "prompt_cache_retention": "24h", "prompt_cache_key": "k"})
    assert (made["prompt_cache_retention"], made["prompt_cache_key"]) == ("24h", "k")
    assert "prompt_cache_retention" not in messages_request({**made, "max_tokens": 5}, "m")


@pytest.mark.parametrize(("content", "made"), [("I look.", "I look."), ([{"type": "output_text", "text": "I"}], "I")])
def test_what_the_assistant_said_is_plain_text_where_it_was(content, made):
    """Not every compatible server takes lists."""
    items = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": content},
        {"role": "user", "content": "y"},
    ]
    assert [message["content"] for message in chat_body({"input": items})["messages"]] == ["x", made, "y"]
