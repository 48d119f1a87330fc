"""`GET /metrics`: what Prometheus reads, for whoever has the token of the setting METRICS_TOKEN."""

import asyncio
import hmac
import logging

import psycopg
from django.db import DatabaseError

from gateway.conf import settings
from gateway.errors import LedgerUnavailable, NotFound, Unauthenticated
from gateway.http.request import Request
from gateway.telemetry import prometheus

logger = logging.getLogger("tollhouse.http")


async def metrics(request: Request) -> None:
    """The page. Raises NotFound where it is off, Unauthenticated, and LedgerUnavailable when the database is away."""
    token = settings().METRICS_TOKEN
    if not token:
        raise NotFound("There is no /metrics here: set TOLLHOUSE_METRICS_TOKEN, a secret for Prometheus alone.")
    scheme, _, presented = request.header("authorization").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(presented.strip().encode(), token.encode()):
        raise Unauthenticated("Send `Authorization: Bearer` with what TOLLHOUSE_METRICS_TOKEN is set to.")
    try:
        # In a thread, as it waits for the database; the gate's own threads are busy with calls.
        text = await asyncio.to_thread(prometheus.page)
    except (psycopg.Error, DatabaseError, OSError) as error:
        logger.warning("metrics: database away: %s", type(error).__name__)
        raise LedgerUnavailable("The database does not answer, and the meters are there.") from None
    await request.start(200, [(b"content-type", prometheus.CONTENT_TYPE)])
    await request.chunk(text.encode(), more=False)
