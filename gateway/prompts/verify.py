"""Versions compared with their addresses: whoever writes rows past this program can give one a wrong address."""

import json
from collections.abc import Iterator

from django.db.models import TextField
from django.db.models.functions import Cast

from gateway.models import PromptVersion
from gateway.prompts.address import address


def misnamed() -> Iterator[PromptVersion]:
    """The versions whose address is not that of their content, oldest first. Reads all of them, not all at once."""
    rows = PromptVersion.objects.select_related("prompt__feature").defer("content").order_by("id")
    for version in rows.annotate(text=Cast("content", TextField())).iterator(500):
        if _address(version.text) != version.address:
            yield version


def _address(text: str) -> str:
    """The address of content as the database writes it; empty for what cannot be a version's."""
    try:
        # PostgreSQL writes large numbers in full, 1e21 as a whole one; to RFC 8785 all numbers are doubles.
        content = json.loads(text, parse_int=float)
        return address(content) if isinstance(content, dict) else ""
    except (ValueError, RecursionError):
        return ""
