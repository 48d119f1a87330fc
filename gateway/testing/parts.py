"""What stands in a stubbed gate where provider and ledger would."""

import asyncio
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from gateway.catalog import Catalog
from gateway.conf import settings
from gateway.errors import GatewayError, ProviderError
from gateway.gate import Gate
from gateway.health import Breaker, Health
from gateway.ledger import Grant, Hold, Refusal, Settle
from gateway.providers import Provider, Request
from gateway.providers.sse import DONE, encode
from gateway.types import Json, Piece
from redaction.policies import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the next call gets: an error, or a reply."""

    error: GatewayError | None = None
    text: str = ""
    tool_calls: tuple[tuple[str, Mapping[str, Json]], ...] = ()
    finish_reason: str = "stop"
    usage: dict[str, Json] = field(default_factory=dict)
    chunks: tuple[str, ...] = ()

    @property
    def refuses(self) -> bool:
        """Whether the call is refused before it is sent."""
        return self.error is not None and not isinstance(self.error, ProviderError)


class Script:
    """What a test says: answers by feature, those for all under the empty name."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Answer]] = {}
        self._last: dict[str, Answer] = {}

    def add(self, feature: str, answer: Answer) -> None:
        """Puts an answer behind those that wait."""
        self._waiting.setdefault(feature, deque()).append(answer)

    def next(self, feature: str, *, take: bool) -> Answer | None:
        """The next answer for a feature, or the last one again; None where the test has none. With `take` it is used."""
        name = feature if feature in self._waiting else ""
        waiting = self._waiting.get(name)
        if not waiting:
            return self._last.get(name)
        if take:
            self._last[name] = waiting[0]
            return waiting.popleft()
        return waiting[0]


class Answers(Provider):
    """Answers attempts as the test says."""

    NEEDS_URL = False

    def __init__(self, script: Script, embed: Callable[[Sequence[str]], Sequence[Sequence[float]]]) -> None:
        self._script = script
        self._embed = embed

    async def send(self, request: Request, http: aiohttp.ClientSession) -> AsyncGenerator[Piece]:
        if request.operation == "embeddings":
            yield _embeddings(request, self._embed)
            return
        answer = self._script.next(request.feature, take=True)
        if answer is None:
            raise AssertionError(
                f"The feature {request.feature} was called, and the test has no reply for it: llm.reply(…)."
            )
        if answer.error is not None:
            raise answer.error
        base = {"id": "stub", "object": "chat.completion", "created": 0, "model": request.model}
        if not request.stream:
            message = {"role": "assistant", "content": answer.text or None, **_tool_calls(answer)}
            choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
            body: dict[str, Json] = {**base, "choices": [choice], "usage": answer.usage}
            yield Piece(orjson.dumps(body), [body], final=True)
            return
        for delta in _deltas(answer):
            yield _piece({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        yield _piece({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": answer.finish_reason}]})
        yield _piece({**base, "choices": [], "usage": answer.usage})
        yield Piece(DONE, [], final=True)


class _Ledger:
    """Admits everything that the test does not refuse, and hands on what is settled."""

    problem = ""
    spools = False

    def __init__(self, script: Script, end: Callable[[Mapping[str, Any], Mapping[str, Json]], None]) -> None:
        self._script = script
        self._end = end

    async def hold(self, op: Hold) -> Grant | Refusal:
        answer = self._script.next(op.scope.feature, take=False)
        if answer is not None and answer.refuses and not op.moves:
            self._script.next(op.scope.feature, take=True)
            assert answer.error is not None
            answer.error.call_id = op.call_id
            raise answer.error
        return Grant(bid=op.bids[0], windows=())

    def settle(self, op: Settle) -> "asyncio.Future[None]":
        self._end(op.row, op.payload or {})
        op.answer.set_result(None)
        return op.answer

    def state(self) -> dict[str, object]:
        return {}

    async def stop(self) -> None:
        """There is nothing to be written."""


class _Health(Health):
    """Leaves no target alone: however often a test's replies fail, the next one is given."""

    def breaker(self, name: str) -> Breaker:
        return Breaker(sys.maxsize, 0.0)


class _Observed:
    """Versions that callers bring have an address, which is not recorded."""

    def address_of(self, feature: str, text: str, policy: Policy) -> str:
        return ""

    async def close(self) -> None:
        """There is nothing to wait for."""


async def gate_of(
    catalog: Catalog, script: Script, end: Callable[[Mapping[str, Any], Mapping[str, Json]], None]
) -> Gate:
    """A gate with that catalog, that answers as the script says and tells `end` of each call."""
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tollhouse-stub")
    gate = Gate(catalog, settings(), executor, ledger=_Ledger(script, end), observed=_Observed(), watched=False)
    gate.health = _Health(settings(), lambda *_: None)
    return gate


def _tool_calls(answer: Answer) -> dict[str, Json]:
    calls = [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": name, "arguments": orjson.dumps(given).decode()},
        }
        for number, (name, given) in enumerate(answer.tool_calls)
    ]
    return {"tool_calls": calls} if calls else {}


def _deltas(answer: Answer) -> list[dict[str, Json]]:
    words = answer.chunks or [word + " " for word in answer.text.split(" ")]
    if not answer.chunks and words:
        words = [*words[:-1], words[-1][:-1]]
    calls = _tool_calls(answer).get("tool_calls", [])
    return [
        {"role": "assistant", "content": ""},
        *({"content": word} for word in words if word),
        *({"tool_calls": [{"index": index, **call}]} for index, call in enumerate(calls)),
    ]


def _piece(event: dict[str, Json]) -> Piece:
    event = {**event, "object": "chat.completion.chunk"}
    return Piece(encode(event), [event])


def _embeddings(request: Request, embed: Callable[[Sequence[str]], Sequence[Sequence[float]]]) -> Piece:
    given = request.body["input"]
    texts = [given] if isinstance(given, str) else list(map(str, given))
    data = [{"object": "embedding", "index": n, "embedding": list(v)} for n, v in enumerate(embed(texts))]
    usage = {"prompt_tokens": 10 * len(texts), "total_tokens": 10 * len(texts)}
    body: dict[str, Json] = {"object": "list", "model": request.model, "data": data, "usage": usage}
    return Piece(orjson.dumps(body), [body], final=True)
