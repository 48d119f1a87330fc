"""Pseudonyms undone in replies of all three protocols: in chunks as in the whole."""

import json
from uuid import uuid4

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.entry import Entry
from gateway.http.messages import reply as messages
from gateway.http.responses import reply as responses
from gateway.http.responses.stream import Events as ResponseEvents
from gateway.restore import Restorer
from gateway.types import Ask, Caller, Piece
from redaction.vault import Vault

NAMES = ("Ada Lovelace", 'Jean "JJ" Valjean', "Zoë\nMüller")

texts = st.lists(
    st.sampled_from(["[PERSON_1]", "[person 2]", r"\[PERSON\_3\]", "PERSON_1", "[PERSON_9]", "[", "Dear ", ", ", "\\", '"', "\n", "é"]),
    min_size=1, max_size=8,
).map("".join)  # fmt: skip


def restorer(*, streamed, json_asked=False):
    vault = Vault()
    for name in NAMES:
        vault.replace("PERSON", name)
    return Restorer(vault, streamed=streamed, usage_asked=True, json_asked=json_asked)


def completion(text, arguments):
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    said = {"role": "assistant", "content": text, "tool_calls": [call]}
    return {"model": "m", "choices": [{"index": 0, "message": said, "finish_reason": "tool_calls"}], "usage": {}}


def chunks(text, arguments, sizes):
    """The completion as a stream, its texts cut into pieces of these sizes."""
    deltas = [{"content": part} for part in cut(text, sizes)]
    first = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    deltas.append({"tool_calls": [first]})
    deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in cut(arguments, sizes)]
    for delta in deltas:
        yield {"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], "usage": {}}


def cut(text, sizes):
    at = 0
    for size in [*sizes, len(text)]:
        if at < len(text):
            yield text[at : at + size]
        at += size


def entry():
    return Entry(Ask(feature="f", operation="chat", body={}, caller=Caller(), call_id=uuid4()))


def sent(raw):
    """The data of server-sent events."""
    return [orjson.loads(line[6:]) for line in raw.decode().split("\n") if line.startswith("data: {")]


@given(texts, texts, st.lists(st.integers(1, 6), max_size=50), st.booleans())
def test_a_streamed_reply_says_what_a_whole_one_says(text, argument, sizes, as_json):
    text = json.dumps({"said": text}) if as_json else text
    arguments = json.dumps({"to": argument})
    whole = restorer(streamed=False, json_asked=as_json).restore(
        Piece(b"", [completion(text, arguments)], final=True)
    ).events[0]  # fmt: skip
    said = whole["choices"][0]["message"]
    restored_arguments = said["tool_calls"][0]["function"]["arguments"]
    json.loads(restored_arguments)
    if as_json:
        json.loads(said["content"])

    streaming = restorer(streamed=True, json_asked=as_json)
    events = [e for c in chunks(text, arguments, sizes) for e in streaming.restore(Piece(b"", [c])).events]
    deltas = [event["choices"][0]["delta"] for event in events]
    assert "".join(delta.get("content") or "" for delta in deltas) == said["content"]
    calls = [call for delta in deltas for call in delta.get("tool_calls") or ()]
    assert "".join(call["function"]["arguments"] for call in calls) == restored_arguments

    one = entry()
    translated = messages.Events(one)
    blocks = sent(b"".join(map(translated.add, events)) + translated.finish())
    content = messages.message(whole, one.call_id)["content"]
    assert (
        "".join(e["delta"].get("text", "") for e in blocks if e["type"] == "content_block_delta") == content[0]["text"]
    )
    partial = "".join(e["delta"].get("partial_json", "") for e in blocks if e["type"] == "content_block_delta")
    assert json.loads(partial) == content[1]["input"]
    assert [e["content_block"]["type"] for e in blocks if e["type"] == "content_block_start"] == ["text", "tool_use"]

    translated = ResponseEvents(one, {})
    last = sent(b"".join(map(translated.add, events)) + translated.finish())[-1]
    output = last["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call"]
    assert output == responses.finished(whole, one.call_id, {})["output"]
