"""What a provider is to the gate: something that answers one attempt with pieces."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from types import MappingProxyType
from typing import ClassVar

import aiohttp

from gateway.errors import ProviderError
from gateway.types import Json, Operation, Piece

#: Fields of a chat completion that every translation knows; a kind that does not speak the OpenAI shape itself
#: refuses all others, as it cannot know what they would do.
CHAT_FIELDS = frozenset({
    "model", "stream", "messages", "tools", "tool_choice", "parallel_tool_calls", "temperature", "top_p", "max_tokens",
    "max_completion_tokens", "stop", "n", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs",
    "top_logprobs", "response_format", "reasoning_effort", "verbosity", "user", "safety_identifier", "metadata",
    "stream_options", "service_tier", "prediction", "store", "prompt_cache_key",
    "prompt_cache_retention",
})  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Request:
    """One attempt at one target. `body` is in the OpenAI shape, without model and stream fields; times in seconds;
    `most_bytes` is the most that a reply may have, `sent_at` when the attempt began, by `perf_counter`.

    `options` are those of the provider's kind, from the catalog; `trace` are headers that make what the provider does a
    part of the application's trace.
    """

    feature: str
    operation: Operation
    model: str
    body: Mapping[str, Json]
    stream: bool
    base_url: str
    api_key: str
    timeout_s: float
    connect_timeout_s: float
    first_token_timeout_s: float
    most_bytes: int
    options: Mapping[str, Json] = field(default_factory=dict)
    trace: Mapping[str, str] = MappingProxyType({})
    sent_at: float = field(default_factory=perf_counter)

    def patience_s(self) -> float:
        """What is left of the time in which a stream has to begin."""
        return max(0.0, self.sent_at + self.first_token_timeout_s - perf_counter())


class Provider(ABC):
    """A kind of provider, stateless; one instance serves all calls of a process."""

    #: Options of a provider of this kind, with their types.
    OPTIONS: ClassVar[Mapping[str, type]] = {}
    #: Whether a provider of this kind has an address of its own to be called at.
    NEEDS_URL: ClassVar[bool] = True

    def check_options(self, options: Mapping[str, Json]) -> None:
        """Raises ValueError, saying what to write, for options that this kind does not have."""
        for name, value in options.items():
            kind = self.OPTIONS.get(name)
            if kind is None:
                known = ", ".join(self.OPTIONS) or "none"
                raise ValueError(f"{name} is no option of this kind of provider; there are: {known}")
            if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
                raise ValueError(f"the option {name} must be a {kind.__name__}, not {value!r}")

    def output_limit_field(self, base_url: str) -> str:
        """The request field in which this provider is asked to limit its output."""
        return "max_tokens"

    def refusal(self, operation: Operation, body: Mapping[str, Json]) -> str:
        """Why a body in the OpenAI shape cannot be put to this kind of provider without a change of meaning; else empty."""
        return ""

    @abstractmethod
    def send(self, request: Request, http: aiohttp.ClientSession) -> AsyncGenerator[Piece]:
        """One attempt. Yields the whole reply as one final piece, or a stream's pieces, the last of them final.

        Raises ProviderError or ProviderTimeout, with `billable` saying whether the provider may charge for it.
        Closing the generator closes the upstream connection.
        """


class Unknown(Provider):
    """Stands for a kind that is none: a row written by hand, or by another release."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def refusal(self, operation: Operation, body: Mapping[str, Json]) -> str:
        return f"{self._kind!r} is no kind of provider"

    async def send(self, request: Request, http: aiohttp.ClientSession) -> AsyncGenerator[Piece]:
        raise ProviderError(f"{self._kind!r} is no kind of provider.", transient=False, billable=False)
        yield  # what makes this a generator
