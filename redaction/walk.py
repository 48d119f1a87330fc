"""The texts of a body in the OpenAI shape: where they stand, what is structure beside them, and each changed where it stands."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from redaction.media import ABOUT_BYTES, has_no_blank, is_bytes, kind_of

Json = Any
#: Fields that are structure where they look like it, and text otherwise; the latter two are a provider's own, and no text.
STRUCTURE, OPAQUE = ("role", "type", "id", "tool_call_id"), ("signature", "data")
#: Names of fields and values up to so many characters are read together; where the words of such a name meet.
MOST_KEY, MOST_VALUE = 40, 200
JOINT = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\W_]+")
WORD = re.compile(r"[A-Za-z][\w.:|-]{0,127}")
#: Whose words a message's are, by its role.
PART_OF_ROLE = {
    "system": "system", "developer": "system", "assistant": "replies", "tool": "tool_results", "function": "tool_results",
}  # fmt: skip
#: Fields beside the messages that are structure: words in them pass, and nothing but words.
BODY_STRUCTURE = (
    "tool_choice", "function_call", "stream_options", "reasoning_effort", "reasoning", "verbosity", "service_tier", "modalities",
    "audio", "thinking", "encoding_format", "prompt_cache_key", "prompt_cache_retention", "cache_control",
)  # fmt: skip
#: Fields that are not looked at: the model, which the catalog knows.
BODY_PASSED = ("model",)
#: A number from here on may be a card's or a telephone's.
LARGE = 100_000_000
#: What defines tools and the reply's form. In them, fields of a schema that name other things; and its values, which come back.
DEFINITIONS = ("tools", "functions", "response_format")
SCHEMA_PASSED = ("$ref", "$schema", "$id", "$anchor", "pattern", "format")
SCHEMA_STRUCTURE = ("type", "name", "syntax", "required", "contentEncoding", "contentMediaType")
SCHEMA_NAMES = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
SCHEMA_VALUES = ("enum", "const", "default", "examples")
SURROGATE = re.compile("[\ud800-\udfff]")


#: Names of fields that nearly every message has, known without looking at them.
FIELDS = frozenset(
    ("role", "content", "type", "text", "name", "id", "tool_call_id", "tool_calls", "function", "arguments", "refusal")
)


class Uninspectable(Exception):
    """The input is in a form that cannot be checked for personal data; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What is done with the texts of one part of a call. `within`: in JSON it is done leaf by leaf, so that it stays JSON."""

    change: "Change"
    within: bool = True


class Change(Protocol):
    """Makes of a text what goes out or is kept. `key` is the field of JSON that it is the value of, which says what it may be."""

    def __call__(self, text: str, key: str = "") -> str: ...


def same(text: str, key: str = "") -> str:
    """The text: nothing is done with it."""
    return text


#: Part of a call → what is done with its texts.
Ways = Callable[[str], Way]


def changed_texts(body: Mapping[str, Json], ways: Callable[..., Way]) -> dict[str, Json]:
    """The body with its texts changed, each in the way of its part."""
    changed: dict[str, Json] = {}
    for field, value in body.items():
        changed[_name(field, changed, ways("prompts"))] = _beside(field, value, ways)
    if isinstance(messages := body.get("messages"), list):
        changed["messages"] = [message_changed(message, ways) for message in messages]
    if "input" in body and (way := ways("embeddings")).change is not same:
        changed["input"] = _input(body["input"], way.change)
    return changed


def _beside(field: str, value: Json, ways: Callable[..., Way]) -> Json:
    """A field of the body beside messages and input. Small numbers are settings; what is no structure is text."""
    if field in ("messages", "input", *BODY_PASSED) or (isinstance(value, int | float) and abs(value) < LARGE):
        return value
    if field == "logit_bias" and isinstance(value, dict) and all(map(_is_bias, value, value.values())):
        return value
    if field in DEFINITIONS:
        return _definition(value, ways("tools"), ways("tools", reversible=True))
    if field in BODY_STRUCTURE:
        return _words(value, ways("prompts"))
    return _leaves(value, ways("prompts"), field)


def _words(value: Json, way: Way) -> Json:
    """The value with what is no word redacted, wherever it stands in it."""
    if isinstance(value, dict):
        return {key if _is_word(key) else way.change(key): _words(item, way) for key, item in value.items()}
    if isinstance(value, list):
        return [_words(item, way) for item in value]
    return way.change(value) if isinstance(value, str) and not _is_word(value) else value


def _definition(value: Json, way: Way, values: Way) -> Json:
    """Tools or a reply's form. `values` is for what comes back as it was sent: names of fields and the values they may have."""
    if isinstance(value, str):
        return way.change(value)
    if isinstance(value, list):
        return [_definition(item, way, values) for item in value]
    if not isinstance(value, dict):
        return value
    changed: dict[str, Json] = {}
    for key, item in value.items():
        name = key if _is_word(key) or key in SCHEMA_PASSED else values.change(key)
        if key in SCHEMA_NAMES and isinstance(item, dict):
            changed[name] = {
                named if _is_word(named) else values.change(named): _definition(schema, way, values)
                for named, schema in item.items()
            }
        elif key in SCHEMA_PASSED and isinstance(item, str):
            changed[name] = item
        elif key in SCHEMA_VALUES or (key in SCHEMA_STRUCTURE and isinstance(item, str | list)):
            changed[name] = _words(item, values)
        else:
            changed[name] = _definition(item, way, values)
    return changed


def message_changed(message: Json, ways: Ways) -> Json:
    """A message with its texts changed, each in the way of its part."""
    if not isinstance(message, dict):
        return message
    part = PART_OF_ROLE.get(message["role"], "prompts") if isinstance(message.get("role"), str) else "prompts"
    changed: dict[str, Json] = {}
    for field, value in message.items():
        if field == "content":
            changed[field] = _content(value, ways(part))
        elif field == "thinking_blocks" and isinstance(value, list):
            changed[field] = [_thought(block, ways(part)) for block in value]
        elif field == "tool_calls" and isinstance(value, list):
            changed[field] = [_tool_call(call, ways) for call in value]
        elif field == "function_call":
            changed[field] = _function(value, ways("tool_arguments"))
        else:
            changed[_name(field, changed, ways(part))] = _leaf(field, value, ways(part))
    return changed


def _content(content: Json, way: Way) -> Json:
    if isinstance(content, str):
        return _maybe_json(content, way)
    if isinstance(content, list):
        return [_content(part, way) for part in content]
    if isinstance(content, dict) and kind_of(content):
        return _around_bytes(content, way)
    if isinstance(content, dict):
        return _fields(content, way, lambda k, v: _content(v, way) if k in ("text", "content") else _leaf(k, v, way))
    return _leaves(content, way)


def _around_bytes(part: Json, way: Way) -> Json:
    """A part that is media, or of one: its bytes and where they are stay, texts beside them (a file's name) are looked at."""
    if isinstance(part, dict):
        return _fields(part, way, lambda k, v: v if is_bytes(k, v) or _is_about_bytes(k, v) else _around_bytes(v, way))
    return _leaves(part, way)


def _is_about_bytes(key: str, value: Json) -> bool:
    return key in ABOUT_BYTES and isinstance(value, str) and _is_word(value.replace("/", "."))


def _thought(block: Json, way: Way) -> Json:
    # Its signature and what is encrypted stay: they are the provider's own, and no text.
    if not isinstance(block, dict):
        return _leaves(block, way)
    return _fields(block, way, lambda k, v: v if k in OPAQUE and has_no_blank(v) else _leaf(k, v, way))


def _tool_call(call: Json, ways: Ways) -> Json:
    way = ways("tool_arguments")
    if not isinstance(call, dict):
        return _leaves(call, way)
    return _fields(call, way, lambda k, v: _function(v, way) if k in ("function", "custom") else _leaf(k, v, way))


def _function(function: Json, way: Way) -> Json:
    if not isinstance(function, dict):
        return _leaves(function, way)

    def field(key: str, value: Json) -> Json:
        if key in ("arguments", "input") and isinstance(value, str):
            return _maybe_json(value, way)
        return value if key == "name" and _is_word(value) else _leaf(key, value, way)

    return _fields(function, way, field)


def _maybe_json(text: str, way: Way) -> str:
    """Redacts a text; where it is a JSON object or list, its leaves, so that it stays valid JSON."""
    if way.within and text[:1] in ("{", "["):
        try:
            value = json.loads(text)
            if "\\u" in text and SURROGATE.search(json.dumps(value, ensure_ascii=False)):
                # Half a surrogate pair, which no UTF-8 can hold: it is left as it was written.
                return way.change(text)
            redacted = _leaves(value, way)
            return text if redacted == value else json.dumps(redacted, ensure_ascii=False)
        except (ValueError, RecursionError):
            return way.change(text)
    return way.change(text)


def _leaves(value: Json, way: Way, key: str = "") -> Json:
    """The value with each text in it redacted; `key` is the field that it stands in."""
    if isinstance(value, str):
        return way.change(value, key)
    if isinstance(value, dict):
        return _fields(value, way, lambda field, item: _leaf(field, item, way))
    if isinstance(value, list):
        return [_leaves(item, way, key) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        # A card or telephone number may come as a number; it then becomes a text.
        text = str(value)
        redacted = way.change(text, key)
        return value if redacted == text else redacted
    return value


def _fields(value: dict[str, Json], way: Way, field: Callable[[str, Json], Json]) -> dict[str, Json]:
    """An object with its fields changed one by one, and names that are no words redacted."""
    changed: dict[str, Json] = {}
    for key, item in value.items():
        changed[_name(key, changed, way)] = field(key, item)
    return changed


def _name(field: str, others: Mapping[str, Json], way: Way) -> str:
    """A field's name as it goes out: as it is where it is a word, apart from those of others that came to the same mask."""
    if field in FIELDS or _is_word(field):
        return field
    name = way.change(field)
    while name in others:
        name += "'"
    return name


def _is_bias(token: Json, bias: Json) -> bool:
    return str(token).isdecimal() and isinstance(bias, int | float)


def _leaf(key: str, value: Json, way: Way) -> Json:
    return value if key in STRUCTURE and _is_word(value) else _leaves(value, way, key)


def _is_word(value: Json) -> bool:
    """Whether a value looks like a name that programs give, and like nothing that people write."""
    return isinstance(value, str) and WORD.fullmatch(value) is not None


def _input(value: Json, redact: Change) -> Json:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [redact(item) for item in value]
    raise Uninspectable(
        "Token ids cannot be checked for personal data, as this feature's policy asks; send texts "
        "(with LangChain's OpenAIEmbeddings: check_embedding_ctx_length=False)."
    )


def texts(value: Json) -> list[str]:
    """Every text in the value, wherever it stands."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return []


def introduced(text: str, key: str) -> str:
    """What a short value is read behind: the words of its field's name, as a label. "cardNumber" is "card number: "."""
    if not key or len(key) > MOST_KEY or len(text) > MOST_VALUE or not _is_word(key):
        return ""
    return JOINT.sub(" ", key).strip().lower() + ": "
