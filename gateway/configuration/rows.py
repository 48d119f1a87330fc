"""From the tables of a catalog file to rows: one function for each section."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models

from budgets.models import RateLimit
from budgets.rates import RATE_FIELDS
from gateway import secrets
from gateway.conf import settings
from gateway.configuration.document import Document, Place
from gateway.configuration.schema import PRICE_FIELDS, SECTIONS, missing
from gateway.configuration.toml import plain
from gateway.models import Feature, Price, Provider, Route, Target
from gateway.prices.book import SEEDS
from gateway.prices.doubts import doubts
from gateway.prices.rates import Rates
from gateway.providers import KINDS
from gateway.providers.guard import check_url
from redaction.models import RedactionPolicy
from redaction.policies import DEFAULT

MOST_MODEL = Target._meta.get_field("model").max_length or 0


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a plan: `+` made, `~` changed, `=` as it was, `!` probably a mistake."""

    kind: str
    what: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.what}{': ' + self.detail if self.detail else ''}"


@dataclass
class Rows:
    """An application under way: the document, who applies it, and what was changed so far."""

    document: Document
    actor: str
    changes: list[Change] = field(default_factory=list)

    def save(self, place: Place, row: models.Model, values: dict[str, Any], what: str, *, extra: str = "") -> bool:
        """Checks and saves a row with these values and notes the change. False, with the problems noted, when it cannot be.

        `extra` says what else changed with it.
        """
        new = row._state.adding
        moved = {} if new else {n: (getattr(row, n), v) for n, v in values.items() if not _same(getattr(row, n), v)}
        changed = [f"{name} {old} → {value}" for name, (old, value) in moved.items()]
        for name, value in values.items():
            setattr(row, name, value)
        try:
            row.full_clean()
        except ValidationError as error:
            for name, messages in error.message_dict.items():
                where = place if name == NON_FIELD_ERRORS else (*place, name)
                self.document.problem(where, f"{what}: {' '.join(messages)}")
            return False
        if new or changed:
            row.save()
        if extra:
            changed.append(extra)
        self.changes.append(Change("+" if new else "~" if changed else "=", what, "" if new else ", ".join(changed)))
        return True

    def find[M: models.Model](
        self, place: Place, model: type[M], field_name: str, value: str, section: str
    ) -> M | None:
        """The row that an entry refers to; notes the problem when there is none."""
        found = model._default_manager.filter(**{field_name: value}).first()
        if found is None and not (self.document.problems and value in self.document.values.get(section, {})):
            # One that the file has, and that is wrong itself, was told where it stands.
            names = ", ".join(model._default_manager.values_list(field_name, flat=True)[:20]) or "none yet"
            self.document.problem(
                place, f"There is no {value!r} in {section}; there are: {names}. Add [{section}.{value}]."
            )
        return found


def _same(old: Any, new: Any) -> bool:
    return bool(Decimal(str(old)) == new) if isinstance(new, Decimal) and old is not None else bool(old == new)


def apply_provider(rows: Rows, place: Place, entry: dict[str, Any]) -> None:
    name = str(place[1])
    row = Provider.objects.filter(name=name).first() or Provider(name=name)
    if row._state.adding and missing(rows.document, place, entry, SECTIONS["providers"]):
        return
    if "kind" in entry and entry["kind"] not in KINDS:
        rows.document.problem(
            (*place, "kind"), f"The kind {entry['kind']!r} is not known; there are: {', '.join(KINDS)}."
        )
        return
    kind = KINDS[entry.get("kind", row.kind)]
    try:
        options = plain(entry.get("options", row.options))
        kind.check_options(options)
    except ValueError as error:
        rows.document.problem((*place, "options"), f"provider {name}: {error}.")
        return
    base_url = entry.get("base_url", row.base_url)
    if base_url or kind.NEEDS_URL:
        try:
            check_url(base_url, allow_private=settings().ALLOW_PRIVATE_UPSTREAMS)
        except ValueError as error:
            rows.document.problem((*place, "base_url"), f"provider {name}: {error}.")
            return
    if entry.get("api_key") and entry.get("api_key_env"):
        rows.document.problem((*place, "api_key"), f"provider {name}: give api_key or api_key_env, not both.")
        return
    values = {**{k: v for k, v in entry.items() if k != "api_key"}, "options": options}
    key, host = entry.get("api_key"), urlsplit(str(entry.get("base_url", row.base_url))).netloc
    if entry.get("api_key_env"):
        row.api_key_encrypted = ""
    elif key and _stored_key(row, host) != key:
        row.api_key_env, row.api_key_encrypted = "", secrets.encrypt(key, bound_to=host)
        if not row._state.adding:
            row.save(update_fields=["api_key_env", "api_key_encrypted"])
        rows.save(place, row, values, f"provider {name}", extra="api_key replaced")
        return
    rows.save(place, row, values, f"provider {name}")


def _stored_key(row: Provider, host: str) -> str | None:
    try:
        return secrets.decrypt(row.api_key_encrypted, bound_to=host) if row.api_key_encrypted else None
    except secrets.CannotDecrypt:
        return None


def apply_route(rows: Rows, place: Place, entry: dict[str, Any]) -> None:
    name = str(place[1])
    row = Route.objects.filter(name=name).first() or Route(name=name)
    if row._state.adding and missing(rows.document, place, entry, SECTIONS["routes"]):
        return
    targets = _targets(rows, (*place, "targets"), entry["targets"]) if "targets" in entry else None
    if targets is None and "targets" in entry:
        return
    values = {k: float(v) if isinstance(v, Decimal) else v for k, v in entry.items() if k != "targets"}
    before = [str(target) for target in row.targets.select_related("provider")] if row.pk else []
    after = [f"{provider.name}/{model}" for provider, model in targets] if targets is not None else before
    moved = f"targets {', '.join(before)} → {', '.join(after)}" if before != after and row.pk else ""
    if rows.save(place, row, values, f"route {name}", extra=moved) and before != after:
        row.targets.all().delete()
        Target.objects.bulk_create(
            Target(route=row, position=position, provider=provider, model=model)
            for position, (provider, model) in enumerate(targets or ())
        )


def _targets(rows: Rows, place: Place, given: list[str]) -> list[tuple[Provider, str]] | None:
    found = []
    for text in given:
        provider_name, slash, model = text.partition("/")
        if not slash or not model:
            rows.document.problem(place, f"{text!r} is no target; write provider/model.")
            return None
        if len(model) > MOST_MODEL:
            rows.document.problem(place, f"The model {model[:20]}… has more than {MOST_MODEL} characters.")
            return None
        provider = rows.find(place, Provider, "name", provider_name, "providers")
        if provider is None:
            return None
        found.append((provider, model))
    if not found or len(set(given)) < len(given):
        rows.document.problem(place, "A route needs at least one target, and each of them once.")
        return None
    return found


def apply_feature(rows: Rows, place: Place, entry: dict[str, Any]) -> None:
    slug = str(place[1])
    row = Feature.objects.filter(slug=slug).first() or Feature(slug=slug)
    if row._state.adding and missing(rows.document, place, entry, SECTIONS["features"]):
        return
    values = dict(entry)
    if "spool_limit_usd" in values:
        values["spool_limit_usd"] = Decimal(values["spool_limit_usd"])
    if "route" in values:
        values["route"] = rows.find((*place, "route"), Route, "name", values["route"], "routes")
    if "policy" in values or row._state.adding:
        name = values.get("policy", DEFAULT.name)
        if name == DEFAULT.name:
            RedactionPolicy.objects.get_or_create(name=name)
        values["policy"] = rows.find((*place, "policy"), RedactionPolicy, "name", name, "policies")
    if values.get("route", row.route_id) is None or values.get("policy", row.policy_id) is None:
        return
    rows.save(place, row, values, f"feature {slug}")


def apply_rate_limit(rows: Rows, place: Place, entry: dict[str, Any]) -> None:
    identity = {name: entry.get(name, "") for name in (*RATE_FIELDS, "each")}
    row = RateLimit.objects.filter(**identity).first() or RateLimit(**identity)
    rows.save(place, row, {k: v for k, v in entry.items() if k not in identity}, f"rate limit {row}")


def apply_price(rows: Rows, place: Place, entry: dict[str, Any]) -> None:
    if missing(rows.document, place, entry, SECTIONS["prices"]):
        return
    rates = {part: f"{Decimal(entry[name]).normalize():f}" for name, part in PRICE_FIELDS.items() if name in entry}
    what = f"price {entry['provider']}/{entry['model']}"
    try:
        parsed = Rates.parse(rates)
    except ValueError as error:
        rows.document.problem(place, f"{what}: {error}")
        return
    key = {
        "provider": entry["provider"],
        "model": entry["model"],
        "effective_from": _moment(entry.get("effective_from")),
    }
    current = overrides().filter(**key).order_by("-id").first()
    if current and Rates.parse(current.rates) == parsed:
        rows.changes.append(Change("=", what))
        return
    before = current or Price.objects.filter(provider=entry["provider"], model=entry["model"]).order_by("-id").first()
    rows.changes += [Change("!", what, doubt) for doubt in doubts(rates, before.rates if before else None)]
    row = Price(**key, source="catalog")
    rows.save(place, row, {"rates": rates, "source_url": entry.get("source_url", "")}, what)


def overrides() -> models.QuerySet[Price]:
    """The price rows that count before the seed, from catalog files and the admin alike."""
    found = Price.objects.all()
    for seed in SEEDS:
        found = found.exclude(source__startswith=seed)
    return found


def _moment(value: date | datetime | None) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC) if value else None
    return datetime.combine(value, time(), tzinfo=UTC)
