"""Redaction of what travels: request bodies in the OpenAI shape, replies, and what of both may be stored."""

import hashlib
import hmac
import json
import logging
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType
from typing import Any, Protocol

from django.conf import settings

from redaction import media
from redaction.engine import remote
from redaction.media import BYTES, MEDIA
from redaction.policies import STORED_PARTS, Policy
from redaction.remembered import ahead, spans
from redaction.spans import AnalyzerAway, Span
from redaction.vault import PLACEHOLDER, Vault

logger = logging.getLogger("tollhouse.redaction")

Json = Any
#: A text of a trusted template → the ranges in it that variables gave.
Filled = Mapping[str, Sequence[tuple[int, int]]]
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
#: Fields that are not looked at: the model, which the catalog knows, and numbers by number.
BODY_PASSED = ("model", "logit_bias")
#: A number from here on may be a card's or a telephone's.
LARGE = 100_000_000
#: What defines tools and the reply's form. In them, fields of a schema that name other things; and its values, which come back.
DEFINITIONS = ("tools", "functions", "response_format")
SCHEMA_PASSED = ("$ref", "$schema", "$id", "$anchor", "pattern", "format")
SCHEMA_STRUCTURE = ("type", "name", "syntax", "required", "contentEncoding", "contentMediaType")
SCHEMA_NAMES = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
SCHEMA_VALUES = ("enum", "const", "default", "examples")

#: What stands in a payload for a text that is not kept.
NOT_KEPT = "(not kept)"
SURROGATE = re.compile("[\ud800-\udfff]")


class RedactionFailed(Exception):
    """The analysis failed. The text must not go on; the message holds none of it."""


class EntitiesRefused(Exception):
    """The policy refuses calls with what was found. `types` are the kinds of it, never the values."""

    def __init__(self, types: tuple[str, ...]) -> None:
        super().__init__(", ".join(types))
        self.types = types


class Uninspectable(Exception):
    """The input is in a form that cannot be checked for personal data; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactedBody:
    """The body as it may go out, and the entities found as counts by type."""

    body: dict[str, Json]
    entities: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """What is done with the texts of one part of a call. `within`: in JSON it is done leaf by leaf, so that it stays JSON."""

    change: "Change"
    within: bool = True


class Change(Protocol):
    """Makes of a text what goes out or is kept. `key` is the field of JSON that it is the value of, which says what it may be."""

    def __call__(self, text: str, key: str = "") -> str: ...


def _same(text: str, key: str = "") -> str:
    return text


#: Part of a call → what is done with its texts.
Ways = Callable[[str], _Way]


def redact_body(
    body: Mapping[str, Json],
    policy: Policy,
    vault: Vault,
    *,
    filled: Filled = MappingProxyType({}),
    ends_at: float = math.inf,
) -> RedactedBody:
    """A copy of a request body with the policy's outbound rules applied to everything that people wrote.

    That is all but structure and media: in messages, in the `input` of embeddings, in the definitions of tools and of the
    reply's form, and in every other field, known or not. `filled` are texts of templates: what is found in their own text
    alone stays. Raises EntitiesRefused and MediaRefused where the policy refuses, Uninspectable for token ids, RedactionFailed
    when the analysis fails, or is not done at `ends_at` (by `perf_counter`): it holds up all other calls that need one.
    """
    counts: Counter[str] = Counter()
    refused: set[str] = set()
    if policy.media == "refuse":
        media.refuse(body)
    for text in texts(body):
        vault.reserve(text)

    @cache
    def ways(part: str, reversible: bool = False) -> _Way:
        if not policy.looks_at(part):
            return _Way(change=_same)
        actions, otherwise = policy.actions(part), policy.outbound_of(part)

        def replace(entity: str, original: str) -> str:
            counts[entity] += 1
            action = actions.get(entity, otherwise)
            if action == "refuse":
                refused.add(entity)
            if action == "off":
                return original
            return _replaced(entity, original, action != "pseudonymise" and not reversible, vault)

        return _Way(change=_redactor(policy, vault, replace, filled, ends_at))

    if remote():
        coming = (text for text in _texts_of_parts(body, policy) if filled.get(text) != ())
        with _failing_closed():
            ahead(coming, policy, ends_at=ends_at)
    redacted = _changed(body, ways)
    if refused:
        raise EntitiesRefused(tuple(sorted(refused)))
    return RedactedBody(body=redacted, entities=dict(counts))


def _texts_of_parts(body: Mapping[str, Json], policy: Policy) -> list[str]:
    """The texts of a body that will be analysed one by one."""
    found: list[str] = []

    def note(text: str, key: str = "") -> str:
        found.append(_introduced(text, key) + text)
        return text

    noting = _Way(change=note)
    _changed(body, lambda part, reversible=False: noting if policy.looks_at(part) else _Way(change=_same))
    return found


def _changed(body: Mapping[str, Json], ways: Callable[..., _Way]) -> dict[str, Json]:
    """The body with its texts changed, each in the way of its part."""
    changed = {field: _beside(field, value, ways) for field, value in body.items()}
    if isinstance(messages := body.get("messages"), list):
        changed["messages"] = [_message(message, ways) for message in messages]
    if "input" in body and (way := ways("embeddings")).change is not _same:
        changed["input"] = _input(body["input"], way.change)
    return changed


def payload(
    messages: Sequence[Json],
    reply: Sequence[Json],
    policy: Policy,
    vault: Vault,
    *,
    filled: Filled = MappingProxyType({}),
    ends_at: float = math.inf,
) -> dict[str, Json] | None:
    """What may be stored of a call: `{"messages", "reply"}` in full or redacted, `{"sha256"}`, or None.

    Both are given as the provider saw and said them. Text that was replaced on its way out keeps its placeholders; nothing
    is undone. Where parts of a call are kept differently, texts that are not kept say so, and hashed ones are their keyed
    hash. Media are described, never kept. Raises RedactionFailed as `redact_body` does.
    """
    kinds = {policy.stored_of(part) for part in STORED_PARTS}
    if kinds == {"none"}:
        return None
    content = {"messages": [media.without(m) for m in messages], "reply": [media.without(m) for m in reply]}
    if kinds == {"hash"}:
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return {"sha256": _hash(canonical)}
    if kinds == {"full"}:
        return content

    def ways(part: str, *, sent: bool) -> _Way:
        match policy.stored_of(part):
            case "none":
                return _Way(change=lambda text, key="": NOT_KEPT, within=False)
            case "hash":
                return _Way(change=lambda text, key="": f"sha256:{_hash(text)}", within=False)
            case "full":
                return _Way(change=_same)
        if sent and policy.changes_all(part):
            return _Way(change=_same)
        actions, otherwise = policy.actions(part), policy.outbound_of(part)

        def replace(entity: str, original: str) -> str:
            return _replaced(entity, original, actions.get(entity, otherwise) == "mask", vault)

        return _Way(change=_redactor(policy, vault, replace, filled, ends_at))

    return {
        "messages": [_message(m, partial(ways, sent=True)) for m in content["messages"]],
        "reply": [_message(m, partial(ways, sent=False)) for m in content["reply"]],
    }


def _redactor(
    policy: Policy, vault: Vault, replace: Callable[[str, str], str], filled: Filled, ends_at: float
) -> Change:
    """A function that redacts one text: `replace` says what stands for an entity and its value."""

    def redact(text: str, key: str = "") -> str:
        variables = filled.get(text)
        if variables is not None and not variables:
            return text
        introduction = _introduced(text, key)
        pieces, end = [], 0
        for span in _found(introduction + text, policy, ends_at):
            start, until = max(0, span.start - len(introduction)), span.end - len(introduction)
            if variables is not None and not any(start < last and first < until for first, last in variables):
                continue
            original = text[start : max(0, until)]
            if not original or any(vault.knows(placeholder) for placeholder in PLACEHOLDER.findall(original)):
                continue
            pieces += [text[end:start], replace(span.type, original)]
            end = until
        return "".join([*pieces, text[end:]]) if pieces else text

    return redact


def _introduced(text: str, key: str) -> str:
    """What a short value is read behind: the words of its field's name, as a label. "cardNumber" is "card number: "."""
    if not key or len(key) > MOST_KEY or len(text) > MOST_VALUE or not _is_word(key):
        return ""
    return JOINT.sub(" ", key).strip().lower() + ": "


def _replaced(entity: str, original: str, mask: bool, vault: Vault) -> str:
    return f"<{entity}>" if mask else vault.replace(entity, original)


def _found(text: str, policy: Policy, ends_at: float) -> list[Span]:
    with _failing_closed():
        return spans(text, policy, ends_at=ends_at)


@contextmanager
def _failing_closed() -> Iterator[None]:
    """Turns whatever fails in a recogniser into RedactionFailed: the text must not pass unchecked."""
    try:
        yield
    except AnalyzerAway as error:
        logger.error("%s", error)
        raise RedactionFailed(str(error)) from None
    except Exception as error:  # noqa: BLE001  (whatever it is)
        # Without the traceback: its frames and message may quote the text.
        logger.error("redaction failed in %s", type(error).__name__)
        raise RedactionFailed("The text could not be analysed.") from None


def _beside(field: str, value: Json, ways: Callable[..., _Way]) -> Json:
    """A field of the body beside messages and input. Small numbers are settings; what is no structure is text."""
    if field in ("messages", "input", *BODY_PASSED) or (isinstance(value, int | float) and abs(value) < LARGE):
        return value
    if field in DEFINITIONS:
        return _definition(value, ways("tools"), ways("tools", reversible=True))
    if field in BODY_STRUCTURE:
        return _words(value, ways("prompts"))
    return _leaves(value, ways("prompts"), field)


def _words(value: Json, way: _Way) -> Json:
    """The value with what is no word redacted, wherever it stands in it."""
    if isinstance(value, dict):
        return {key if _is_word(key) else way.change(key): _words(item, way) for key, item in value.items()}
    if isinstance(value, list):
        return [_words(item, way) for item in value]
    return way.change(value) if isinstance(value, str) and not _is_word(value) else value


def _definition(value: Json, way: _Way, values: _Way) -> Json:
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


def _message(message: Json, ways: Ways) -> Json:
    if not isinstance(message, dict):
        return message
    part = PART_OF_ROLE.get(message["role"], "prompts") if isinstance(message.get("role"), str) else "prompts"
    changed = {}
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
            changed[field] = _leaf(field, value, ways(part))
    return changed


def _content(content: Json, way: _Way) -> Json:
    if isinstance(content, str):
        return _maybe_json(content, way)
    if isinstance(content, list):
        return [_content(part, way) for part in content]
    if isinstance(content, dict) and content.get("type") in MEDIA:
        return _around_bytes(content, way)
    if isinstance(content, dict):
        return {k: _content(v, way) if k in ("text", "content") else _leaf(k, v, way) for k, v in content.items()}
    return content


def _around_bytes(part: Json, way: _Way) -> Json:
    """A part that is media, or of one: its bytes and where they are stay, texts beside them (a file's name) are looked at."""
    if isinstance(part, dict):
        return {key: value if key in BYTES else _around_bytes(value, way) for key, value in part.items()}
    return _leaves(part, way)


def _thought(block: Json, way: _Way) -> Json:
    # Its signature and what is encrypted stay: they are the provider's own, and no text.
    if not isinstance(block, dict):
        return _leaves(block, way)
    return {key: value if key in OPAQUE else _leaf(key, value, way) for key, value in block.items()}


def _tool_call(call: Json, ways: Ways) -> Json:
    way = ways("tool_arguments")
    if not isinstance(call, dict):
        return _leaves(call, way)
    return {k: _function(v, way) if k in ("function", "custom") else _leaf(k, v, way) for k, v in call.items()}


def _function(function: Json, way: _Way) -> Json:
    if not isinstance(function, dict):
        return _leaves(function, way)
    changed = {}
    for key, value in function.items():
        if key in ("arguments", "input") and isinstance(value, str):
            changed[key] = _maybe_json(value, way)
        else:
            changed[key] = value if key == "name" and _is_word(value) else _leaf(key, value, way)
    return changed


def _maybe_json(text: str, way: _Way) -> str:
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


def _leaves(value: Json, way: _Way, key: str = "") -> Json:
    """The value with each text in it redacted; `key` is the field that it stands in."""
    if isinstance(value, str):
        return way.change(value, key)
    if isinstance(value, dict):
        changed: dict[str, Json] = {}
        for field, item in value.items():
            name = field if _is_word(field) else way.change(field)
            while name in changed:
                # Two keys that came to the same mask.
                name += "'"
            changed[name] = _leaf(field, item, way)
        return changed
    if isinstance(value, list):
        return [_leaves(item, way, key) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        # A card or telephone number may come as a number; it then becomes a text.
        text = str(value)
        redacted = way.change(text, key)
        return value if redacted == text else redacted
    return value


def _leaf(key: str, value: Json, way: _Way) -> Json:
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


def _hash(text: str) -> str:
    secret = getattr(settings, "TOLLHOUSE", {}).get("PEPPER") or settings.SECRET_KEY
    key = hmac.new(secret.encode(), b"tollhouse payload hash", hashlib.sha256).digest()
    return hmac.new(key, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()
