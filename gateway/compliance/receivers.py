"""Who receives something of calls beside providers: a remote analyzer of texts, and where telemetry goes."""

import os
from collections.abc import Iterable
from urllib.parse import urlsplit

from gateway.models import Feature
from gateway.telemetry.content import switched_on
from gateway.telemetry.own import ENDPOINTS
from gateway.types import Json
from redaction import engine


def receivers(features: Iterable[Feature]) -> Json:
    """Each with its host, what it gets (`texts`, `measures`, or `redacted`: measures and redacted texts) and of which features.

    Telemetry is that of this process's environment.
    """
    features = list(features)
    every = sorted(feature.slug for feature in features)
    found: list[Json] = []
    if engine.remote():
        named = sorted(feature.slug for feature in features if feature.policy.as_policy([]).needs_names)
        found.append({"name": "analyzer", "host": _host(engine.model()), "gets": "texts", "features": [*named]})
    for host, signals in sorted(_collectors().items()):
        gets = "redacted" if "TRACES" in signals and switched_on() else "measures"
        found.append({"name": "OTLP", "host": host, "gets": gets, "features": [*every]})
    if dsn := os.environ.get("SENTRY_DSN"):
        found.append({"name": "Sentry", "host": _host(dsn), "gets": "measures", "features": [*every]})
    return found


def _collectors() -> dict[str, set[str]]:
    """Hosts of OTLP collectors, each with the signals that go there."""
    found: dict[str, set[str]] = {}
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return found
    for signal in ("TRACES", "METRICS"):
        own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
        # Where any endpoint is named, a signal without one goes to the exporter's default.
        endpoint = own or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or "localhost"
        if any(map(os.environ.get, ENDPOINTS)) and os.environ.get(f"OTEL_{signal}_EXPORTER", "otlp") == "otlp":
            found.setdefault(_host(endpoint), set()).add(signal)
    return found


def _host(address: str) -> str:
    """The host of an address, with a scheme or without; nothing else of it, as it may hold a key."""
    return urlsplit(address if "//" in address else f"//{address}").hostname or ""
