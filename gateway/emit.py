"""Last stage: what the committed row tells the world. Never in the way of the reply, never fatal."""

import logging

from gateway.ledger.operations import Row
from gateway.models.calls import uuid7_time
from gateway.telemetry import meters, sentry, spans
from gateway.telemetry.finished import Finished

logger = logging.getLogger("tollhouse.call")


def log(row: Row, *, settle_ms: float) -> None:
    """One line, without content."""
    level = logging.DEBUG if row["outcome"] in ("ok", "truncated") else logging.INFO
    if logger.isEnabledFor(level):
        logger.log(
            level, "%s %s %s %s/%s %s USD %.1f ms, settled in %.1f ms", row["id"], row["feature"], row["outcome"],
            row["provider"], row["model_served"], row["cost_usd"], row["latency_ms"], settle_ms,
        )  # fmt: skip


def wanted() -> bool:
    """Whether anybody listens beside the log: without, a call costs nothing more."""
    return spans.active() or meters.active() or sentry.active()


def emit(call: Finished) -> None:
    """A span, meters and what Sentry wants, each where it is set up; trouble of one is none of the others'."""
    began_ns = int(uuid7_time(call.row["id"]).timestamp() * 1e9)
    try:
        if meters.active():
            meters.tell(call)
        if spans.active():
            spans.tell(call, began_ns)
    except Exception:
        logger.warning("telemetry of call %s failed", call.row["id"], exc_info=True)
    try:
        if sentry.active():
            sentry.tell(call)
    except Exception:
        logger.warning("Sentry was not told of call %s", call.row["id"], exc_info=True)
