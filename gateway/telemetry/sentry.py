"""Sentry, where it is set up: AI spans, metrics and errors of calls, after its conventions, and never their text.

An application that has initialised Sentry gets these in its own traces. What the product's own processes send is set up by
`start`. The SDK is an extra: nothing here imports it before somebody else did, or SENTRY_DSN is set.
"""

import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import Any

from gateway.models.calls import uuid7_time
from gateway.telemetry.finished import FAILED, Finished

logger = logging.getLogger("tollhouse.telemetry")

ORIGIN = "manual.gen_ai.tollhouse"
MECHANISM = "tollhouse"
#: Our packages: what their functions have in hand may be the text of a call.
OURS = ("gateway", "budgets", "redaction", "dashboards", "consumers", "deploy")
#: Errors whose words may quote what was sent or answered.
QUOTING = frozenset({"ProviderError", "ProviderTimeout", "LeftAlone", "InvalidRequest", "NotFound", "CallCut"})
LEFT_OUT = "[left out: it may quote the call]"


def active() -> bool:
    """Whether this process has Sentry set up."""
    sdk = sys.modules.get("sentry_sdk")
    return sdk is not None and bool(getattr(sdk, "is_initialized", bool)())


def tell(call: Finished) -> None:
    """A span with the call's tokens, metrics, and an error where one happened that somebody has to look at."""
    import sentry_sdk

    guard()
    row = call.row
    began = uuid7_time(row["id"])
    ended = began + timedelta(milliseconds=row["latency_ms"])
    parent = _parent()
    name = f"{row['operation']} {call.model}"
    transaction = None
    if parent is None:
        transaction = parent = _transaction(call, began)
    span = parent.start_child(op=f"gen_ai.{row['operation']}", name=name, start_timestamp=began, origin=ORIGIN)
    for key, value in attributes(call).items():
        span.set_data(key, value)
    if call.error:
        span.set_status("internal_error" if row["outcome"] in FAILED else "cancelled")
    _metrics(call)
    if row["outcome"] in FAILED:
        sentry_sdk.capture_event(_event(call, span))
    span.finish(end_timestamp=ended)
    if transaction is not None:
        transaction.finish(end_timestamp=ended)


def _transaction(call: Finished, began: datetime) -> Any:
    """A transaction of the call's own, which continues the caller's trace where the request had Sentry's headers."""
    import sentry_sdk

    # A scope of its own: in one that calls share, the trace of one would be that of the others.
    transaction = sentry_sdk.Scope().continue_trace(
        {"sentry-trace": call.sentry_trace, "baggage": call.baggage} if call.sentry_trace else {},
        op="tollhouse.call", name=call.row["feature"] or "call", source="custom", origin=ORIGIN,
    )  # fmt: skip
    transaction.start_timestamp = began
    return sentry_sdk.start_transaction(transaction)


def _parent() -> Any:
    """The application's span around a call; None where there is none, as always in a process of our own."""
    import sentry_sdk

    span = None if _own else sentry_sdk.get_current_span()
    if span is not None and (span.op or "").startswith("db"):
        # A thread that shares the application's scope asks the database just now; that is not what called us.
        return span.containing_transaction
    return span


def attributes(call: Finished) -> dict[str, Any]:
    """The span's data, by Sentry's names."""
    row = call.row
    found: dict[str, Any] = {
        "gen_ai.operation.name": row["operation"],
        "gen_ai.provider.name": call.provider,
        "gen_ai.request.model": call.model,
        "gen_ai.response.streaming": row["streamed"],
        "gen_ai.pipeline.name": row["feature"],
        "tollhouse.call_id": str(row["id"]),
        "tollhouse.prompt_version": row["prompt_version"],
        "tollhouse.outcome": row["outcome"],
    }
    if call.response_model:
        found["gen_ai.response.model"] = call.response_model
    if call.used:
        found |= {
            "gen_ai.usage.input_tokens": call.input_tokens,
            "gen_ai.usage.output_tokens": call.output_tokens,
            "gen_ai.usage.total_tokens": call.input_tokens + call.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": row["cache_read_tokens"],
            "gen_ai.usage.cache_creation.input_tokens": row["cache_write_tokens"],
            "gen_ai.usage.reasoning.output_tokens": row["reasoning_tokens"],
        }
    if row["finish_reason"]:
        found["gen_ai.response.finish_reasons"] = [row["finish_reason"]]
    if row["streamed"] and row["first_token_ms"] is not None:
        found["gen_ai.response.time_to_first_chunk"] = row["first_token_ms"] / 1000
    if call.response_id:
        found["gen_ai.response.id"] = call.response_id
    if row["session_id"]:
        found["gen_ai.conversation.id"] = row["session_id"]
    if call.cost is not None:
        found["tollhouse.cost_usd"] = call.cost
    return found


def _metrics(call: Finished) -> None:
    from sentry_sdk import metrics

    row = call.row
    said = {"tollhouse.feature": row["feature"], "gen_ai.provider.name": call.provider,
            "tollhouse.outcome": row["outcome"]}  # fmt: skip
    if call.response_model:
        said["gen_ai.response.model"] = call.response_model
    metrics.count("tollhouse.calls", 1, attributes=said)
    metrics.distribution("gen_ai.client.operation.duration", row["latency_ms"], unit="millisecond", attributes=said)
    for kind, tokens in (("input", call.input_tokens), ("output", call.output_tokens)):
        if tokens and not row["usage_estimated"]:
            about = {**said, "gen_ai.token.type": kind}
            metrics.distribution("gen_ai.client.token.usage", tokens, attributes=about)
    if call.cost is not None:
        metrics.distribution("tollhouse.cost", call.cost, attributes=said)


def _event(call: Finished, span: Any) -> Any:
    """The error as an issue: one for each feature, target and class, whatever its words were."""
    row = call.row
    target = f"{row['provider']}/{row['model_served']}" if row["provider"] else ""
    status = f" with status {row['http_status']}" if row["http_status"] else ""
    tags = {
        "tollhouse.feature": row["feature"],
        "tollhouse.prompt_version": row["prompt_version"],
        "tollhouse.call_id": str(row["id"]),
        "tollhouse.outcome": row["outcome"],
        "tollhouse.target": target,
    }
    kind = call.error
    return {
        "level": "error",
        "logger": "tollhouse.call",
        "timestamp": datetime.now(UTC).isoformat(),
        "exception": {"values": [{
            "type": kind, "module": "gateway.errors",
            "value": f"{row['feature']}: {row['outcome']}{f' at {target}' if target else ''}{status}",
            "mechanism": {"type": MECHANISM, "handled": True},
        }]},
        "fingerprint": ["tollhouse", "call", row["feature"], target, kind, str(row["http_status"] or "")],
        "tags": {name: value for name, value in tags.items() if value},
        "contexts": {"trace": span.get_trace_context()},
    }  # fmt: skip


def guard() -> None:
    """Takes the text of calls out of every event of this process: what our functions had in hand when one failed, what
    those that they called had, and words of errors that may quote it.
    """
    global _guarding
    if _guarding:
        return
    from sentry_sdk.scope import add_global_event_processor

    add_global_event_processor(scrubbed)
    _guarding = True


_guarding = False
#: Whether `start` set Sentry up: then no code of an application runs here, and all calls share one scope.
_own = False


def scrubbed(event: Any, hint: Mapping[str, Any]) -> Any:
    """The event without what our functions had in hand."""
    raised = (event.get("exception") or {}).get("values") or ()
    for value in raised:
        told_by_us = (value.get("mechanism") or {}).get("type") == MECHANISM
        if value.get("type") in QUOTING and (value.get("module") or "").startswith("gateway.") and not told_by_us:
            value["value"] = LEFT_OUT
    for stack in (*raised, *((event.get("threads") or {}).get("values") or ())):
        inside = False
        for frame in (stack.get("stacktrace") or {}).get("frames") or ():
            # From the first of ours on: whatever it calls has in hand what it was given.
            inside = inside or (frame.get("module") or "").partition(".")[0] in OURS
            if inside:
                frame.pop("vars", None)
    return event


def start(role: str) -> None:
    """Sets Sentry up in a process of the product's own, where SENTRY_DSN is set and nobody has done so yet."""
    global _own
    dsn = os.environ.get("SENTRY_DSN")
    if not dsn or active():
        return
    if find_spec("sentry_sdk") is None:
        logger.error("telemetry: SENTRY_DSN is set, and the SDK is not installed: pip install 'tollhouse[sentry]'")
        return
    import sentry_sdk
    from sentry_sdk.integrations.django import DjangoIntegration
    from sentry_sdk.scrubber import DEFAULT_DENYLIST, EventScrubber

    rate = os.environ.get("SENTRY_TRACES_SAMPLE_RATE")
    try:
        sentry_sdk.init(
            dsn=dsn,
            # Our own spans are the calls': the SDK's own for clients of models would count them again.
            auto_enabling_integrations=False,
            integrations=[DjangoIntegration()],
            # None: no traces at all. A rate, be it 0, is for calls whose callers have not decided.
            traces_sample_rate=float(rate) if rate else None,
            send_default_pii=False,
            include_local_variables=False,
            max_request_body_size="never",
            # Calls share a loop, and so would their breadcrumbs.
            max_breadcrumbs=0,
            # Or every provider would be told of our traces.
            trace_propagation_targets=[],
            event_scrubber=EventScrubber(denylist=[*DEFAULT_DENYLIST, *SECRETS], recursive=True),
            before_send=_own_event,
            before_send_transaction=_own_event,
        )
    except Exception as error:  # noqa: BLE001  (a wrong DSN must not keep a gate from opening)
        logger.error("telemetry: Sentry is not set up: %s", type(error).__name__)
        return
    _own = True
    sentry_sdk.set_tag("tollhouse.role", role)
    guard()


#: Names under which our own secrets could stand in an event.
SECRETS = ("x-api-key", "x-tollhouse-user", "metrics_token", "pepper", "encryption_keys", "database_url", "dsn")


def _own_event(event: Any, hint: Mapping[str, Any]) -> Any:
    """In a process of ours nothing of a request but its method and path is sent: pages are searched for people, too."""
    if isinstance(request := event.get("request"), dict):
        url = str(request.get("url", "")).partition("?")[0]
        event["request"] = {"method": request.get("method"), "url": url}
    event.pop("extra", None)
    return scrubbed(event, hint)
