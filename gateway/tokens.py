"""How many tokens a text has: an upper bound that costs nothing, and a count by tokenizer where that matters."""

from collections.abc import Iterator, Mapping
from functools import cache
from math import ceil
from typing import Any

import orjson

from gateway.types import Json

#: Byte-level tokenizers make at most one token of each byte of UTF-8. The markup around a message in JSON is longer
#: than what a chat template puts around it; this covers the template's own preamble.
TEMPLATE_TOKENS = 64
#: What an item of media can count at most, in tokens. Images: high detail at the largest size, by OpenAI's "Images and
#: vision" guide (gpt-4o-mini: 2833 + 8 tiles of 5667) and Anthropic's and Google's vision guides for the others.
IMAGE_TOKENS = {"gpt-4o-mini": 48_169}
OTHER_IMAGE_TOKENS = 5_000
#: A file given by name: OpenAI's limit of 100 pages, each as text and as an image.
NAMED_FILE_TOKENS = 250_000
#: Compressed text inside a file can hold several tokens for each byte of base64.
FILE_TOKENS_PER_BYTE = 4
#: Our tokenizer is OpenAI's; other vendors' make up to half as many tokens again of the same text.
FOREIGN_TOKENIZER = 1.5


def most_input_tokens(body: Mapping[str, Json], model: str) -> int:
    """No request of this body can have more input tokens than this, whatever the tokenizer."""
    media, texts = _split(body)
    return len(orjson.dumps(texts)) + TEMPLATE_TOKENS + sum(_media_tokens(part, model) for part in media)


def count_input_tokens(body: Mapping[str, Json], model: str, *, openai: bool) -> int:
    """A tight estimate of the input tokens: text by tokenizer (scaled up where it is not the vendor's), media at most."""
    media, texts = _split(body)
    counted = sum(count(text) for text in _strings(texts)) + 8 * len(body.get("messages") or ()) + TEMPLATE_TOKENS
    return ceil(counted * (1 if openai else FOREIGN_TOKENIZER)) + sum(_media_tokens(part, model) for part in media)


def count(text: str) -> int:
    """Tokens of a text in OpenAI's `o200k_base`."""
    return len(_encoding().encode(text))


@cache
def _encoding() -> Any:
    # Here, as its vocabulary takes memory that most processes never need.
    import bpe_openai  # type: ignore[import-untyped]

    return bpe_openai.get_encoding("o200k_base")


def _split(body: Mapping[str, Json]) -> tuple[list[dict[str, Json]], dict[str, Json]]:
    """The media parts of the messages, and the body without them."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not [
        m for m in messages if isinstance(m, dict) and type(m.get("content")) is list
    ]:
        return [], dict(body)
    media: list[dict[str, Json]] = []
    slim = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            parts = [part for part in content if isinstance(part, dict) and part.get("type") in _MEDIA]
            media += parts
            message = {**message, "content": [part for part in content if part not in parts]}
        slim.append(message)
    return media, {**body, "messages": slim}


_MEDIA = ("image_url", "input_audio", "file")


def _media_tokens(part: dict[str, Json], model: str) -> int:
    if part["type"] == "image_url":
        return next((n for name, n in IMAGE_TOKENS.items() if model.startswith(name)), OTHER_IMAGE_TOKENS)
    size = len(orjson.dumps(part))
    if part["type"] == "input_audio":
        return size
    named = not (isinstance(part.get("file"), dict) and part["file"].get("file_data"))
    return NAMED_FILE_TOKENS if named else FILE_TOKENS_PER_BYTE * size


def _strings(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
