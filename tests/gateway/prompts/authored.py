"""Prompts as an author writes them, for tests."""

from typing import Any

from gateway.models import Feature, PromptVersion
from gateway.prompts.versions import content_of, write


def author(feature: Feature, text: str, **parts: Any) -> PromptVersion:
    """A version with one system message and the ticket as the user's."""
    messages = [{"role": "system", "content": text}, {"role": "user", "content": "{{ ticket }}"}]
    content = content_of({"messages": messages, **parts})
    return write(feature, content, origin="admin", actor="ada")[0]
