"""The catalog: an immutable snapshot of all configuration, swapped whole when the database says that it changed."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Protocol
from urllib.parse import urlsplit

import psycopg
from django.db import InterfaceError, OperationalError, connection, transaction
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from gateway import secrets
from gateway.conf import settings
from gateway.errors import NotFound, PromptError
from gateway.ledger.database import connect, connection_parameters
from gateway.models import Feature, Key, Provider, Revision, Route, Variant
from gateway.models.catalog import allows
from gateway.prices.book import PriceBook
from gateway.prompts.template import Template, compiled
from gateway.providers import Provider as Adapter
from gateway.providers import adapter
from gateway.rollout import Rollout
from gateway.types import Json
from redaction.models import RedactionList
from redaction.policies import Policy

logger = logging.getLogger("tollhouse.catalog")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderInfo:
    """A provider with its key, and the adapter that speaks to it. `missing_key` says why there is no key where one is
    configured.
    """

    name: str
    adapter: Adapter
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
    reply_timeout_s: float | None
    retries: int
    hedge_after_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveVersion:
    """A prompt version that is live, with its share of the traffic."""

    address: str
    name: str
    weight: int
    content: Mapping[str, Json]

    @property
    def template(self) -> Template:
        """Its template, compiled. Raises PromptError for one that the rules of this release no longer allow."""
        return compiled(self.address, self.content["messages"])


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureInfo:
    """A feature with everything that its calls need.

    `spool_limit_usd` is None where calls are refused while the ledger is away; `drains` says that a reply is read on
    when its client leaves.
    """

    slug: str
    description: str
    route: RouteInfo
    policy: Policy
    max_output_tokens: int
    unpriced: str
    rollout: Rollout
    disclosure: str
    cache_ttl_s: int
    spool_limit_usd: Decimal | None
    drains: bool
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
        return allows(self.features, feature)


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
            return read(previous)
    finally:
        # Loaded in a thread of the gate's, whose connection nobody else would close.
        connection.close()


def read(previous: Catalog | None = None) -> Catalog:
    """The catalog as the transaction under way sees it."""
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


def _routes() -> dict[str, RouteInfo]:
    providers = {provider.pk: _provider(provider) for provider in Provider.objects.all()}
    return {
        route.name: RouteInfo(
            name=route.name,
            targets=tuple(TargetInfo(provider=providers[t.provider_id], model=t.model) for t in route.targets.all()),
            timeout_s=route.timeout_s,
            connect_timeout_s=route.connect_timeout_s,
            first_token_timeout_s=route.first_token_timeout_s,
            reply_timeout_s=route.reply_timeout_s,
            retries=route.retries,
            hedge_after_s=route.hedge_after_s,
        )
        for route in Route.objects.prefetch_related("targets")
    }


def _provider(row: Provider) -> ProviderInfo:
    key, missing = "", ""
    if row.api_key_env:
        try:
            secrets.check_variable(row.api_key_env)
            key = os.environ.get(row.api_key_env, "")
            missing = "" if key else f"set the environment variable {row.api_key_env}"
        except ValueError as error:
            missing = str(error)
    elif row.api_key_encrypted:
        try:
            key = secrets.decrypt(row.api_key_encrypted, bound_to=urlsplit(row.base_url).netloc)
        except secrets.CannotDecrypt as error:
            missing = str(error)
    return ProviderInfo(
        name=row.name, adapter=adapter(row.kind), base_url=row.base_url, price_provider=row.price_provider or row.name,
        api_key=key, missing_key=missing, options=row.options, max_concurrent=row.max_concurrent,
    )  # fmt: skip


def _features(routes: Mapping[str, RouteInfo]) -> dict[str, FeatureInfo]:
    live: dict[str, list[LiveVersion]] = {}
    variants = Variant.objects.order_by("version__address").select_related("version", "deployment__prompt__feature")
    for variant in variants:
        row, slug = variant.version, variant.deployment.prompt.feature.slug
        version = LiveVersion(address=row.address, name=variant.name, weight=variant.weight, content=row.content)
        live.setdefault(slug, []).append(version)
        try:
            # Here, so that no call has to wait for it; and a prompt that is broken concerns its own feature only.
            _ = version.template
        except PromptError as error:
            logger.error("catalog: the live prompt %s cannot be rendered: %s", row, error)
    lists = list(RedactionList.objects.all())
    return {
        row.slug: FeatureInfo(
            slug=row.slug,
            description=row.description,
            route=routes[row.route.name],
            policy=row.policy.as_policy(lists),
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
            spool_limit_usd=row.spool_limit_usd if row.on_ledger_away == Feature.LedgerAway.SPOOL else None,
            drains=row.on_disconnect == Feature.Disconnect.DRAIN,
            live=tuple(live.get(row.slug, ())),
        )
        for row in Feature.objects.select_related("route", "policy")
    }


def _keys() -> dict[str, KeyInfo]:
    found: dict[str, KeyInfo] = {}
    for row in Key.objects.filter(revoked_at=None):
        key = KeyInfo(
            name=row.name,
            digest=row.digest,
            features=tuple(row.features),
            default_feature=row.default_feature,
            tenant=row.tenant,
            expires_at=row.expires_at,
        )
        found[row.digest] = key
        if row.previous_until is not None:
            ends = min(row.previous_until, row.expires_at or row.previous_until)
            found[row.previous_digest] = replace(key, digest=row.previous_digest, expires_at=ends)
    return found


class Onlooker(Protocol):
    """Somebody else who wants to know that something changed, and whom a catalog that cannot be loaded must not stop."""

    async def look(self, connection: AsyncConnection[TupleRow], revision: int | None) -> None:
        """Is told the revision of the rules with every look; may ask the connection."""


async def watch(swap: Callable[[Catalog], None], catalog: Catalog, onlooker: Onlooker) -> None:
    """Calls `swap` with a new catalog whenever the database has one: at once on its notification, else by polling.

    Runs until it is cancelled; a database that is away is tried again.
    """
    poll_s = settings().CATALOG_POLL_S
    while True:
        try:
            async with await connect(connection_parameters()) as listening:
                await listening.execute("LISTEN tollhouse_revision")
                while True:
                    rows = await listening.execute("SELECT name, value FROM tollhouse_revision")
                    revisions: dict[str, int] = dict(await rows.fetchall())
                    await onlooker.look(listening, revisions.get("rules"))
                    if revisions != catalog.revisions:
                        catalog = await asyncio.to_thread(load, catalog)
                        swap(catalog)
                    async for _ in listening.notifies(timeout=poll_s, stop_after=1):
                        pass
        except (psycopg.Error, OperationalError, InterfaceError, OSError) as error:
            logger.warning("catalog: database away, the last one stays in force: %s", type(error).__name__)
            await asyncio.sleep(min(poll_s, 1.0))
        except Exception:
            # A catalog that cannot be read (say, a row edited by hand) must not stop the one in force.
            logger.exception("catalog: the new one cannot be loaded, the last one stays in force")
            await asyncio.sleep(poll_s)
