"""Redaction of what travels: request bodies in the OpenAI shape, replies, and what of both may be stored."""

import hashlib
import hmac
import json
import logging
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from redaction.policies import Policy
from redaction.remembered import spans
from redaction.spans import Span
from redaction.vault import PLACEHOLDER, Vault

logger = logging.getLogger("tollhouse.redaction")

Json = Any
#: Message fields that hold text; everything else of a message is structure.
TEXT_FIELDS = ("content", "name", "refusal", "reasoning_content", "reasoning")
#: Fields beside the messages in which callers put text about people.
BODY_TEXTS = ("user", "safety_identifier", "metadata", "prediction")
#: Parts of a message that are media; their bytes are neither read nor stored.
MEDIA = ("image_url", "input_audio", "file")

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


def redact_body(body: Mapping[str, Json], policy: Policy, vault: Vault, *, ends_at: float = math.inf) -> RedactedBody:
    """A copy of a request body with the policy's outbound rule applied to everything that people wrote.

    That is `messages` (contents, names, tool arguments and results), the `input` of embeddings, and user, metadata and
    prediction. Raises EntitiesRefused where the policy refuses, Uninspectable for token ids, RedactionFailed when the
    analysis fails, or is not done at `ends_at` (by `perf_counter`): it holds up all other calls that need one.
    """
    counts: Counter[str] = Counter()
    for text in _texts(body):
        vault.reserve(text)
    redact = _redactor(policy, vault, counts, mask=policy.outbound in ("mask", "refuse"), ends_at=ends_at)
    redacted = dict(body)
    if isinstance(messages := body.get("messages"), list):
        redacted["messages"] = [_message(message, redact) for message in messages]
    if "input" in body:
        redacted["input"] = _input(body["input"], redact)
    for field in BODY_TEXTS:
        if field in body:
            redacted[field] = _leaves(body[field], redact)
    if policy.outbound == "refuse" and counts:
        raise EntitiesRefused(tuple(sorted(counts)))
    return RedactedBody(body=redacted, entities=dict(counts))


def payload(
    messages: Sequence[Json], reply: Sequence[Json], policy: Policy, vault: Vault, *, ends_at: float = math.inf
) -> dict[str, Json] | None:
    """What may be stored of a call: `{"messages", "reply"}` in full or redacted, `{"sha256"}`, or None.

    Both are given as the provider saw and said them. Text that was pseudonymised on its way out keeps its placeholders;
    nothing is undone. Media are described, never kept. Raises RedactionFailed as `redact_body` does.
    """
    if policy.stored == "none":
        return None
    content = {"messages": [_without_media(m) for m in messages], "reply": [_without_media(m) for m in reply]}
    if policy.stored == "hash":
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return {"sha256": hmac.new(_hash_key(), canonical.encode(), hashlib.sha256).hexdigest()}
    if policy.stored == "full":
        return content
    checked = policy.outbound in ("mask", "pseudonymise")
    redact = _redactor(policy, vault, Counter(), mask=policy.outbound == "mask", ends_at=ends_at)
    return {
        "messages": content["messages"] if checked else [_message(m, redact) for m in content["messages"]],
        "reply": [_message(m, redact) for m in content["reply"]],
    }


def _redactor(
    policy: Policy, vault: Vault, counts: Counter[str], *, mask: bool, ends_at: float
) -> Callable[[str], str]:
    """A function that redacts one text and counts what it found."""

    def redact(text: str) -> str:
        pieces, end = [], 0
        for span in _found(text, policy, ends_at):
            original = text[span.start : span.end]
            if any(vault.knows(placeholder) for placeholder in PLACEHOLDER.findall(original)):
                continue
            counts[span.type] += 1
            pieces += [text[end : span.start], f"<{span.type}>" if mask else vault.replace(span.type, original)]
            end = span.end
        return "".join([*pieces, text[end:]]) if pieces else text

    return redact


def _found(text: str, policy: Policy, ends_at: float) -> list[Span]:
    try:
        return spans(text, policy, ends_at=ends_at)
    except Exception as error:  # noqa: BLE001  (whatever fails in a recogniser, the text must not pass unchecked)
        # Without the traceback: its frames and message may quote the text.
        logger.error("redaction failed in %s", type(error).__name__)
        raise RedactionFailed("The text could not be analysed.") from None


def _message(message: Json, redact: Callable[[str], str]) -> Json:
    if not isinstance(message, dict):
        return message
    redacted = dict(message)
    for field in TEXT_FIELDS:
        if field in message:
            redacted[field] = _content(message[field], redact)
    if isinstance(blocks := message.get("thinking_blocks"), list):
        redacted["thinking_blocks"] = [_thought(block, redact) for block in blocks]
    if isinstance(calls := message.get("tool_calls"), list):
        redacted["tool_calls"] = [_tool_call(call, redact) for call in calls]
    return redacted


def _content(content: Json, redact: Callable[[str], str]) -> Json:
    if isinstance(content, str):
        return _maybe_json(content, redact)
    if not isinstance(content, list):
        return content
    parts = []
    for part in content:
        if isinstance(part, dict) and part.get("type") not in MEDIA:
            part = {k: _content(v, redact) if k in ("text", "refusal", "content") else v for k, v in part.items()}
        elif isinstance(part, str):
            part = redact(part)
        parts.append(part)
    return parts


def _thought(block: Json, redact: Callable[[str], str]) -> Json:
    # Its signature and what is encrypted stay: they are the provider's own, and no text.
    if isinstance(block, dict) and isinstance(block.get("thinking"), str):
        return {**block, "thinking": redact(block["thinking"])}
    return block


def _tool_call(call: Json, redact: Callable[[str], str]) -> Json:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    return {**call, "function": {**function, "arguments": _maybe_json(function["arguments"], redact)}}


def _maybe_json(text: str, redact: Callable[[str], str]) -> str:
    """Redacts a text; where it is a JSON object or list, its leaves, so that it stays valid JSON."""
    if text[:1] in ("{", "["):
        try:
            value = json.loads(text)
            if "\\u" in text and SURROGATE.search(json.dumps(value, ensure_ascii=False)):
                # Half a surrogate pair, which no UTF-8 can hold: it is left as it was written.
                return redact(text)
            redacted = _leaves(value, redact)
            return text if redacted == value else json.dumps(redacted, ensure_ascii=False)
        except (ValueError, RecursionError):
            return redact(text)
    return redact(text)


def _leaves(value: Json, redact: Callable[[str], str]) -> Json:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: item if key in ("type", "role") else _leaves(item, redact) for key, item in value.items()}
    if isinstance(value, list):
        return [_leaves(item, redact) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        # A card or telephone number may come as a number; it then becomes a text.
        text = str(value)
        redacted = redact(text)
        return value if redacted == text else redacted
    return value


def _input(value: Json, redact: Callable[[str], str]) -> Json:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [redact(item) for item in value]
    raise Uninspectable(
        "Token ids cannot be checked for personal data, as this feature's policy asks; send texts "
        "(with LangChain's OpenAIEmbeddings: check_embedding_ctx_length=False)."
    )


def _texts(value: Json) -> list[str]:
    """Every text in the value, wherever it stands."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return []


def _without_media(message: Json) -> Json:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        return message
    return {**message, "content": [_described(part) for part in content]}


def _described(part: Json) -> Json:
    if not isinstance(part, dict) or part.get("type") not in MEDIA:
        return part
    return {"type": part["type"], "kept": False, "bytes": len(json.dumps(part))}


def _hash_key() -> bytes:
    secret = getattr(settings, "TOLLHOUSE", {}).get("PEPPER") or settings.SECRET_KEY
    return hmac.new(secret.encode(), b"tollhouse payload hash", hashlib.sha256).digest()
