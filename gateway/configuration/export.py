"""The catalog as a file that makes the same catalog again."""

import json
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import tomli_w
from django.db.models import Count

from budgets.models import IDENTITY, Budget, RateLimit
from budgets.rates import RATE_FIELDS
from gateway import secrets
from gateway.configuration import alerts
from gateway.configuration.budgets import export_budget, export_rates, number
from gateway.configuration.policies import export_lists, export_policy
from gateway.configuration.rows import overrides
from gateway.configuration.schema import PRICE_FIELDS
from gateway.configuration.switch_rules import export_switch_rules
from gateway.configuration.toml import AS_JSON, has_null
from gateway.models import Deployment, Feature, Price, Provider, Route, Variant
from redaction.models import RedactionPolicy


def export(*, with_secrets: bool) -> str:
    """The catalog as TOML: everything that `catalog apply` takes, but for keys; of prices the overrides.

    Stored provider keys are in it only `with_secrets`. Comments name what was left out: those keys, the smaller shares of
    split deployments, and prices with tiers or variants, which a file cannot say.
    """
    prices = _overrides()
    document = {
        "policies": {p.name: export_policy(p) for p in RedactionPolicy.objects.all()},
        "redaction_lists": export_lists(),
        "providers": {p.name: _provider(p, with_secrets=with_secrets) for p in Provider.objects.all()},
        "routes": {r.name: _route(r) for r in Route.objects.prefetch_related("targets__provider")},
        "features": {f.slug: _feature(f) for f in Feature.objects.select_related("route", "policy")},
        "prompts": _prompts(),
        "rates": export_rates(),
        "budgets": [export_budget(b) for b in Budget.objects.order_by(*IDENTITY)],
        "rate_limits": [_rate_limit(r) for r in RateLimit.objects.all()],
        "switch_rules": export_switch_rules(),
        "prices": [_price(p) for p in prices if _flat(p)],
        "channels": alerts.channels(),
        "alert_routes": alerts.alert_routes(),
    }
    keys = [] if with_secrets else [p.name for p in Provider.objects.exclude(api_key_encrypted="")]
    comments = [
        f"# {sentence.format(', '.join(names))}\n"
        for sentence, names in (
            ("Keys stored for {} are left out; `catalog export --secrets` writes them.", keys),
            (
                "Secrets stored for the channels {} are left out; they are entered in the admin.",
                alerts.stored_secrets(),
            ),
            ("Deployments of {} are split; only the largest share is here, and applying it ends the split.", _split()),
            ("Prices of {} have tiers or variants and are left out; enter them in the admin.", _tiered(prices)),
        )
        if names
    ]
    return "".join([*comments, "\n"] if comments else []) + tomli_w.dumps(
        {name: value for name, value in document.items() if value}
    )


def _filled(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value != ""}


def _provider(row: Provider, *, with_secrets: bool) -> dict[str, Any]:
    key = ""
    if with_secrets and row.api_key_encrypted:
        key = secrets.decrypt(row.api_key_encrypted, bound_to=urlsplit(row.base_url).netloc)
    return _filled(
        kind=row.kind,
        base_url=row.base_url,
        api_key_env=row.api_key_env,
        api_key=key,
        price_provider=row.price_provider,
        **({"options": row.options} if row.options else {}),
        **({"max_concurrent": row.max_concurrent} if row.max_concurrent else {}),
    )


def _route(row: Route) -> dict[str, Any]:
    return {
        "targets": [str(target) for target in row.targets.all()],
        "timeout_s": row.timeout_s,
        "connect_timeout_s": row.connect_timeout_s,
        "first_token_timeout_s": row.first_token_timeout_s,
        "retries": row.retries,
        **({"reply_timeout_s": row.reply_timeout_s} if row.reply_timeout_s else {}),
        **({"hedge_after_s": row.hedge_after_s} if row.hedge_after_s else {}),
    }


def _feature(row: Feature) -> dict[str, Any]:
    return _filled(
        description=row.description, owner=row.owner, route=row.route.name, policy=row.policy.name,
        max_output_tokens=row.max_output_tokens, unpriced=row.unpriced, phase=row.phase,
        rollout_tenants=row.rollout_tenants, rollout_cohorts=row.rollout_cohorts, rollout_percent=row.rollout_percent,
        disclosure=row.disclosure, cache_ttl_s=row.cache_ttl_s, on_ledger_away=row.on_ledger_away,
        **({} if row.spool_limit_usd is None else {"spool_limit_usd": number(row.spool_limit_usd)}),
        on_disconnect=row.on_disconnect,
    )  # fmt: skip


def _prompts() -> dict[str, Any]:
    """What is live; of a split, the version with the largest share."""
    found: dict[str, Any] = {}
    variants = Variant.objects.select_related("version", "deployment__prompt__feature")
    for variant in variants.order_by("weight", "-version__address"):
        content = {
            name + AS_JSON if has_null(value) else name: json.dumps(value, ensure_ascii=False)
            if has_null(value)
            else value
            for name, value in variant.version.content.items()
            if name != "variables"
        }
        found[variant.deployment.prompt.feature.slug] = {**content, "deploy": True}
    return dict(sorted(found.items()))


def _split() -> list[str]:
    counted = Deployment.objects.annotate(shares=Count("variants")).filter(shares__gt=1)
    return list(counted.order_by("prompt__feature__slug").values_list("prompt__feature__slug", flat=True))


def _rate_limit(row: RateLimit) -> dict[str, Any]:
    rates = ("requests_per_minute", "tokens_per_minute", "concurrent")
    return {
        **{name: getattr(row, name) for name in (*RATE_FIELDS, "each") if getattr(row, name)},
        **{name: getattr(row, name) for name in rates if getattr(row, name) is not None},
        "burst_s": row.burst_s,
        "active": row.active,
    }


def _overrides() -> list[Price]:
    """The override in force for each model and date."""
    newest = {(p.provider, p.model, p.effective_from): p for p in overrides().order_by("id")}
    return sorted(newest.values(), key=lambda p: (p.provider, p.model, str(p.effective_from)))


def _flat(row: Price) -> bool:
    return set(row.rates) <= set(PRICE_FIELDS.values())


def _tiered(rows: list[Price]) -> list[str]:
    return [str(row) for row in rows if not _flat(row)]


def _price(row: Price) -> dict[str, Any]:
    since = {"effective_from": row.effective_from} if row.effective_from else {}
    rates = {name: number(Decimal(row.rates[part])) for name, part in PRICE_FIELDS.items() if part in row.rates}
    return {**_filled(provider=row.provider, model=row.model, source_url=row.source_url), **since, **rates}
