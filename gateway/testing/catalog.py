"""The catalog of a test: as its database has it, with the test's answers in place of every provider."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from django.db import transaction

from gateway.catalog import Catalog, FeatureInfo, ProviderInfo, RouteInfo, TargetInfo, read
from gateway.configuration.apply import apply
from gateway.configuration.document import Document
from gateway.prices.book import BEGINNING, PriceBook, Quote
from gateway.prices.rates import Rates
from gateway.providers import Provider
from gateway.rollout import Rollout
from redaction.policies import Policy


def read_catalog(
    file: str | Path | None, features: Iterable[str], rates: Mapping[str, str], answers: Provider, *, redaction: bool
) -> Catalog:
    """The catalog, with `file` applied for this once. Raises `gateway.configuration.apply.Refused` for a wrong file."""
    with transaction.atomic():
        if file is not None:
            document = Document(str(file), Path(file).read_text())
            apply(document, actor="test", dry_run=False, show=lambda changes: None)
        found = read()
        transaction.set_rollback(file is not None)
    made = {slug: _feature(slug, answers) for slug in features}
    stored = {slug: _answered(feature, answers, redaction=redaction) for slug, feature in found.features.items()}
    return replace(found, features={**made, **stored}, prices=_Prices(found.prices, rates))


class _Prices(PriceBook):
    """The database's prices, and rates of the test's own for what they do not name."""

    def __init__(self, book: PriceBook, rates: Mapping[str, str]) -> None:
        super().__init__({})
        self._book = book
        self._rates = Rates.parse(rates)

    def find(self, provider: str, model: str, at: datetime) -> Quote | None:
        known = self._book.find(provider, model, at)
        return known or Quote(id=0, rates=self._rates, source="test", effective_from=BEGINNING)


def _answered(feature: FeatureInfo, answers: Provider, *, redaction: bool) -> FeatureInfo:
    targets = tuple(
        replace(target, provider=replace(target.provider, adapter=answers, missing_key=""))
        for target in feature.route.targets
    )
    # Pseudonyms of a session and replies of a cache would be written, and come back in the next test.
    policy = replace(feature.policy, stored="full", stored_parts=(), pseudonyms="call")
    if not redaction:
        policy = replace(policy, outbound="off", rules=(), parts=(), lists=(), media="pass")
    return replace(feature, route=replace(feature.route, targets=targets), policy=policy, cache_ttl_s=0)


def _feature(slug: str, answers: Provider) -> FeatureInfo:
    provider = ProviderInfo(
        name="stub", adapter=answers, base_url="", price_provider="stub", api_key="", options={}, max_concurrent=None
    )
    route = RouteInfo(
        name="stub", targets=(TargetInfo(provider=provider, model="stub"),), timeout_s=60, connect_timeout_s=5,
        first_token_timeout_s=30, reply_timeout_s=None, retries=0, hedge_after_s=None,
    )  # fmt: skip
    return FeatureInfo(
        slug=slug, description="", route=route, policy=Policy(name="stub", outbound="off", stored="full", entities=()),
        max_output_tokens=1024, unpriced="flag", rollout=Rollout(), disclosure="", cache_ttl_s=0, live=(),
        spool_limit_usd=None, drains=False,
    )  # fmt: skip
