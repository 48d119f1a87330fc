"""Images, audio and files in a call: refused or passed by the policy's choice, described where a call is kept; never read."""

import json
from collections.abc import Mapping
from typing import Any

Json = Any

#: Types of a message's parts that are media, and what other dialects call them; refused alike.
MEDIA = ("image_url", "input_audio", "file")
OTHER_MEDIA = ("image", "document", "audio", "video", "video_url", "input_image", "input_file")
#: What is bytes in a part that is media, says where they are, or what they are; all else in one is text.
BYTES = ("url", "data", "file_data", "file_id", "id", "format", "detail", "type", "media_type")


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
        kind = value.get("type")
        # A message's `audio` refers to a reply that was heard before; a part may have no type.
        found = kind if kind in MEDIA + OTHER_MEDIA else next((k for k in (*MEDIA, "audio") if value.get(k)), None)
        if found:
            raise MediaRefused(str(found))
        _refuse(value.get("content"))


def without(message: Json) -> Json:
    """A message as it may be kept: what is media is described."""
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        return message
    return {**message, "content": [_described(part) for part in content]}


def _described(part: Json) -> Json:
    if not isinstance(part, dict) or part.get("type") not in MEDIA:
        return part
    return {"type": part["type"], "kept": False, "bytes": len(json.dumps(part))}
