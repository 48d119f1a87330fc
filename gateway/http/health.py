"""`GET /healthz`: the process lives. `GET /readyz`: it can take calls."""

import orjson

from gateway import engine
from gateway.http.request import Request
from gateway.telemetry import trouble


async def healthz(request: Request) -> None:
    """200 as long as the event loop turns."""
    await request.answer(200, b'{"status":"ok"}')


async def readyz(request: Request) -> None:
    """200 when the ledger's database answered last time it was asked, every few seconds; else 503, with what is wrong.

    Also 200 where it did not and features spool: then the process still takes their calls.
    """
    gate = engine.current()
    # Its class only: anybody may ask, and the rest of it names hosts and users. The log has it all.
    problem = gate.ledger.problem.partition(":")[0]
    spooling = gate.ledger.spools and any(f.spool_limit_usd is not None for f in gate.catalog.features.values())
    status = "ok" if not problem else "spooling" if spooling else "unavailable"
    body = {
        "status": status,
        "problem": problem,
        "features": len(gate.catalog.features),
        "left_alone": gate.health.open,
        "telemetry": trouble.state(),
        "revisions": dict(gate.catalog.revisions),
        **gate.ledger.state(),
    }
    await request.answer(503 if status == "unavailable" else 200, orjson.dumps(body))
