"""`POST /v1/chat/completions`: plain and as a stream of server-sent events."""

from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Protocol

from gateway import engine
from gateway.drain import passage
from gateway.entry import Entry
from gateway.errors import InvalidRequest
from gateway.gate import Gate
from gateway.http.auth import addressed, authenticate, caller
from gateway.http.rates import rate_headers
from gateway.http.request import Request
from gateway.types import Ask, Json, Operation, Piece

#: What is open in a stream: its kind, and which one of them.
Place = tuple[str, Json]


async def completions(request: Request) -> None:
    """Answers a chat completion in the OpenAI shape; `variables` in the body renders the feature's live prompt."""
    gate = engine.current()
    ask = await asked(request, gate, "chat")
    async with request.watched(at_once=ask.stream):
        if ask.stream:
            await streamed(request, Entry(ask), gate)
        else:
            await whole(request, Entry(ask), gate)


class Translator(Protocol):
    """Makes of a chat completion's chunks what goes out in another shape."""

    def add(self, chunk: Mapping[str, Json]) -> bytes:
        """What goes out for a chunk."""

    def finish(self) -> bytes:
        """What goes out last, when the row is committed."""


async def asked(
    request: Request,
    gate: Gate,
    operation: Operation,
    *,
    translate: Callable[[dict[str, Json]], dict[str, Json]] = lambda body: body,
) -> Ask:
    """What the request asks for, with its body in the OpenAI shape after `translate`.

    Raises Unauthenticated, AccessDenied, InvalidRequest.
    """
    key = authenticate(request, gate)
    body = await request.json(gate.most_body_bytes)
    feature, model = addressed(request, key, gate.catalog, body)
    body = translate(body)
    variables = body.pop("variables", None)
    if variables is not None and not isinstance(variables, dict):
        raise InvalidRequest(
            "`variables` must be an object: a value for each variable of the prompt.", param="variables"
        )
    stream: Json = body.get("stream")
    if stream not in (None, True, False):
        raise InvalidRequest("`stream` must be true or false.", param="stream")
    return Ask(
        feature=feature,
        operation=operation,
        body=body,
        caller=caller(request, key),
        variables=variables,
        model=model,
        stream=bool(stream) and operation == "chat",
    )


async def whole(
    request: Request, entry: Entry, gate: Gate, finish: Callable[[Piece], bytes] = lambda piece: piece.raw
) -> None:
    """A plain answer: the provider's body, passed through `finish`, with the call's id, cost and rate limits in headers."""
    async with aclosing(passage(entry, gate)) as pieces:
        async for piece in pieces:
            headers = [(b"x-tollhouse-call-id", str(entry.call_id).encode()), *rate_headers(entry.rates)]
            cost = entry.row["cost_usd"]
            if cost is not None:
                headers.append((b"x-tollhouse-cost-usd", f"{cost:f}".encode()))
            await request.answer(200, finish(piece), headers)


async def streamed(request: Request, entry: Entry, gate: Gate, translator: Translator | None = None) -> None:
    """A stream: the pieces as they come, or what `translator` makes of their events."""
    async with aclosing(passage(entry, gate)) as pieces:
        async for piece in pieces:
            if not request.started:
                await request.start(200, [
                    (b"content-type", b"text/event-stream; charset=utf-8"),
                    (b"cache-control", b"no-cache"),
                    (b"x-accel-buffering", b"no"),
                    (b"x-tollhouse-call-id", str(entry.call_id).encode()),
                    *rate_headers(entry.rates),
                ])  # fmt: skip
            raw = _translated(piece, translator) if translator else piece.raw
            if raw or piece.final:
                await request.chunk(raw, more=not piece.final)


def plainly(parts: list[dict[str, Json]]) -> str | list[dict[str, Json]]:
    """A message's content; a single plain text as such, since not every compatible server takes lists."""
    plain = len(parts) == 1 and parts[0].keys() == {"type", "text"} and isinstance(parts[0]["text"], str)
    return str(parts[0]["text"]) if plain else parts


def place_of(call: Mapping[str, Json], kind: str, open: Place | None) -> Place:
    """Which call of a stream a piece belongs to: by its index; where a provider does not number them, by its id, and
    without that to the one that is `open`.
    """
    if (number := call.get("index")) is not None:
        return kind, number
    if id := call.get("id"):
        return kind, id
    return open if open and open[0] == kind else (kind, None)


def _translated(piece: Piece, translator: Translator) -> bytes:
    return b"".join(map(translator.add, piece.events)) + (translator.finish() if piece.final else b"")
