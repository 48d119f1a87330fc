"""Providers by kind. A kind is a module with one class; a vendor that speaks a known kind is a row of the catalog."""

from gateway.providers.base import Provider, Request
from gateway.providers.openai import OpenAI

KINDS: dict[str, type[Provider]] = {"openai": OpenAI}

__all__ = ["KINDS", "Provider", "Request"]
