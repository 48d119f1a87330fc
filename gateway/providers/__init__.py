"""Providers by kind. A vendor that speaks a known kind is a row of the catalog; a new kind is a class here."""

from gateway.providers.anthropic import Anthropic
from gateway.providers.base import Provider, Request, Unknown
from gateway.providers.litellm import LiteLLM
from gateway.providers.openai import Azure, OpenAI
from gateway.providers.sandbox import Sandbox

KINDS: dict[str, Provider] = {
    "openai": OpenAI(),
    "anthropic": Anthropic(),
    "azure": Azure(),
    "litellm": LiteLLM(),
    "sandbox": Sandbox(),
}


def adapter(kind: str) -> Provider:
    """What speaks to providers of that kind; for a kind that is none, something that says so."""
    return KINDS.get(kind) or Unknown(kind)


__all__ = ["KINDS", "Provider", "Request", "adapter"]
