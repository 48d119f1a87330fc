"""What an Anthropic client says to an Anthropic provider, and hears from it, is what it would be without the gate between."""

from types import SimpleNamespace
from uuid import uuid4

import orjson
import pytest

from gateway.cache.replay import pieces
from gateway.cache.replay import whole as kept
from gateway.errors import InvalidRequest
from gateway.heard import Heard
from gateway.http.messages.reply import Events, message
from gateway.http.messages.request import chat_body
from gateway.providers import KINDS
from gateway.providers.anthropic.reply import Chunks, completion
from gateway.providers.anthropic.request import messages_request
from gateway.providers.base import Request
from gateway.providers.openai import _body
from gateway.types import Piece

CACHE = {"type": "ephemeral"}
HI = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
ASKED = {
    "model": "m", "max_tokens": 4000, "temperature": 0.5, "top_p": 0.9, "top_k": 5, "stop_sequences": ["END"],
    "metadata": {"user_id": "u1"}, "cache_control": CACHE, "output_config": {"effort": "max"},
    "thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"},
    "system": [{"type": "text", "text": "Be brief.", "cache_control": CACHE}],
    "tools": [{"name": "t", "description": "d", "input_schema": {"type": "object"}, "strict": True, "cache_control": CACHE}],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "messages": [
        *HI,
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "eA=="},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "a", "name": "t", "input": {"q": 1}},
            {"type": "tool_use", "id": "b", "name": "t", "input": {}, "cache_control": CACHE},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "no"}], "is_error": True},
            {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "yes"}], "cache_control": CACHE},
            {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
            {"type": "text", "text": "Go on.", "cache_control": CACHE},
        ]},
    ],
}  # fmt: skip


@pytest.mark.parametrize("thinking", [ASKED["thinking"], {"type": "adaptive"}, {"type": "disabled"}])
def test_nothing_that_is_asked_is_lost_on_the_way_to_anthropic(thinking):
    asked = {**ASKED, "thinking": thinking}
    assert messages_request(chat_body(asked), "m") == asked


def test_nothing_that_only_anthropic_knows_reaches_openai():
    asked = {**ASKED, "thinking": {"type": "disabled"}}
    request = Request(
        feature="f", operation="chat", model="m", body=chat_body(asked), stream=False, base_url="", api_key="",
        timeout_s=1, connect_timeout_s=1, first_token_timeout_s=1, most_bytes=1,
    )  # fmt: skip
    sent = orjson.dumps(_body(request))
    for word in (b"cache_control", b"thinking", b"is_error"):
        assert word not in sent


def test_through_litellm_hints_are_left_out_and_thinking_is_refused():
    hints = {"max_tokens": 5, "messages": HI, "cache_control": CACHE, "thinking": {"type": "disabled"}}
    refusal = KINDS["litellm"].refusal
    assert refusal("chat", chat_body(hints)) == ""
    assert "thinking cannot be passed" in refusal("chat", chat_body({**hints, "thinking": ASKED["thinking"]}))


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"messages": [{"role": "user", "content": [
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}, "citations": {"enabled": True}},
        ]}]}, "citations"),
        ({"messages": [{"role": "user", "content": [
            {"type": "document", "source": {"type": "url", "url": "https://x.example/a.pdf"}, "context": "From Ada."},
        ]}]}, "context"),
        ({"tools": [{"name": "t", "input_schema": {}, "input_examples": [{"q": 1}]}]}, "input_examples"),
        ({"tools": [{"name": "t", "input_schema": {}, "defer_loading": True}]}, "defer_loading"),
        ({"output_config": {"task_budget": {"total": 5}}}, "task_budget"),
    ],
)  # fmt: skip
def test_what_would_be_lost_is_refused_by_name(fields, words):
    with pytest.raises(InvalidRequest, match=words):
        chat_body({"model": "m", "max_tokens": 5, "messages": HI, **fields})


def test_what_changes_nothing_is_no_reason_to_refuse():
    made = chat_body({
        "model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": [
            {"type": "document", "source": {"type": "text", "data": "b"}, "title": "a.txt", "citations": {"enabled": False}, "context": None},
            {"type": "text", "text": "x", "citations": None},
        ]}],
        "tools": [{"name": "t", "input_schema": {}, "defer_loading": False, "allowed_callers": ["direct"], "eager_input_streaming": True}],
    })  # fmt: skip
    # A document of plain text has its title before it, as text has none of its own.
    assert made["messages"][0]["content"][0] == {"type": "text", "text": "a.txt\n\nb"}


THOUGHTS = [
    {"type": "thinking", "thinking": "Hm.", "signature": "c2lnMQ=="},
    {"type": "thinking", "thinking": "Oh.", "signature": "c2lnMg=="},
    {"type": "redacted_thinking", "data": "eA=="},
    {"type": "thinking", "thinking": "", "signature": "c2lnMw=="},
    {"type": "text", "text": "I look."},
    {"type": "tool_use", "id": "a", "name": "t", "input": {"q": 1}},
    {"type": "tool_use", "id": "b", "name": "t", "input": {}},
]
USAGE = {"input_tokens": 5, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}


def said(blocks, reason, sequence=None):
    """The events with which Anthropic says this."""
    yield {"type": "message_start", "message": {"id": "1", "model": "m", "usage": USAGE}}
    for index, block in enumerate(blocks):
        empty = {"thinking": {"thinking": "", "signature": ""}, "text": {"text": ""}, "tool_use": {"input": {}}}
        start = block | empty.get(block["type"], {})
        yield {"type": "content_block_start", "index": index, "content_block": start}
        for delta in {
            "thinking": [
                *({"type": "thinking_delta", "thinking": c} for c in block.get("thinking", "")),
                {"type": "signature_delta", "signature": block.get("signature")},
            ],
            "text": [{"type": "text_delta", "text": c} for c in block.get("text", "")],
            "tool_use": [{"type": "input_json_delta", "partial_json": orjson.dumps(block.get("input")).decode()}],
        }.get(block["type"], []):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": reason, "stop_sequence": sequence}
    yield {"type": "message_delta", "delta": delta, "usage": USAGE}
    yield {"type": "message_stop"}


def heard(chunks):
    """The blocks that a client makes of our events, and how they ended."""
    events = Events(SimpleNamespace(call_id=uuid4(), row={"model_served": "m"}))
    raw = b"".join(events.add(chunk) for chunk in chunks) + events.finish()
    blocks, ending = [], None
    for event in (orjson.loads(part.partition(b"data: ")[2]) for part in raw.strip().split(b"\n\n")):
        if event["type"] == "content_block_start":
            assert event["index"] == len(blocks)
            blocks.append(dict(event["content_block"]))
        elif event["type"] == "content_block_delta":
            delta, block = dict(event["delta"]), blocks[-1]
            assert event["index"] == len(blocks) - 1
            kind = delta.pop("type")
            for name, text in delta.items():
                block[name] = (block.get(name) or "") + text if kind != "signature_delta" else text
        elif event["type"] == "message_delta":
            ending = event
    for block in blocks:
        if block["type"] == "tool_use":
            block["input"] = orjson.loads(block.pop("partial_json", "{}"))
    return blocks, ending["delta"]["stop_reason"], ending["delta"]["stop_sequence"], ending["usage"]


@pytest.mark.parametrize(
    "blocks, reason, sequence",
    [
        (THOUGHTS, "tool_use", None), (THOUGHTS[4:5], "stop_sequence", "END"), (THOUGHTS[4:5], "end_turn", None),
        (THOUGHTS[4:5], "max_tokens", None), (THOUGHTS[3:5], "end_turn", None), ([], "refusal", None),
    ],
)  # fmt: skip
def test_nothing_that_anthropic_answers_is_lost(blocks, reason, sequence):
    chunks = Chunks()
    streamed = [chunk for event in said(blocks, reason, sequence) for chunk in chunks.add(event)]
    found = heard(streamed)
    assert found[:3] == (blocks, reason, sequence)
    assert found[3]["output_tokens_details"] == {"thinking_tokens": 4} and found[3]["output_tokens"] == 9
    whole = message(completion({"model": "m", "content": blocks, "stop_reason": reason, "stop_sequence": sequence,
                                "usage": USAGE}), uuid4())  # fmt: skip
    assert (whole["content"], whole["stop_reason"], whole["stop_sequence"]) == found[:3]
    assert whole["usage"] == found[3]


@pytest.mark.parametrize(
    "blocks, reason, sequence", [(THOUGHTS, "tool_use", None), (THOUGHTS[4:5], "stop_sequence", "END")]
)
def test_nothing_that_a_cache_has_kept_is_lost(blocks, reason, sequence):
    said_before = Heard()
    answer = {"model": "m", "content": blocks, "stop_reason": reason, "stop_sequence": sequence, "usage": USAGE}
    said_before.add(Piece(b"", [completion(answer)], final=True))
    again = [event for piece in pieces(kept(said_before), stream=True) for event in piece.events]
    assert heard(again)[:3] == (blocks, reason, sequence)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_that_was_called_is_a_reason_to_go_on_whatever_the_provider_says(streamed):
    """OpenAI says `stop` where a tool had to be called by name, and so do many compatible servers of any call."""
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "t", "arguments": "{}"}}
    if streamed:
        delta = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}
        reason = heard([{"choices": [delta]}, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}])[1]
    else:
        said = {"role": "assistant", "content": None, "tool_calls": [call]}
        reason = message({"choices": [{"index": 0, "message": said, "finish_reason": "stop"}]}, uuid4())["stop_reason"]
    assert reason == "tool_use"


def test_a_stop_sequence_that_vllm_tells_of_is_passed_on():
    choice = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop", "stop_reason": "END"}
    made = message({"choices": [choice]}, uuid4())
    assert (made["stop_reason"], made["stop_sequence"]) == ("stop_sequence", "END")


def test_what_the_assistant_said_is_plain_text_where_it_was():
    """Not every compatible server takes lists."""
    said = {"role": "assistant", "content": [{"type": "text", "text": "I look."}]}
    assert chat_body({"max_tokens": 5, "messages": [*HI, said]})["messages"][1]["content"] == "I look."
