"""The pipeline: every model call passes through these stages, in this order, and leaves one row."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.attempt import Sent
from gateway.entry import Entry
from gateway.gate import Gate
from gateway.hold import hold
from gateway.identify import admit, identify
from gateway.price import price
from gateway.prompts.observed import observe
from gateway.redact import redact
from gateway.render import render
from gateway.restore import Restorer, wants_json, wants_usage
from gateway.send import send
from gateway.settle import Record
from gateway.types import Piece


async def run(entry: Entry, gate: Gate) -> AsyncGenerator[Piece]:
    """One call through the gate: at most one hold, one reply, exactly one row, however it ends.

    Yields the pieces of the reply as the caller may see them; the final one only after the row is committed. A plain
    reply is a single, final piece. Raises GatewayError; the row is written all the same.
    """
    ask, catalog = entry.ask, gate.catalog
    with entry.stage("identify"):
        call = identify(ask, catalog, gate.health)
    settling = Record(entry, call, catalog, gate.ledger, gate.executor, gate.counting)
    async with settling as record, gate.running.call(call.scope) as running:
        admit(call)
        with entry.stage("render"):
            prompt = await render(call, gate.renderer)
        with entry.stage("redact"):
            safe = record.safe = await redact(prompt, call, gate.executor, gate.sessions)
        entry.row["prompt_version"], entry.row["variant"] = prompt.address, prompt.variant
        if not prompt.address and ask.operation == "chat":
            entry.row["prompt_version"] = observe(call, safe.body, gate.observed)
        with entry.stage("cache"):
            cached = await gate.cache.find(call, entry.row["prompt_version"], safe.body)
        hit = cached if cached and cached.reply else None
        with entry.stage("price"):
            bids = hit.bids(call) if hit else price(call, safe.body, catalog)
        with entry.stage("hold"):
            held = await hold(call, safe, bids, entry, catalog, gate.ledger, gate.counting)
        sent = record.sent = Sent(held)
        usage_asked, json_asked = wants_usage(ask.body), wants_json(safe.body)
        restorer = Restorer(safe.vault, streamed=ask.stream, usage_asked=usage_asked, json_asked=json_asked)
        last = None
        with entry.stage("send"):
            answer = hit.replay(sent, entry) if hit else send(sent, safe, entry, gate.ledger, gate.http, gate.health)
            async with aclosing(running.pieces(answer, sent)) as pieces:
                async for piece in pieces:
                    record.heard.add(piece)
                    last = restorer.restore(piece)
                    if not piece.final and last.raw:
                        yield last
    if cached and not hit:
        gate.cache.keep(cached, record.heard, entry.row["provider"])
    assert last is not None
    yield last
