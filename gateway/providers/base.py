"""What a provider is to the gate: something that answers one attempt with pieces."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

import aiohttp

from gateway.types import Json, Operation, Piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One attempt at one target. `body` is in the OpenAI shape, without model and stream fields; times in seconds."""

    operation: Operation
    model: str
    body: Mapping[str, Json]
    stream: bool
    base_url: str
    api_key: str
    timeout_s: float
    connect_timeout_s: float
    first_token_timeout_s: float


class Provider(ABC):
    """A kind of provider, stateless; one instance serves all calls of a process."""

    def output_limit_field(self, base_url: str) -> str:
        """The request field in which this provider is asked to limit its output."""
        return "max_tokens"

    @abstractmethod
    def send(self, request: Request, http: aiohttp.ClientSession) -> AsyncGenerator[Piece]:
        """One attempt. Yields the whole reply as one final piece, or a stream's pieces, the last of them final.

        Raises ProviderError or ProviderTimeout, with `billable` saying whether the provider may charge for it.
        Closing the generator closes the upstream connection.
        """
