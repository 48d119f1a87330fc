"""Kill switches: set, lifted and marked as over, each with its audit entry and its alert in one transaction."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from difflib import get_close_matches

from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from budgets.models import Alert, Switch
from budgets.outbox import open_alert, resolve_alert
from gateway.models import AuditEntry, Call, Feature, Key, Provider, Target

#: Who lifted a switch whose time was over.
EXPIRY = "expiry"
#: How many of the latest calls are looked through for names that are configured nowhere.
LATEST_CALLS = 5_000
UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
DURATION = re.compile(r"(?:\d+[dhms])+")


class CannotSwitch(Exception):
    """The switch cannot be set; `field` is what is wrong with it, the message says what to do."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


def switch_off(switch: Switch, *, actor: str, replace: bool = False, because: Alert | None = None) -> Switch:
    """Sets the switch, which is in force with the next hold of every process when the transaction has committed.

    `because` is the alert that led to it. Where its scope is switched off already, `replace` lifts that switch in the same
    moment; without it, and where the switch cannot be, raises CannotSwitch.
    """
    try:
        with transaction.atomic():
            now = database_now()
            same = Switch.objects.filter(scope=switch.scope, value=switch.value, tenant=switch.tenant)
            _mark_expired(same)
            if current := in_the_way(switch):
                if not replace:
                    raise CannotSwitch(already(current))
                lift(Switch.objects.filter(pk=current.pk), actor=actor, reason="Replaced by another switch.")
            if switch.expires_at and switch.expires_at <= now:
                raise CannotSwitch(f"{switch.expires_at:%Y-%m-%d %H:%M %Z} is over already.", "expires_at")
            switch.set_by = actor[:150]
            switch.full_clean()
            switch.save()
            detail = _detail(switch) | ({"alert": because.pk} if because else {})
            _audit(actor, "set", switch, switch.reason, detail)
            _open_alert(switch)
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise CannotSwitch(" ".join(messages), field) from None
    except IntegrityError:
        raise CannotSwitch(f"{switch} was switched off by somebody else at this moment; look at the list.") from None
    return switch


def in_the_way(switch: Switch) -> Switch | None:
    """The switch in force that has the same scope, if there is one."""
    same = Switch.objects.in_force().filter(scope=switch.scope, value=switch.value, tenant=switch.tenant)
    return same.first()


def already(current: Switch) -> str:
    """Says that there is a switch, and what to do."""
    by = f" by {current.set_by}" if current.set_by else ""
    return (
        f"{current} is switched off already, since {current.set_at:%Y-%m-%d %H:%M %Z}{by}: “{current.reason}”. "
        "Lift that one first, or replace it."
    )


def lift(switches: QuerySet[Switch], *, actor: str, reason: str) -> list[Switch]:
    """Lifts those of the switches that are in force, with the reason (may be empty); calls pass again on the next hold."""
    with transaction.atomic():
        _mark_expired(switches)
        found = list(switches.filter(lifted_at=None).select_for_update())
        Switch.objects.filter(pk__in=[switch.pk for switch in found]).update(
            lifted_at=Now(), lifted_by=actor[:150], lift_reason=reason
        )
        for switch in found:
            _audit(actor, "lift", switch, reason, {"switch": switch.pk})
            resolve_alert(_alert_key(switch), f"Lifted by {actor}{': ' + reason if reason else '.'}")
    return found


def lift_expired() -> int:
    """Marks switches whose time is over as lifted, at that time; says how many. They have let calls pass since."""
    with transaction.atomic():
        return _mark_expired(Switch.objects.all())


def _mark_expired(switches: QuerySet[Switch]) -> int:
    over = switches.filter(lifted_at=None, expires_at__lte=Now())
    found = list(over.select_for_update(skip_locked=True))
    Switch.objects.filter(pk__in=[switch.pk for switch in found]).update(
        lifted_at=F("expires_at"), lifted_by=EXPIRY, lift_reason="Its time was over."
    )
    for switch in found:
        _audit(EXPIRY, "expire", switch, "Its time was over.", {"switch": switch.pk, "until": str(switch.expires_at)})
        resolve_alert(_alert_key(switch), "Its time was over.")
    return len(found)


def unknown(scope: str, value: str) -> str:
    """What is wrong with a name that the catalog does not have, where it would: its switch would stop nothing. Else empty."""
    names: dict[str, Iterable[str]] = {
        Switch.Scope.FEATURE: Feature.objects.values_list("slug", flat=True),
        Switch.Scope.MODEL: Target.objects.values_list("model", flat=True).distinct(),
        Switch.Scope.PROVIDER: Provider.objects.values_list("name", flat=True),
        Switch.Scope.KEY: Key.objects.values_list("name", flat=True),
    }
    if not value or scope not in names or value in (known := list(names[Switch.Scope(scope)])):
        return ""
    hint = _near(value, known) or "Names are written as the catalog has them."
    return f"No {Switch.Scope(scope).label} is named {value}. {hint}"


def unheard(switch: Switch) -> str:
    """A warning where no call has come lately from the tenant, user or cohort of a switch: it may be misspelt. Else empty."""
    field, value = {"tenant": "tenant", "user": "user_ref", "cohort": "cohort"}.get(switch.scope, ""), switch.value
    if switch.tenant:
        field, value = "tenant", switch.tenant
    if not field:
        return ""
    latest = {name for name in Call.objects.order_by("-id").values_list(field, flat=True)[:LATEST_CALLS] if name}
    if value in latest or (field == "tenant" and Call.objects.filter(tenant=value).exists()):
        return ""
    word = "user reference" if field == "user_ref" else field
    return f"No call has come from the {word} {value} lately, so this may stop nothing. {_near(value, latest)}".strip()


def parse(text: str) -> Switch:
    """An unsaved switch of the scope that a command line names: `feature:support.reply`, `tenant:acme`, `everything`,
    or `feature:support.reply,tenant:acme` for a feature of one tenant. Raises CannotSwitch.
    """
    scope, _, value = text.partition(":")
    tenant = ""
    if scope not in Switch.Scope.values:
        near = get_close_matches(scope, Switch.Scope.values, 1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise CannotSwitch(
            f"{scope!r} is no scope. {hint}Write {', '.join(f'{s}:NAME' for s in _named())} or everything."
        )
    if scope == Switch.Scope.FEATURE and ",tenant:" in value:
        value, _, tenant = value.partition(",tenant:")
        if not tenant:
            raise CannotSwitch("Write the tenant's name too: feature:NAME,tenant:NAME.")
    if (scope == Switch.Scope.EVERYTHING) == bool(value):
        raise CannotSwitch(f"Write the name too: {scope}:NAME." if not value else "everything has no name behind it.")
    return Switch(scope=scope, value=value, tenant=tenant)


def lasting(text: str) -> timedelta:
    """A time from `2h`, `30m`, `1d12h`. Raises ValueError, which says what to write."""
    if DURATION.fullmatch(text):
        found = timedelta(**{UNITS[unit]: int(number) for number, unit in re.findall(r"(\d{1,6})([dhms])", text)})
        if timedelta(0) < found <= timedelta(days=3650):
            return found
    raise ValueError(f"{text!r} is no time; write e.g. 30m, 2h, 1d12h")


def database_now() -> datetime:
    """The time by the database's clock, as the transaction under way sees it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        now: datetime = cursor.fetchone()[0]
        return now


def _named() -> list[str]:
    return [scope for scope in Switch.Scope.values if scope != Switch.Scope.EVERYTHING]


def _near(value: str, known: Iterable[str]) -> str:
    near = get_close_matches(value, list(known), n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}?" if near else ""


def _alert_key(switch: Switch) -> str:
    return f"switch:{switch.pk}"


def _detail(switch: Switch) -> dict[str, object]:
    until = switch.expires_at.isoformat() if switch.expires_at else None
    return {
        "switch": switch.pk, "scope": switch.scope, "value": switch.value, "tenant": switch.tenant, "until": until,
        "running": switch.running,
    }  # fmt: skip


def _open_alert(switch: Switch) -> None:
    by_rule = switch.set_by.startswith("rule ")
    open_alert(
        "switch", Alert.Severity.CRITICAL if by_rule else Alert.Severity.WARNING, _alert_key(switch),
        f"{switch} is switched off by {switch.set_by or 'someone'}: {switch.reason}",
        detail=_detail(switch) | {"reason": switch.reason, "by": switch.set_by}, ends_at=switch.expires_at,
        feature=switch.value if switch.scope == Switch.Scope.FEATURE else "",
        tenant=switch.value if switch.scope == Switch.Scope.TENANT else switch.tenant,
    )  # fmt: skip


def _audit(actor: str, verb: str, switch: Switch, reason: str, detail: dict[str, object]) -> None:
    AuditEntry.objects.create(
        actor=actor[:150], action=f"switch.{verb}", subject=f"switch {switch}"[:255], reason=reason, detail=detail
    )
