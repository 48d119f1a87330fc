"""Trace context for providers: sent only to those that the setting TRACE_PROVIDERS names.

To a vendor it tells nothing but that two calls belong together; a model server of one's own makes spans below the call's.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType

from gateway.conf import settings
from gateway.entry import Entry
from gateway.models.calls import uuid7_time
from gateway.telemetry import spans

NONE: Mapping[str, str] = MappingProxyType({})


def trace_headers(entry: Entry, provider: str) -> Mapping[str, str]:
    """What a request to the provider carries; the call's span begins here, where it has not yet."""
    globs = settings().TRACE_PROVIDERS
    if not globs or not any(fnmatchcase(provider, glob) for glob in globs) or not spans.active():
        return NONE
    if entry.span is None:
        caller = entry.ask.caller
        began_ns = int(uuid7_time(entry.call_id).timestamp() * 1e9)
        entry.span = spans.begin(entry.ask, began_ns, spans.around(caller.traceparent, caller.tracestate))
    return spans.headers(entry.span)
