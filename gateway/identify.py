"""First stage: whose call is this, for which feature, over which route? From the catalog, in memory."""

from dataclasses import dataclass, replace

from budgets.rules import Scope
from gateway.catalog import Catalog, FeatureInfo, RouteInfo
from gateway.errors import FeatureDisabled, InvalidRequest, NotFound
from gateway.health import Health
from gateway.types import OUTPUT_LIMITS, Ask
from redaction.policies import Policy


@dataclass(slots=True, kw_only=True)
class Identified:
    """A call whose feature and route are known. `policy` is the feature's, with the lists that hold for the call's tenant;
    `max_output_tokens` is for each of its `choices`.
    """

    ask: Ask
    feature: FeatureInfo
    policy: Policy
    route: RouteInfo
    scope: Scope
    max_output_tokens: int
    choices: int

    def diverted(self, route: RouteInfo) -> "Identified":
        """The same call over another route."""
        return replace(self, route=route)


def identify(ask: Ask, catalog: Catalog, health: Health) -> Identified:
    """Finds the feature and the route of a call, targets that are doing well first, and reads its limits.

    Raises NotFound for an unknown feature, route or model, InvalidRequest for limits that cannot be.
    """
    feature = catalog.features.get(ask.feature)
    if feature is None:
        raise NotFound(
            f"There is no feature {ask.feature!r}. Add it to the catalog, or ask for one of: "
            f"{', '.join(sorted(catalog.features)[:20]) or '(none yet)'}.",
            param="model",
        )
    if ask.body.get("web_search_options") is not None:
        raise InvalidRequest(
            "`web_search_options` cannot be passed on: a search has a fee of its own, which the price book does not know.",
            param="web_search_options",
        )
    caller = ask.caller
    if not feature.route.targets:
        raise NotFound(f"The route {feature.route.name} has no target; add a provider and model to it.", param="model")
    return Identified(
        ask=ask,
        feature=feature,
        policy=feature.policy.for_tenant(caller.tenant),
        route=health.prefer(_route(ask, feature, catalog)),
        scope=Scope(feature.slug, caller.tenant, caller.key, caller.user_ref, caller.cohort, "", ""),
        max_output_tokens=_output_limit(ask, feature),
        choices=_whole(ask, "n", 1, least=1, most=128),
    )


def admit(call: Identified) -> None:
    """Raises FeatureDisabled where the feature is not yet there for this caller."""
    feature, caller = call.feature, call.ask.caller
    if not feature.rollout.includes(feature.slug, tenant=caller.tenant, cohort=caller.cohort, unit=caller.unit):
        raise FeatureDisabled(
            f"The feature {feature.slug} is in its {feature.rollout.phase} phase and not on for this caller. Add the "
            f"tenant or cohort to its rollout, or move it to the next phase.",
            call_id=call.ask.call_id,
        )


def _route(ask: Ask, feature: FeatureInfo, catalog: Catalog) -> RouteInfo:
    if ask.trial is None:
        return catalog.find_target(feature, ask.model)
    if ask.trial.route not in catalog.routes:
        raise NotFound(f"There is no route {ask.trial.route!r}; there are: {', '.join(catalog.routes)}.")
    return catalog.routes[ask.trial.route]


def _output_limit(ask: Ask, feature: FeatureInfo) -> int:
    if ask.operation == "embeddings":
        return 0
    most = feature.max_output_tokens
    # Where both are given, servers differ in which of them counts.
    asked = [_whole(ask, name, most, least=1, most=most) for name in OUTPUT_LIMITS if ask.body.get(name) is not None]
    return max(asked) if asked else most


def _whole(ask: Ask, name: str, default: int, *, least: int, most: int) -> int:
    value = ask.body.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidRequest(
            f"{name} must be a whole number from {least} to {most} for the feature {ask.feature}, not {value!r}.",
            param=name,
        )
    return value
