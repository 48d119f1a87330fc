"""What a policy does with a text, finding by finding. For people who try a policy out; nothing of it is kept."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from redaction import lists, patterns
from redaction.engine import BUILT_IN, model, spans
from redaction.lists import DENIED
from redaction.messages import EntitiesRefused, payload, redact_body
from redaction.patterns import addresses, contacts, dates, identities, names, secrets
from redaction.policies import Policy
from redaction.spans import Span
from redaction.vault import Vault

#: How to write a text as one part of a call, and what reads it there.
ROLES = {"prompts": "user", "system": "system", "replies": "assistant", "tool_results": "tool"}
MODULES = {
    rule.entity: module.__name__.rpartition(".")[2]
    for module in (names, addresses, dates, identities, contacts, secrets)
    for rule in module.RULES
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A finding with its text, who found it, and what happens to it on the way out."""

    text: str
    start: int
    end: int
    entity: str
    score: float
    recogniser: str
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A text in pieces, findings and what stands between them, and what would become of it.

    `sent` is None where the call would be refused, for the kinds in `refused`; `stored` where nothing would be kept.
    """

    pieces: list[str | Finding]
    sent: str | None
    refused: tuple[str, ...]
    stored: str | None

    @property
    def findings(self) -> list[Finding]:
        return [piece for piece in self.pieces if isinstance(piece, Finding)]

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each entity."""
        return dict(Counter(finding.entity for finding in self.findings))


def explain(text: str, policy: Policy, *, part: str, ends_at: float) -> Explained:
    """What the policy finds in a text that is a `part` of a call, one of `PARTS`.

    Raises RedactionFailed or TimeoutError when that is not done at `ends_at`, by `perf_counter`.
    """
    looked_at = policy.looks_at(part)
    actions, otherwise = policy.actions(part), policy.outbound_of(part)
    pieces: list[str | Finding] = []
    at = 0
    for span, recogniser in recognised(text, policy, ends_at):
        action = actions.get(span.type, otherwise) if looked_at else "off"
        if span.start > at:
            pieces.append(text[at : span.start])
        pieces.append(
            Finding(
                text=text[span.start : span.end], start=span.start, end=span.end, entity=span.type, score=span.score,
                recogniser=recogniser, action=action,
            )
        )  # fmt: skip
        at = span.end
    if at < len(text):
        pieces.append(text[at:])
    body, vault = _body(text, part), Vault()
    try:
        body = redact_body(body, policy, vault, ends_at=ends_at).body
    except EntitiesRefused as error:
        return Explained(pieces=pieces, sent=None, refused=error.types, stored=None)
    return Explained(pieces=pieces, sent=_text(body), refused=(), stored=_stored(body, policy, vault, ends_at))


def _stored(body: dict[str, Any], policy: Policy, vault: Vault, ends_at: float) -> str | None:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return None
    # A reply is not gone over when it is sent, but when it is kept.
    said = isinstance(messages[0], dict) and messages[0].get("role") == "assistant"
    kept = payload([] if said else messages, messages if said else [], policy, vault, ends_at=ends_at)
    if kept is None:
        return None
    return (
        f"sha256:{kept['sha256']}" if "sha256" in kept else _text({"messages": kept["reply" if said else "messages"]})
    )


def _body(text: str, part: str) -> dict[str, Any]:
    if part == "embeddings":
        return {"input": text}
    if part == "tool_arguments":
        call = {"id": "call", "type": "function", "function": {"name": "tool", "arguments": text}}
        return {"messages": [{"role": "assistant", "tool_calls": [call]}]}
    if part == "tools":
        return {"tools": [{"type": "function", "function": {"name": "tool", "description": text}}]}
    return {"messages": [{"role": ROLES[part], "content": text}]}


def _text(body: dict[str, Any]) -> str:
    """The text in a body of `_body`, redacted or not."""
    if "input" in body:
        return str(body["input"])
    if "tools" in body:
        return str(body["tools"][0]["function"]["description"])
    [message] = body["messages"]
    return str(message["content"] if "content" in message else message["tool_calls"][0]["function"]["arguments"])


def recognised(text: str, policy: Policy, ends_at: float) -> list[tuple[Span, str]]:
    """The findings, each with the name of what found it."""
    own = lists.find(text, policy.lists, ends_at=ends_at)
    matched = patterns.find(text, policy.finds, ends_at=ends_at)
    found = []
    for span in spans(text, policy, ends_at=ends_at):
        if _among(span, own):
            recogniser = "deny list" if span.type == DENIED else "own pattern"
        elif _among(span, matched):
            recogniser = f"patterns, {MODULES[span.type]}"
        else:
            recogniser = "tagger" if model() == BUILT_IN else model()
        found.append((span, recogniser))
    return found


def _among(span: Span, others: list[Span]) -> bool:
    return any(o.type == span.type and o.start < span.end and span.start < o.end for o in others)
