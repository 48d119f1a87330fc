"""`GET /healthz`: the process lives. `GET /readyz`: it can take calls."""

import orjson

from gateway import engine
from gateway.http.request import Request


async def healthz(request: Request) -> None:
    """200 as long as the event loop turns."""
    await request.answer(200, b'{"status":"ok"}')


async def readyz(request: Request) -> None:
    """200 when the ledger's database answered last time it was asked, every few seconds; else 503, with what is wrong."""
    gate = engine.current()
    # Its class only: anybody may ask, and the rest of it names hosts and users. The log has it all.
    problem = gate.ledger.problem.partition(":")[0]
    body = {
        "status": "unavailable" if problem else "ok",
        "problem": problem,
        "features": len(gate.catalog.features),
        "left_alone": gate.health.open,
        "revisions": dict(gate.catalog.revisions),
    }
    await request.answer(503 if problem else 200, orjson.dumps(body))
