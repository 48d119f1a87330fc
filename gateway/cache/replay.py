"""A reply as it is kept, and as it is given again: the body of a chat completion, or the chunks of a stream."""

from collections.abc import Iterator, Mapping

import orjson

from gateway.heard import Heard
from gateway.providers.sse import DONE, encode
from gateway.types import Json, Piece

#: Only these are replies in full; one that was cut off or filtered may come out better another time.
COMPLETE = frozenset({"stop", "tool_calls"})
NOTHING = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def whole(heard: Heard) -> dict[str, Json] | None:
    """The body of a chat completion that says what was heard; None where it is not complete."""
    if not heard.complete or not heard.messages or any(reason not in COMPLETE for reason in heard.finish_reasons):
        return None
    choices = [
        {
            "index": index,
            "message": message,
            "finish_reason": reason,
            "logprobs": None,
            **({"stop_sequence": at} if at else {}),
        }
        for index, (message, reason, at) in enumerate(
            zip(heard.messages, heard.finish_reasons, heard.stopped_at, strict=True)
        )
    ]
    return {
        "id": heard.id,
        "object": "chat.completion",
        "created": heard.created,
        "model": heard.model,
        "choices": choices,
    }


def pieces(reply: Mapping[str, Json], *, stream: bool) -> Iterator[Piece]:
    """The reply, once more. It reports a usage of nothing: no provider was asked."""
    if not stream:
        body = {**reply, "usage": NOTHING}
        yield Piece(orjson.dumps(body), [body], final=True)
        return
    base = {**reply, "object": "chat.completion.chunk"}
    for choice in reply["choices"]:
        message = choice["message"]
        calls = [{"index": index, **call} for index, call in enumerate(message.get("tool_calls") or ())]
        delta = {**message, **({"tool_calls": calls} if calls else {})}
        yield _piece({**base, "choices": [{"index": choice["index"], "delta": delta, "finish_reason": None}]})
        end = {name: value for name, value in choice.items() if name != "message"}
        yield _piece({**base, "choices": [{**end, "delta": {}}]})
    yield _piece({**base, "choices": [], "usage": NOTHING})
    yield Piece(DONE, [], final=True)


def _piece(event: dict[str, Json]) -> Piece:
    return Piece(encode(event), [event])
