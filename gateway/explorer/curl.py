"""A call as a command line that makes it again, against our data plane."""

import json
import re
from collections.abc import Sequence
from shlex import quote

from gateway.models import Call
from gateway.types import Json

#: What stands for the key; a shell puts the variable in.
KEY = '"Authorization: Bearer $TOLLHOUSE_KEY"'


def curl(call: Call, base_url: str, messages: Sequence[Json] | None = None) -> str:
    """The command; with `…` in place of what was said where `messages` is None.

    Everything that is not ours is quoted for a POSIX shell. The user is left out: his real name is not known here.
    """
    body: dict[str, Json] = {"model": call.feature}
    if call.operation == "embeddings":
        path, body["input"] = "embeddings", "…"
    else:
        path, body["messages"] = "chat/completions", messages or [{"role": "user", "content": "…"}]
        if call.streamed:
            body["stream"] = True
    headers = [KEY, quote("Content-Type: application/json")]
    for name in ("tenant", "cohort", "session_id"):
        if value := getattr(call, name):
            header = f"X-Tollhouse-{name.removesuffix('_id').capitalize()}"
            headers.append(quote(f"{header}: {_one_line(value)}"))
    lines = [f"curl {quote(f'{base_url}/v1/{path}')}", *(f"-H {header}" for header in headers)]
    lines.append(f"--data-raw {quote(json.dumps(body, ensure_ascii=False))}")
    return " \\\n  ".join(lines)


def _one_line(value: str) -> str:
    """A header's value: what ends a line would begin another header."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", value)
