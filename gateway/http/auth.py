"""Who calls: the key, and the headers that say for whom."""

from collections.abc import Mapping

from gateway import keys
from gateway.catalog import Catalog, KeyInfo
from gateway.clock import clock
from gateway.errors import AccessDenied, InvalidRequest, Unauthenticated
from gateway.gate import Gate
from gateway.http.request import Request
from gateway.types import Caller, Json

#: Of a header `baggage`, as W3C Baggage has it (section 3.3.2); characters.
LONGEST_BAGGAGE = 8192
#: Of `tracestate`: longer than the standard asks anybody to pass on, and a part of one is none.
LONGEST_TRACESTATE = 512


def authenticate(request: Request, gate: Gate) -> KeyInfo:
    """The key of the request, from `Authorization: Bearer` or `x-api-key`; its use is noted. Raises Unauthenticated."""
    if request.identity is not None:
        return request.identity
    scheme, _, bearer = request.header("authorization").partition(" ")
    presented = bearer.strip() if scheme.lower() == "bearer" else request.header("x-api-key")
    if not presented:
        raise Unauthenticated(
            "Send your Tollhouse key: `Authorization: Bearer th_…`. `manage.py keys create` makes one."
        )
    now = clock.now()
    found = keys.find(gate.catalog, presented, now)
    if found is None:
        raise Unauthenticated("This key is unknown, revoked or expired. `manage.py keys create` makes a new one.")
    gate.key_uses.note(found.digest, now)
    return found


def addressed(request: Request, key: KeyInfo, catalog: Catalog, body: Mapping[str, Json]) -> tuple[str, str]:
    """Feature slug and the model asked for. `model` is a feature, or a model or route of the feature that is named
    by `X-Tollhouse-Feature` or by the key's default. Raises AccessDenied when the key may not use the feature.
    """
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise InvalidRequest("`model` must be a text: a feature, or a model of the feature's route.", param="model")
    named = request.header("x-tollhouse-feature")
    if named:
        feature, asked = named, "" if model == named else model or ""
    elif model and (model in catalog.features or not key.default_feature):
        feature, asked = model, ""
    elif key.default_feature:
        feature, asked = key.default_feature, model or ""
    else:
        raise InvalidRequest("Name a feature: as `model`, or in the header X-Tollhouse-Feature.", param="model")
    if feature in catalog.features and not key.allows(feature):
        raise AccessDenied(
            f"The key {key.name} may not use the feature {feature}; it may use {', '.join(key.features)}."
        )
    return feature, asked


def caller(request: Request, key: KeyInfo) -> Caller:
    """For whom the call is made. A key bound to a tenant speaks for no other. Raises AccessDenied, InvalidRequest."""
    if request.whose is not None:
        return request.whose
    values = {name: request.header(header) for name, header in _WHOSE.items()}
    for name, value in values.items():
        if value and (len(value) > (most := _LONGEST.get(name, 200)) or not value.isprintable()):
            raise InvalidRequest(f"X-Tollhouse-{name.title()} must be at most {most} printable characters.")
    if key.tenant and values["tenant"] not in ("", key.tenant):
        raise AccessDenied(f"The key {key.name} is bound to the tenant {key.tenant}.")
    sentry_trace, baggage = _sentry(request) if b"sentry-trace" in request.headers else ("", "")
    return Caller(
        user_ref=keys.user_ref(values["user"]) if values["user"] else "",
        tenant=key.tenant or values["tenant"],
        cohort=values["cohort"],
        session_id=values["session"],
        key=key.name,
        source="http",
        traceparent=request.header("traceparent"),
        tracestate=_tracestate(request) if b"tracestate" in request.headers else "",
        sentry_trace=sentry_trace,
        baggage=baggage,
    )


def _tracestate(request: Request) -> str:
    found = request.header("tracestate")
    return found if len(found) <= LONGEST_TRACESTATE else ""


def _sentry(request: Request) -> tuple[str, str]:
    """Sentry's trace context; `baggage` as far as it has a length that everybody has to take."""
    sentry_trace, baggage = request.header("sentry-trace"), request.header("baggage")
    return sentry_trace[:100], baggage if len(baggage) <= LONGEST_BAGGAGE else ""


#: Characters of what a row has less room for than for others.
_LONGEST = {"cohort": 100}
_WHOSE = {name: f"x-tollhouse-{name}" for name in ("user", "tenant", "cohort", "session")}
