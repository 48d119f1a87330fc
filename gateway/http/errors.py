"""Errors as OpenAI error bodies: the one table from what happened to status, type and headers."""

import logging
from datetime import UTC, datetime
from math import ceil

import orjson

from gateway.errors import (
    AccessDenied,
    BudgetExceeded,
    FeatureDisabled,
    GatewayError,
    InvalidRequest,
    LedgerUnavailable,
    NotFound,
    PolicyRefused,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    Unauthenticated,
)
from gateway.http.rates import refusal_headers
from gateway.http.request import ClientGone, Request
from gateway.types import Json

logger = logging.getLogger("tollhouse.http")

#: Class of error → HTTP status and OpenAI error type; the most specific class counts.
STATUS: dict[type[GatewayError], tuple[int, str]] = {
    InvalidRequest: (400, "invalid_request_error"),
    Unauthenticated: (401, "invalid_request_error"),
    AccessDenied: (403, "permission_error"),
    PolicyRefused: (403, "policy_error"),
    NotFound: (404, "invalid_request_error"),
    BudgetExceeded: (429, "budget_exceeded"),
    RateLimited: (429, "rate_limit_error"),
    FeatureDisabled: (503, "feature_disabled"),
    LedgerUnavailable: (503, "server_error"),
    ProviderTimeout: (504, "provider_error"),
    ProviderError: (502, "provider_error"),
}
#: Another try cannot help until a person acts, so clients are told not to (openai-python and -node obey it).
NO_RETRY = (BudgetExceeded, FeatureDisabled, PolicyRefused)


def describe(error: GatewayError) -> tuple[int, dict[str, Json]]:
    """Status and OpenAI error body of an error. A provider's own body and status are kept."""
    status, kind = next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)
    if isinstance(error, ProviderError) and error.status is not None:
        status = error.status
        if isinstance(error.body, dict):
            return status, error.body
    told: dict[str, Json] = {"message": error.message, "type": kind, "code": error.code, "param": error.param}
    if isinstance(error, BudgetExceeded) and error.resets_at:
        told["resets_at"] = moment(error.resets_at)
    return status, {"error": told}


def moment(at: datetime) -> str:
    """A time as RFC 3339 writes it, in UTC and whole seconds."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


class OpenAIErrors:
    """Errors as OpenAI's clients expect them."""

    def body(self, status: int, error: dict[str, Json], call_id: str) -> dict[str, Json]:
        """The body of an answer that is an error."""
        return error

    def event(self, body: dict[str, Json]) -> bytes:
        """The body as the last event of a stream."""
        return b"data: " + orjson.dumps(body) + b"\n\n"


async def answer_error(request: Request, error: Exception) -> None:
    """Tells the client what went wrong; in the middle of a stream as its last event."""
    if isinstance(error, ClientGone):
        return
    if not isinstance(error, GatewayError):
        logger.exception("unexpected error on %s %s", request.method, request.path, exc_info=error)
        error = GatewayError("Something failed inside the gate; the server's log has the details.")
        status, body = (
            500,
            {"error": {"message": error.message, "type": "server_error", "code": error.code, "param": None}},
        )
    else:
        status, body = describe(error)
    errors = request.errors or OpenAIErrors()
    body = errors.body(status, body, str(error.call_id or ""))
    if request.started:
        await request.chunk(errors.event(body), more=False)
        return
    headers: list[tuple[bytes, bytes]] = []
    if error.call_id:
        headers.append((b"x-tollhouse-call-id", str(error.call_id).encode()))
    if isinstance(error, NO_RETRY):
        headers.append((b"x-should-retry", b"false"))
    if isinstance(error, BudgetExceeded) and error.resets_at:
        headers.append((b"x-tollhouse-budget-resets", moment(error.resets_at).encode()))
    if isinstance(error, RateLimited):
        headers += refusal_headers(error)
    elif (retry_after_s := getattr(error, "retry_after_s", None)) is not None:
        headers.append((b"retry-after", b"%d" % max(1, ceil(retry_after_s))))
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    await request.answer(status, orjson.dumps(body), headers)
