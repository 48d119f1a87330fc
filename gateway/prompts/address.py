"""The address of a prompt version: the same content has the same name, everywhere and for ever."""

import hashlib
from collections.abc import Mapping

import rfc8785

from gateway.types import Json


def address(content: Mapping[str, Json]) -> str:
    """SHA-256 (hex) of the content's canonical JSON (RFC 8785). Raises ValueError for what JSON cannot hold."""
    try:
        return hashlib.sha256(rfc8785.dumps(dict(content))).hexdigest()
    except rfc8785.CanonicalizationError as error:
        raise ValueError(f"this prompt cannot be written as canonical JSON: {error}") from None
