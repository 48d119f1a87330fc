"""Images, audio and files in a call: refused or passed by the policy's choice, described where a call is kept; never read."""

import json
import re
from collections.abc import Mapping
from typing import Any

Json = Any

#: Types of a message's parts that are media, and what other dialects call them; refused alike.
MEDIA = ("image_url", "input_audio", "file")
OTHER_MEDIA = ("image", "document", "audio", "video", "video_url", "input_image", "input_file")
#: What is bytes in a part that is media; what is a word about them, or of several with slashes between. All else in one is text.
BYTES, ABOUT_BYTES = ("data", "file_data"), ("file_id", "id", "format", "detail", "type", "media_type")
#: How bytes that travel as text begin: with or without the head of a data URL (RFC 2397), in base64 (RFC 4648).
ENCODED = re.compile(r"(?:data:[\w.+/-]{0,80}(?:;[\w=.-]{1,80}){0,5},)?[A-Za-z0-9+/=_\r\n-]*")
#: So much of it is looked at.
BEGINNING = 300


class MediaRefused(Exception):
    """The policy refuses images, audio and files. The message says which kind came."""


def refuse(body: Mapping[str, Json]) -> None:
    """Raises MediaRefused for a body that has media, or asks for some."""
    _refuse(body.get("messages"))
    _refuse(body.get("input"))
    wanted = body.get("modalities")
    for kind in wanted if isinstance(wanted, list) else ():
        if kind != "text":
            raise MediaRefused(str(kind))


def _refuse(value: Json) -> None:
    if isinstance(value, list):
        for item in value:
            _refuse(item)
    elif isinstance(value, dict):
        # A message's `audio` refers to a reply that was heard before.
        if found := kind_of(value) or ("audio" if value.get("audio") else None):
            raise MediaRefused(found)
        _refuse(value.get("content"))


def kind_of(part: dict[str, Json]) -> str | None:
    """Which media a part is; a part may have no type."""
    kind = part.get("type")
    return kind if kind in MEDIA + OTHER_MEDIA else next((k for k in MEDIA if part.get(k)), None)


def is_bytes(field: str, value: Json) -> bool:
    """Whether a field of media holds bytes or the address of some, and no text; text has blanks, or signs that bytes have not."""
    if field in BYTES:
        return isinstance(value, str) and ENCODED.fullmatch(value[:BEGINNING]) is not None
    return field == "url" and has_no_blank(value)


def has_no_blank(value: Json) -> bool:
    """Whether a value is a text of one piece, as addresses and signatures are, and nothing that people write."""
    return isinstance(value, str) and " " not in value[:BEGINNING]


def without(message: Json) -> Json:
    """A message as it may be kept: what is media is described."""
    if not isinstance(message, dict):
        return message
    kept = dict(message)
    if isinstance(kept.get("content"), list | dict):
        kept["content"] = _described(kept["content"])
    if isinstance(audio := kept.get("audio"), dict) and "data" in audio:
        # What was said in a spoken reply is text.
        kept["audio"] = {**audio, "data": "(not kept)"}
    return kept


def _described(content: Json) -> Json:
    """A message's content, or what is in it at any depth, with media described."""
    if isinstance(content, list):
        return [_described(part) for part in content]
    if not isinstance(content, dict):
        return content
    if kind := kind_of(content):
        return {"type": kind, "kept": False, "bytes": len(json.dumps(content))}
    return {**content, "content": _described(content["content"])} if "content" in content else content
