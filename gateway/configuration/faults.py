"""Faults of what is configured: rows that are each in order, and together let calls fail or limits do nothing."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from django.db.models import Count, Sum

from budgets.models import USD, AlertRoute, Budget, Channel, Rate, RateLimit
from budgets.rates import PARTS
from gateway.conf import settings
from gateway.models import Deployment, Feature, Key, Provider, Route, Target
from gateway.prices.book import PriceBook
from gateway.providers import KINDS
from redaction.engine import BUILT_IN, model, remote
from redaction.remote import address


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong and what to do. Under an `id` that begins with E calls fail; under W they may."""

    id: str
    what: str
    hint: str


def faults() -> Iterator[Fault]:
    """All faults of the configuration as the database has it now."""
    yield from _routes()
    yield from _providers()
    yield from _references()
    yield from _rate_limits()
    yield from _prompts()
    yield from _prices()
    yield from _redaction()
    yield from _alerts()
    yield from _spool()


def _routes() -> Iterator[Fault]:
    for route in Route.objects.annotate(count=Count("targets")).filter(count=0, features__isnull=False).distinct():
        yield Fault("E010", f"The route {route.name} has no target.", "Add a provider and model to it.")


def _providers() -> Iterator[Fault]:
    for provider in Provider.objects.all():
        if provider.kind not in KINDS:
            hint = f"There are {', '.join(sorted(KINDS))}."
            yield Fault("E011", f"The provider {provider.name} is of the kind {provider.kind!r}, which is none.", hint)
        elif provider.kind == "litellm" and find_spec("litellm") is None:
            hint = "Install Tollhouse with its extra `litellm`."
            yield Fault("E012", f"The provider {provider.name} needs the package litellm.", hint)


def _references() -> Iterator[Fault]:
    features = set(Feature.objects.values_list("slug", flat=True))
    for key in Key.objects.filter(revoked_at=None).exclude(default_feature="").exclude(default_feature__in=features):
        what = f"The key {key.name} has the default feature {key.default_feature}, which does not exist."
        yield Fault("W005", what, "Add the feature, or change the key's default.")
    routes = {f"route:{name}" for name in Route.objects.values_list("name", flat=True)}
    for budget in Budget.objects.filter(active=True).exclude(on_hard__in=["block", "ask", *routes]):
        what = f"The budget {budget} diverts to {budget.on_hard}, which does not exist."
        yield Fault("W006", what, "Until it does, calls that do not fit are refused.")
    known = Rate.objects.values("currency")
    for budget in Budget.objects.filter(active=True).exclude(currency=USD).exclude(currency__in=known):
        what = f"The budget {budget} is in {budget.currency}, for which there is no rate, so its calls are refused."
        yield Fault("E014", what, "Add a rate in the admin or as a [[rates]] entry of the catalog.")


def _rate_limits() -> Iterator[Fault]:
    features = dict(Feature.objects.values_list("slug", "max_output_tokens"))
    keys = set(Key.objects.values_list("name", flat=True))
    for limit in RateLimit.objects.filter(active=True):
        for kind, name, known in (("feature", limit.feature, features), ("key", limit.key, keys)):
            if name and name not in known:
                what = f"The rate limit for {limit} names the {kind} {name}, which does not exist."
                yield Fault("W015", what, "Until it does, the limit does nothing.")
        if limit.tokens_per_minute is None:
            continue
        most = limit.as_rule().full_tokens // PARTS
        refused = [s for s, tokens in features.items() if limit.feature in ("", s) and tokens > most]
        if refused:
            what = f"The rate limit for {limit} lets {most} tokens through at once; calls of {', '.join(refused)} may need more."
            hint = "Raise the limit or its burst_s, or lower the features' max_output_tokens; until then such calls are refused."
            yield Fault("W016", what, hint)


def _prompts() -> Iterator[Fault]:
    for deployment in Deployment.objects.select_related("prompt__feature").annotate(weight=Sum("variants__weight")):
        if not deployment.weight:
            what = f"The prompt of {deployment.prompt.feature.slug} has no live version."
            yield Fault("W007", what, "Put one live; until then calls with `variables` are refused.")


def _prices() -> Iterator[Fault]:
    prices, now = PriceBook.load(), datetime.now(UTC)
    limits = list(Budget.objects.filter(active=True, metric=Budget.Metric.USD))
    seen: set[str] = set()
    for target in Target.objects.select_related("provider").prefetch_related("route__features"):
        provider, named = target.provider, str(target)
        if named in seen or prices.find(provider.price_provider or provider.name, target.model, now):
            continue
        for feature in target.route.features.all():
            limited = any(_counts_in(budget, feature.slug, target) for budget in limits)
            if feature.unpriced == Feature.Unpriced.REFUSE or limited:
                seen.add(named)
                what = f"No price is known for {named}, so calls of {feature.slug} to it are refused."
                yield Fault("W008", what, "Add a [[prices]] entry to the catalog.")
                break


def _counts_in(budget: Budget, feature: str, target: Target) -> bool:
    """Whether calls of a feature to a target may count in the budget."""
    return (
        budget.feature in ("", feature)
        and budget.model in ("", target.model)
        and budget.provider in ("", target.provider.name)
    )


def _redaction() -> Iterator[Fault]:
    name = model()
    if remote():
        try:
            address(name)
        except ValueError as error:
            yield Fault("E013", "TOLLHOUSE_REDACTION_MODEL is no address of an analyzer.", f"Please {error}.")
        return
    if name in ("", BUILT_IN) or Path(name).exists() or (name.isidentifier() and find_spec(name)):
        return
    for feature in Feature.objects.select_related("policy"):
        policy = feature.policy.as_policy()
        if policy.needs_names:
            what = f"The redaction model {name!r}, which the policy {policy.name} needs, is not installed."
            hint = (
                "Install it (spaCy: tollhouse[spacy]), or set TOLLHOUSE_REDACTION_MODEL; until then calls are refused."
            )
            yield Fault("E013", what, hint)
            return


def _alerts() -> Iterator[Fault]:
    if not Channel.objects.filter(active=True).exists():
        return
    parts = urlsplit(settings().PUBLIC_URL)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        what = "PUBLIC_URL is not the address of this gate's pages, so alerts come without links."
        yield Fault("W020", what, "Set TOLLHOUSE_PUBLIC_URL, e.g. to https://tollhouse.example.")
    if not AlertRoute.objects.filter(active=True, channels__active=True).exists():
        what = "There are channels, and no active route leads to one, so no alert is sent anywhere."
        yield Fault("W021", what, "Add a route in the admin, under Alert routes.")


def _spool() -> Iterator[Fault]:
    spooling = list(Feature.objects.filter(on_ledger_away=Feature.LedgerAway.SPOOL).values_list("slug", flat=True))
    if not spooling:
        return
    directory, named = settings().SPOOL_DIR, ", ".join(spooling)
    if not directory:
        what = f"Calls of {named} are to be spooled while the database is away, and there is no SPOOL_DIR."
        yield Fault(
            "E015", what, "Set TOLLHOUSE_SPOOL_DIR to a directory on a local disk; until then they are refused."
        )
    # One that is not there yet is made when it is needed.
    elif not os.access(next(p for p in (Path(directory), *Path(directory).parents) if p.exists()), os.W_OK | os.X_OK):
        what = f"Calls of {named} are to be spooled, and SPOOL_DIR cannot be written."
        yield Fault("E015", what, f"Let this user write to {directory}; until then such calls are refused.")
