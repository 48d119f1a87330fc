"""Redaction of what travels: request bodies in the OpenAI shape, replies, and what of both may be stored."""

import hashlib
import hmac
import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType
from typing import Any

from django.conf import settings

from redaction import media
from redaction.engine import remote
from redaction.policies import STORED_PARTS, Policy
from redaction.remembered import ahead, spans
from redaction.spans import AnalyzerAway, Span
from redaction.vault import PLACEHOLDER, Vault
from redaction.walk import Change, Way, changed_texts, introduced, message_changed, same, texts

logger = logging.getLogger("tollhouse.redaction")

Json = Any
#: A text of a trusted template → the ranges in it that variables gave.
Filled = Mapping[str, Sequence[tuple[int, int]]]
#: What stands in a payload for a text that is not kept.
NOT_KEPT = "(not kept)"


class RedactionFailed(Exception):
    """The analysis failed. The text must not go on; the message holds none of it."""


class EntitiesRefused(Exception):
    """The policy refuses calls with what was found. `types` are the kinds of it, never the values."""

    def __init__(self, types: tuple[str, ...]) -> None:
        super().__init__(", ".join(types))
        self.types = types


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactedBody:
    """The body as it may go out, and the entities found as counts by type."""

    body: dict[str, Json]
    entities: dict[str, int]


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
    def ways(part: str, reversible: bool = False) -> Way:
        if not policy.looks_at(part):
            return Way(change=same)
        actions, otherwise = policy.actions(part), policy.outbound_of(part)

        def replace(entity: str, original: str) -> str:
            counts[entity] += 1
            action = actions.get(entity, otherwise)
            if action == "refuse":
                refused.add(entity)
            if action == "off":
                return original
            return _replaced(entity, original, action != "pseudonymise" and not reversible, vault)

        return Way(change=_redactor(policy, vault, replace, filled, ends_at))

    if remote():
        coming = (text for text in _texts_of_parts(body, policy) if filled.get(text) != ())
        with _failing_closed():
            ahead(coming, policy, ends_at=ends_at)
    redacted = changed_texts(body, ways)
    if refused:
        raise EntitiesRefused(tuple(sorted(refused)))
    return RedactedBody(body=redacted, entities=dict(counts))


def _texts_of_parts(body: Mapping[str, Json], policy: Policy) -> list[str]:
    """The texts of a body that will be analysed one by one."""
    found: list[str] = []

    def note(text: str, key: str = "") -> str:
        found.append(introduced(text, key) + text)
        return text

    noting = Way(change=note)
    changed_texts(body, lambda part, reversible=False: noting if policy.looks_at(part) else Way(change=same))
    return found


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

    def ways(part: str, *, sent: bool) -> Way:
        match policy.stored_of(part):
            case "none":
                return Way(change=lambda text, key="": NOT_KEPT, within=False)
            case "hash":
                return Way(change=lambda text, key="": f"sha256:{_hash(text)}", within=False)
            case "full":
                return Way(change=same)
        if sent and policy.changes_all(part):
            return Way(change=same)
        actions, otherwise = policy.actions(part), policy.outbound_of(part)

        def replace(entity: str, original: str) -> str:
            return _replaced(entity, original, actions.get(entity, otherwise) == "mask", vault)

        return Way(change=_redactor(policy, vault, replace, filled, ends_at))

    return {
        "messages": [message_changed(m, partial(ways, sent=True)) for m in content["messages"]],
        "reply": [message_changed(m, partial(ways, sent=False)) for m in content["reply"]],
    }


def _redactor(
    policy: Policy, vault: Vault, replace: Callable[[str, str], str], filled: Filled, ends_at: float
) -> Change:
    """A function that redacts one text: `replace` says what stands for an entity and its value."""

    def redact(text: str, key: str = "") -> str:
        variables = filled.get(text)
        if variables is not None and not variables:
            return text
        introduction = introduced(text, key)
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


def _hash(text: str) -> str:
    secret = getattr(settings, "TOLLHOUSE", {}).get("PEPPER") or settings.SECRET_KEY
    key = hmac.new(secret.encode(), b"tollhouse payload hash", hashlib.sha256).digest()
    return hmac.new(key, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()
