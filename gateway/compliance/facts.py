"""The facts of a compliance report, as plain data: what JSON holds, in one order, times in UTC.

Nothing in them depends on when they are gathered or by whom, so the same configuration has the same facts, and their hash tells
whether two reports say the same.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tomllib import loads
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

from budgets.models import Budget
from gateway.access import tenants_of
from gateway.audit_chain import Head
from gateway.compliance.receivers import receivers
from gateway.conf import settings
from gateway.models import AuditEntry, Feature, Prompt, PromptVersion, Provider, RetentionRule, Route, TenantLimit
from gateway.prompts.deploy import Moved, history, live_since
from gateway.retention.kinds import CALL, PAYLOAD, REGISTERED, defaults
from gateway.types import Json
from redaction.models import RedactionList, RedactionPolicy
from redaction.policies import PARTS, STORED_PARTS, Policy

Facts = dict[str, Json]

PRODUCT = "tollhouse"
READ_PAYLOAD, VIEW_CALL = "tollhouse_gateway.read_payload", "tollhouse_gateway.view_call"
#: Options of a provider that say in which region it works, e.g. litellm's `aws_region_name`.
REGION_WORDS = ("region", "location")


def gather() -> Facts:
    """What the report says, from the database as it is now. Run it in a transaction for one state of it."""
    features = list(Feature.objects.select_related("route", "policy").order_by("slug"))
    routes = _routes(features)
    return {
        "product": {"name": PRODUCT, "version": product_version()},
        "features": [_feature(feature, routes) for feature in features],
        "prompts": _prompts(),
        "subprocessors": _subprocessors(features, routes),
        "receivers": receivers(features),
        "redaction": {"names_found_by": settings().REDACTION_MODEL, "policies": _policies(features)},
        "retention": retention(),
        "payload_readers": _payload_readers(),
        "audit": _audit(),
    }


def product_version() -> str:
    """The version of the installed package; in a checkout that is not installed, that of its pyproject.toml."""
    try:
        return version(PRODUCT)
    except PackageNotFoundError:
        project = Path(__file__).resolve().parents[2] / "pyproject.toml"
        return str(loads(project.read_text())["project"]["version"]) if project.exists() else "unknown"


def _routes(features: Iterable[Feature]) -> dict[str, Route]:
    """Routes that a call can take: those of features, and those over which budgets send what no longer fits."""
    diverted = Budget.objects.filter(active=True, on_hard__startswith="route:").values_list("on_hard", flat=True)
    names = {feature.route.name for feature in features} | {word.removeprefix("route:") for word in diverted}
    found = Route.objects.filter(name__in=names).prefetch_related("targets__provider")
    return {route.name: route for route in found}


def _taken_by(feature: Feature, routes: dict[str, Route]) -> list[Route]:
    """The feature's route, and those over which its calls may be sent when a budget is full."""
    matching = Budget.objects.filter(active=True, on_hard__startswith="route:", feature__in=["", feature.slug])
    others = {word.removeprefix("route:") for word in matching.values_list("on_hard", flat=True)}
    return [routes[name] for name in [feature.route.name, *sorted(others - {feature.route.name})] if name in routes]


def _feature(feature: Feature, routes: dict[str, Route]) -> Json:
    return {
        "slug": feature.slug,
        "description": feature.description,
        "owner": feature.owner,
        "phase": feature.phase,
        "percent_of_others": feature.rollout_percent if feature.phase == Feature.Phase.BETA else None,
        "disclosure": feature.disclosure,
        "policy": feature.policy.name,
        "cache_ttl_s": feature.cache_ttl_s,
        "models": [str(target) for target in routes[feature.route.name].targets.all()],
        "when_a_budget_is_full": sorted(
            {str(target) for route in _taken_by(feature, routes)[1:] for target in route.targets.all()}
        ),
    }


def _prompts() -> Json:
    found: list[Json] = []
    for prompt in Prompt.objects.select_related("feature", "deployment").order_by("feature__slug"):
        deployment = getattr(prompt, "deployment", None)
        variants = (
            list(deployment.variants.select_related("version").order_by("version__address")) if deployment else []
        )
        if not variants:
            continue
        moves = history(prompt)
        whole = sum(variant.weight for variant in variants)
        found.append({
            "feature": prompt.feature.slug,
            "versions": [_live(variant.version, variant.weight, whole, moves) for variant in variants],
        })  # fmt: skip
    return found


def _live(row: PromptVersion, weight: int, whole: int, moves: list[Moved]) -> Json:
    since = live_since(moves).get(row.address)
    move = next((one for one in moves if one.at == since), None)
    return {
        "address": row.address,
        "percent": f"{100 * weight / whole:.4g}",
        "written_at": _time(row.created_at),
        "written_by": row.created_by,
        "live_since": _time(since),
        "put_live_by": move.actor if move else "",
        "reason": move.reason if move else "",
    }


def _subprocessors(features: Iterable[Feature], routes: dict[str, Route]) -> Json:
    """Providers that calls can go to, each with its models and the features that can reach it."""
    models: dict[str, set[str]] = defaultdict(set)
    users: dict[str, set[str]] = defaultdict(set)
    for feature in features:
        for target in (target for route in _taken_by(feature, routes) for target in route.targets.all()):
            models[target.provider.name].add(target.model)
            users[target.provider.name].add(feature.slug)
    return [
        {
            "name": provider.name, "kind": provider.kind, "host": urlsplit(provider.base_url).hostname or "",
            "region": _region(provider), "models": sorted(models[provider.name]), "features": sorted(users[provider.name]),
        }
        for provider in Provider.objects.filter(name__in=models).order_by("name")
    ]  # fmt: skip


def _region(provider: Provider) -> str:
    stated = [
        value for name, value in sorted(provider.options.items())
        if isinstance(value, str) and any(word in name for word in REGION_WORDS)
    ]  # fmt: skip
    return ", ".join(stated)


def _policies(features: Iterable[Feature]) -> Json:
    using: dict[str, list[str]] = defaultdict(list)
    for feature in features:
        using[feature.policy.name].append(feature.slug)
    lists = list(RedactionList.objects.all())
    shared, of_tenants = [one for one in lists if not one.tenant], [one for one in lists if one.tenant]
    found: list[Json] = []
    for row in RedactionPolicy.objects.filter(name__in=using).order_by("name"):
        policy = row.as_policy(shared)
        tenants = {one.tenant for one in of_tenants if one.policy_id in (None, row.pk)}
        found.append({
            "name": row.name,
            "features": [*using[row.name]],
            "entities": [
                {"entity": entity, "least_score": policy.least(entity), "sent": {p: _sent(policy, entity, p) for p in PARTS}}
                for entity in sorted(policy.finds)
            ],
            "kept": {part: policy.stored_of(part) for part in STORED_PARTS},
            "media": policy.media,
            "pseudonyms": policy.pseudonyms,
            "session_hours": policy.session_hours if policy.pseudonyms == "session" else None,
            "tenants_with_lists": len(tenants),
        })  # fmt: skip
    return found


def _sent(policy: Policy, entity: str, part: str) -> str:
    """What happens to the entity in a part of a call on its way to the provider; `off`: nothing."""
    return policy.actions(part).get(entity, policy.outbound_of(part)) if policy.looks_at(part) else "off"


def retention() -> Json:
    """How long rows of each kind are kept, with the features that have a time of their own."""
    rules: dict[str, dict[str, Json]] = defaultdict(dict)
    for rule in RetentionRule.objects.order_by("kind", "feature"):
        rules[rule.kind][rule.feature] = rule.keep_days
    tables = {CALL: "tollhouse_call", PAYLOAD: "tollhouse_payload"}
    tables |= {kind: kept.table for kind, kept in REGISTERED.items()}
    return [
        {"kind": kind, "table": tables[kind], "days": days, "of_features": rules[kind]}
        for kind, days in sorted(defaults().items())
    ]


def _payload_readers() -> Json:
    """Who can read in the admin what calls said: of each person by what, and the groups that give it."""
    users = get_user_model()._default_manager.filter(is_active=True, is_staff=True).order_by("pk")
    people = [
        user for user in users.prefetch_related("groups") if user.has_perm(READ_PAYLOAD) and user.has_perm(VIEW_CALL)
    ]
    label, _, codename = READ_PAYLOAD.partition(".")
    giving = Group.objects.filter(permissions__content_type__app_label=label, permissions__codename=codename)
    groups = sorted(giving.values_list("name", flat=True))
    return {
        "users": sorted((_reader(user, groups) for user in people), key=lambda reader: str(reader["name"])),
        "groups": [*groups],
        "limits": TenantLimit.objects.exists(),
    }


def _reader(user: Any, giving: list[str]) -> dict[str, Json]:
    through = sorted(group.name for group in user.groups.all() if group.name in giving)
    tenants = tenants_of(user)
    return {
        "name": user.get_username(),
        "full_name": str(getattr(user, "get_full_name", str)()),
        "through": "superuser"
        if user.is_superuser
        else ", ".join(f"group {name}" for name in through) or "own permission",
        "tenants": None if tenants is None else len(tenants),
    }


def _audit() -> Json:
    """The newest verification of the audit log; None: there was none."""
    last = AuditEntry.objects.filter(action="audit.verify").order_by("-id").first()
    if last is None:
        return None
    ok = bool(last.detail.get("ok"))
    head = Head.parse(last.detail["head"]) if ok else None
    return {
        "verified_at": _time(last.at), "verified_by": last.actor, "ok": ok, "why": str(last.detail.get("why", "")),
        "entries": head.entries if head else None, "head_hash": head.hash if head else "",
    }  # fmt: skip


def _time(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="seconds") if at else None
