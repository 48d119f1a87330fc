"""The catalog: an immutable snapshot of all configuration, swapped whole when the database says that it changed."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatchcase
from types import MappingProxyType
from urllib.parse import urlsplit

import psycopg
from django.db import connection, transaction
from psycopg import AsyncConnection

from gateway import secrets
from gateway.conf import settings
from gateway.errors import NotFound
from gateway.ledger.database import connection_parameters
from gateway.models import Feature, Key, Provider, Revision, Route, Variant
from gateway.prices.book import PriceBook
from gateway.prompts.template import Template, compiled
from gateway.rollout import Rollout
from gateway.types import Json
from redaction.policies import Policy

logger = logging.getLogger("tollhouse.catalog")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderInfo:
    """A provider with its key. `missing_key` says why there is none where one is configured."""

    name: str
    kind: str
    base_url: str
    price_provider: str
    api_key: str = field(repr=False)
    missing_key: str = ""
    options: Mapping[str, Json]
    max_concurrent: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetInfo:
    """A model at a provider."""

    provider: ProviderInfo
    model: str

    def __str__(self) -> str:
        return f"{self.provider.name}/{self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteInfo:
    """Targets in order of fallback; times in seconds."""

    name: str
    targets: tuple[TargetInfo, ...]
    timeout_s: float
    connect_timeout_s: float
    first_token_timeout_s: float
    retries: int
    hedge_after_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveVersion:
    """A prompt version that is live, with its share of the traffic."""

    address: str
    name: str
    weight: int
    content: Mapping[str, Json]
    template: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureInfo:
    """A feature with everything that its calls need."""

    slug: str
    description: str
    route: RouteInfo
    policy: Policy
    max_output_tokens: int
    unpriced: str
    rollout: Rollout
    disclosure: str
    cache_ttl_s: int
    live: tuple[LiveVersion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """An API key, without the key."""

    name: str
    digest: str
    features: tuple[str, ...]
    default_feature: str
    tenant: str
    expires_at: datetime | None

    def allows(self, feature: str) -> bool:
        """Whether the key may use the feature."""
        return any(fnmatchcase(feature, glob) for glob in self.features)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Everything configured, as of one moment. `keys` are by digest; `revisions` by part."""

    features: Mapping[str, FeatureInfo]
    routes: Mapping[str, RouteInfo]
    keys: Mapping[str, KeyInfo]
    prices: PriceBook
    revisions: Mapping[str, int]

    def find_target(self, feature: FeatureInfo, asked: str) -> RouteInfo:
        """The route of a call: the feature's own, or that part of it which the caller asked for.

        `asked` is empty, the route's name, a model of the route, or `provider/model`. Raises NotFound for others.
        """
        route = feature.route
        if asked in ("", feature.slug, route.name):
            return route
        chosen = tuple(target for target in route.targets if asked in (target.model, str(target)))
        if not chosen:
            raise NotFound(
                f"The feature {feature.slug} has no model {asked!r}; its route {route.name} has "
                f"{', '.join(map(str, route.targets))}.",
                param="model",
            )
        return replace(route, targets=chosen)


def load(previous: Catalog | None = None) -> Catalog:
    """The catalog as the database has it now, from one consistent snapshot; prices are kept where they did not change.

    Raises django.db.OperationalError when the database is away.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            revisions = dict(Revision.objects.values_list("name", "value"))
            unchanged = previous is not None and previous.revisions.get("prices") == revisions.get("prices")
            routes = _routes()
            return Catalog(
                features=MappingProxyType(_features(routes)),
                routes=MappingProxyType(routes),
                keys=MappingProxyType(_keys()),
                prices=previous.prices if previous and unchanged else PriceBook.load(),
                revisions=MappingProxyType(revisions),
            )
    finally:
        # Loaded in a thread of the gate's, whose connection nobody else would close.
        connection.close()


def _routes() -> dict[str, RouteInfo]:
    providers = {provider.pk: _provider(provider) for provider in Provider.objects.all()}
    return {
        route.name: RouteInfo(
            name=route.name,
            targets=tuple(TargetInfo(provider=providers[t.provider_id], model=t.model) for t in route.targets.all()),
            timeout_s=route.timeout_s,
            connect_timeout_s=route.connect_timeout_s,
            first_token_timeout_s=route.first_token_timeout_s,
            retries=route.retries,
            hedge_after_s=route.hedge_after_s,
        )
        for route in Route.objects.prefetch_related("targets")
    }


def _provider(row: Provider) -> ProviderInfo:
    key, missing = "", ""
    if secrets.is_own(row.api_key_env):
        missing = f"{row.api_key_env} is a secret of the gate itself; name the variable that holds the provider's key"
    elif row.api_key_env:
        key = os.environ.get(row.api_key_env, "")
        missing = "" if key else f"set the environment variable {row.api_key_env}"
    elif row.api_key_encrypted:
        try:
            key = secrets.decrypt(row.api_key_encrypted, bound_to=urlsplit(row.base_url).netloc)
        except secrets.CannotDecrypt as error:
            missing = str(error)
    return ProviderInfo(
        name=row.name, kind=row.kind, base_url=row.base_url, price_provider=row.price_provider or row.name, api_key=key,
        missing_key=missing, options=row.options, max_concurrent=row.max_concurrent,
    )  # fmt: skip


def _features(routes: Mapping[str, RouteInfo]) -> dict[str, FeatureInfo]:
    live: dict[str, list[LiveVersion]] = {}
    variants = Variant.objects.order_by("version__address").select_related("version", "deployment__prompt__feature")
    for variant in variants:
        version = variant.version
        live.setdefault(variant.deployment.prompt.feature.slug, []).append(
            LiveVersion(
                address=version.address,
                name=variant.name,
                weight=variant.weight,
                content=version.content,
                template=compiled(version.address, version.content["messages"]),
            )
        )
    return {
        row.slug: FeatureInfo(
            slug=row.slug,
            description=row.description,
            route=routes[row.route.name],
            policy=row.policy.as_policy(),
            max_output_tokens=row.max_output_tokens,
            unpriced=row.unpriced,
            rollout=Rollout(
                phase=row.phase,
                tenants=frozenset(row.rollout_tenants),
                cohorts=frozenset(row.rollout_cohorts),
                percent=row.rollout_percent,
            ),
            disclosure=row.disclosure,
            cache_ttl_s=row.cache_ttl_s,
            live=tuple(live.get(row.slug, ())),
        )
        for row in Feature.objects.select_related("route", "policy")
    }


def _keys() -> dict[str, KeyInfo]:
    return {
        row.digest: KeyInfo(
            name=row.name,
            digest=row.digest,
            features=tuple(row.features),
            default_feature=row.default_feature,
            tenant=row.tenant,
            expires_at=row.expires_at,
        )
        for row in Key.objects.filter(revoked_at=None)
    }


async def watch(swap: Callable[[Catalog], None], catalog: Catalog) -> None:
    """Calls `swap` with a new catalog whenever the database has one: at once on its notification, else by polling.

    Runs until it is cancelled; a database that is away is tried again.
    """
    poll_s = settings().CATALOG_POLL_S
    while True:
        try:
            async with await AsyncConnection.connect(**connection_parameters(), autocommit=True) as listening:
                await listening.execute("LISTEN tollhouse_revision")
                while True:
                    rows = await listening.execute("SELECT name, value FROM tollhouse_revision")
                    if dict(await rows.fetchall()) != catalog.revisions:
                        catalog = await asyncio.to_thread(load, catalog)
                        swap(catalog)
                    async for _ in listening.notifies(timeout=poll_s, stop_after=1):
                        pass
        except (psycopg.Error, OSError) as error:
            logger.warning("catalog: database away, the last one stays in force: %s", type(error).__name__)
            await asyncio.sleep(min(poll_s, 1.0))
        except Exception:
            # A catalog that cannot be read (say, a row edited by hand) must not stop the one in force.
            logger.exception("catalog: the new one cannot be loaded, the last one stays in force")
            await asyncio.sleep(poll_s)
