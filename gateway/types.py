"""Values that travel through the gate; they import nothing of ours but the clock, so that no cycle can start here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from gateway.clock import clock

Json = Any
Operation = Literal["chat", "embeddings"]

#: How a call can end; the words are those of the call row.
OUTCOMES = (
    "ok", "truncated", "filtered", "cancelled", "provider_error", "timeout", "refused_budget", "refused_switch",
    "refused_policy", "refused_rate", "ledger_unavailable", "lost",
)  # fmt: skip


#: The request fields that limit a reply; which one a server knows differs.
OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens")
#: The parts of a usage, which are columns of the call row too: disjoint, so that they add up to the provider's total.
TOKEN_PARTS = (
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "audio_input_tokens",
    "output_tokens", "reasoning_tokens", "audio_output_tokens",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of a call in disjoint parts: their sum is what the provider counted in all.

    `input_tokens` leaves out cached and audio ones, `output_tokens` leaves out reasoning and audio. `estimated` says
    that we counted because the provider did not report.
    """

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    audio_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_output_tokens: int = 0
    estimated: bool = False

    @property
    def all_input_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.audio_input_tokens

    @property
    def all_output_tokens(self) -> int:
        return self.output_tokens + self.reasoning_tokens + self.audio_output_tokens

    @property
    def total_tokens(self) -> int:
        return self.all_input_tokens + self.all_output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """For whom and from where a call is made; every field may be unknown (empty).

    `traceparent` and `tracestate` are the caller's W3C context, `sentry_trace` and `baggage` Sentry's own; `parent` is the step
    that the call is made in.
    """

    user_ref: str = ""
    tenant: str = ""
    cohort: str = ""
    session_id: str = ""
    key: str = ""
    source: str = "sdk"
    labels: Mapping[str, str] | None = None
    traceparent: str = ""
    tracestate: str = ""
    sentry_trace: str = ""
    baggage: str = ""
    parent: UUID | None = None

    @property
    def unit(self) -> str:
        """By what splits and shares are stable: the tenant, else the user, else the session; empty: nothing is known."""
        return self.tenant or self.user_ref or self.session_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What the playground tries in place of what is live: a prompt's content, over the route of that name."""

    content: Mapping[str, Json]
    route: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What an application asks of the gate, in the OpenAI request shape, before any stage touched it.

    `feature` is a slug; `model` names a route or a target of the feature's route when the caller chose one.
    `body` holds `messages` (or `input`) and all further request fields; `variables` renders the live prompt.
    `trial` is for the playground alone. `call_id`, a UUIDv7, is the key of the row that this call will have.
    """

    feature: str
    operation: Operation
    body: Mapping[str, Json]
    caller: Caller
    variables: Mapping[str, Json] | None = None
    model: str = ""
    stream: bool = False
    trial: Trial | None = None
    call_id: UUID = field(default_factory=clock.new_id)


ZERO = Decimal(0)


@dataclass(slots=True)
class Piece:
    """A part of a reply: the whole body of a plain one, or some events of a stream.

    `raw` is what an HTTP client gets; `events` are the same, parsed. The `final` piece of a call is handed over only
    after its row is committed. `input_usage` is a usage without output, where a stream says what its input came to before
    its end; nobody is told of it.
    """

    raw: bytes
    events: list[dict[str, Json]]
    final: bool = False
    input_usage: Mapping[str, Json] | None = None
