"""The sandbox: a provider inside the gate that answers as it is told, for trying out budgets, prompts and failures."""

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping
from time import time
from typing import Any

import aiohttp
import orjson

from gateway import tokens
from gateway.errors import ProviderError, ProviderTimeout
from gateway.providers.base import Provider, Request
from gateway.providers.sse import DONE, encode
from gateway.types import Json, Operation, Piece

#: Characters of a stream's chunk.
CHUNK = 16


class Sandbox(Provider):
    """Answers without a network. Its options:

    - `answer`: the text of every reply; without one a reply repeats the last message.
    - `answers`: a list of `{"when", "answer"}` or `{"when", "tool", "arguments"}`; the first whose `when` is part of the
      last message counts.
    - `latency_ms` before a reply begins, `chunk_ms` between the chunks of a stream.
    - `faults`: a share of the attempts for each way to fail, e.g. `{"429": 0.1, "503": 0.05, "timeout": 0.01, "cut": 0.01}`;
      `cut` breaks the reply off in its middle.
    """

    NEEDS_URL = False
    OPTIONS = {"answer": str, "answers": list, "latency_ms": int, "chunk_ms": int, "faults": dict}

    def check_options(self, options: Mapping[str, Json]) -> None:
        super().check_options(options)
        for entry in options.get("answers", ()):
            if (
                not isinstance(entry, dict)
                or not isinstance(entry.get("when"), str)
                or not ({"answer", "tool"} & set(entry))
            ):
                raise ValueError(
                    'each of answers is {"when": …, "answer": …} or {"when": …, "tool": …, "arguments": {…}}'
                )
        faults = options.get("faults", {})
        for name, share in faults.items():
            if name not in ("timeout", "cut") and not (name.isdecimal() and 400 <= int(name) <= 599):
                raise ValueError(f"{name!r} is no fault; there are timeout, cut and the statuses from 400 to 599")
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
                raise ValueError(f"the fault {name} needs a share from 0 to 1, not {share!r}")
        if sum(faults.values()) > 1:
            raise ValueError("the shares of all faults together are more than 1")

    def refusal(self, operation: Operation, body: Mapping[str, Json]) -> str:
        return "" if operation == "chat" else "the sandbox has no embeddings"

    async def send(self, request: Request, http: aiohttp.ClientSession) -> AsyncGenerator[Piece]:
        options = request.options
        fault = _fault(options.get("faults", {}))
        latency_s = options.get("latency_ms", 0) / 1000
        patience_s = min(request.timeout_s, request.patience_s()) if request.stream else request.timeout_s
        if fault == "timeout" or latency_s > patience_s:
            await asyncio.sleep(patience_s)
            raise ProviderTimeout("The sandbox did not answer in time, as it was told.", transient=True, billable=True)
        await asyncio.sleep(latency_s)
        if fault and fault != "cut":
            raise ProviderError(
                f"The sandbox answered with status {fault}, as it was told.", status=int(fault), billable=False,
                transient=fault in ("408", "409", "425", "429") or fault.startswith("5"),
            )  # fmt: skip
        base, message = _base(request), _message(request)
        usage = _usage(request, message)
        if not request.stream:
            if fault:
                raise ProviderError("The sandbox cut its reply, as it was told.", transient=True, billable=True)
            choice = {"index": 0, "message": message, "finish_reason": _finish(message), "logprobs": None}
            body = {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
            yield Piece(orjson.dumps(body), [body], final=True)
            return
        deltas = _deltas(message)
        for number, delta in enumerate(deltas):
            if fault and number >= len(deltas) // 2:
                raise ProviderError("The sandbox cut its reply, as it was told.", transient=True, billable=True)
            yield _piece({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            await asyncio.sleep(options.get("chunk_ms", 0) / 1000)
        yield _piece({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": _finish(message)}]})
        yield _piece({**base, "choices": [], "usage": usage})
        yield Piece(DONE, [], final=True)


def _fault(shares: Mapping[str, float]) -> str:
    at = random.random()  # noqa: S311  (a rehearsal, no secret)
    for name, share in shares.items():
        if at < share:
            return name
        at -= share
    return ""


def _base(request: Request) -> dict[str, Json]:
    return {"id": "sandbox", "object": "chat.completion.chunk", "created": int(time()), "model": request.model}


def _message(request: Request) -> dict[str, Any]:
    last = _text(request.body["messages"][-1].get("content"))
    for entry in request.options.get("answers", ()):
        if entry["when"] in last:
            if "answer" in entry:
                return {"role": "assistant", "content": str(entry["answer"]), "refusal": None}
            function = {"name": entry["tool"], "arguments": orjson.dumps(entry.get("arguments", {})).decode()}
            call = {"id": "call_sandbox", "type": "function", "function": function}
            return {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}
    return {"role": "assistant", "content": str(request.options.get("answer", last)), "refusal": None}


def _text(content: Json) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return str(content or "")


def _usage(request: Request, message: Mapping[str, Json]) -> dict[str, Json]:
    prompt = sum(tokens.count(_text(m.get("content"))) for m in request.body["messages"])
    said = tokens.count(message["content"] or "") + sum(
        tokens.count(call["function"]["arguments"]) for call in message.get("tool_calls", ())
    )
    return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}


def _deltas(message: Mapping[str, Json]) -> list[dict[str, Json]]:
    first: dict[str, Json] = {"role": "assistant", "content": ""}
    if calls := message.get("tool_calls"):
        return [first, {"tool_calls": [{"index": 0, **calls[0]}]}]
    text = message["content"]
    return [first, *({"content": text[i : i + CHUNK]} for i in range(0, len(text), CHUNK))]


def _finish(message: Mapping[str, Json]) -> str:
    return "tool_calls" if message.get("tool_calls") else "stop"


def _piece(event: dict[str, Json]) -> Piece:
    return Piece(encode(event), [event])
