"""The shape of a reply, as far as the stages behind the provider read it."""

from collections.abc import Iterator, Mapping
from types import NoneType

from gateway.errors import ProviderError
from gateway.types import Json, Operation

_TEXTS = ("refusal", "reasoning_content", "reasoning")
#: What a field may be that is there or not; tuples, as a union would be made anew at every look.
_TEXT, _NUMBER, _OBJECT = (str, NoneType), (int, NoneType), (dict, NoneType)
#: What a choice and its delta have where they are one more piece of text.
_CHOICE, _SAID = {"index", "delta", "finish_reason", "logprobs"}, {"role", "content"}


def check(event: Mapping[str, Json], operation: Operation, *, streamed: bool) -> None:
    """Raises ProviderError for a reply, or an event of a stream, that is not built as OpenAI's are.

    Its texts may be anything, and so may every field that nobody here reads.
    """
    if streamed and _is_text(event):
        return
    for flaw in _embeddings(event) if operation == "embeddings" else _chat(event, streamed=streamed):
        raise ProviderError(
            f"The provider's reply is not in the shape of OpenAI's: {flaw}.", transient=True, billable=True
        )


def _is_text(event: Mapping[str, Json]) -> bool:
    """Whether a stream's event is one more piece of text and nothing else that is read, as nearly all are."""
    choices = event.get("choices")
    if type(choices) is not list or len(choices) != 1 or event.get("usage") is not None:
        return False
    choice = choices[0]
    if type(choice) is not dict or not choice.keys() <= _CHOICE or choice.get("finish_reason") is not None:
        return False
    delta = choice.get("delta")
    return (
        type(choice.get("index")) is int
        and type(delta) is dict
        and delta.keys() <= _SAID
        and type(delta.get("content")) is str
    )


def _embeddings(event: Mapping[str, Json]) -> Iterator[str]:
    if not _are_objects(event.get("data")):
        yield "data is no list of objects"


def _chat(event: Mapping[str, Json], *, streamed: bool) -> Iterator[str]:
    if not isinstance(event.get("usage"), _OBJECT):
        yield "usage is no object"
    choices = event.get("choices") or []
    if not _are_objects(choices):
        yield "choices is no list of objects"
        return
    if not choices and not streamed:
        yield "there are no choices"
    for choice in choices:
        yield from _choice(choice)


def _choice(choice: Mapping[str, Json]) -> Iterator[str]:
    if not isinstance(choice.get("index"), _NUMBER):
        yield "the index of a choice is no number"
    if not isinstance(choice.get("finish_reason"), _TEXT):
        yield "finish_reason is no text"
    for name in ("message", "delta"):
        said = choice.get(name)
        if isinstance(said, dict):
            yield from _said(said)
        elif said is not None:
            yield f"{name} is no object"


def _said(said: Mapping[str, Json]) -> Iterator[str]:
    if not isinstance(said.get("content"), (*_TEXT, list)):
        yield "content is neither a text nor a list of parts"
    for name in _TEXTS:
        if not isinstance(said.get(name), _TEXT):
            yield f"{name} is no text"
    for name in ("tool_calls", "thinking_blocks"):
        if said.get(name) is not None and not _are_objects(said[name]):
            yield f"{name} is no list of objects"
            return
    for call in said.get("tool_calls") or ():
        function = call.get("function")
        if not isinstance(call.get("index"), _NUMBER):
            yield "the index of a tool call is no number"
        if not isinstance(function, _OBJECT):
            yield "the function of a tool call is no object"
        elif function and not all(isinstance(function.get(name), _TEXT) for name in ("name", "arguments")):
            yield "name or arguments of a tool call are no text"


def _are_objects(value: Json) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def text_of(content: Json) -> str:
    """The text of a message's content, which some vendors write as a list of parts."""
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""
