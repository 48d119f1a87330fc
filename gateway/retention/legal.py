"""Legal holds: while one is in force, nothing of a tenant or a user is removed or erased."""

from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from gateway.models import AuditEntry, LegalHold


def set_hold(hold: LegalHold, *, actor: str) -> None:
    """Puts it in force, with an entry in the audit log. Raises ValidationError, e.g. where there is one already."""
    hold.set_by = actor
    hold.full_clean()
    with transaction.atomic():
        hold.save(force_insert=True)
        _audit("set", hold, actor, hold.reason)


def lift(holds: Iterable[LegalHold], *, actor: str, reason: str) -> list[LegalHold]:
    """Lifts those that are in force, and returns them. What has expired meanwhile is removed next. Raises ValidationError."""
    if not reason.strip():
        raise ValidationError("Say why it is lifted; the reason goes into the audit log.")
    with transaction.atomic():
        found = list(LegalHold.objects.select_for_update().filter(pk__in=[hold.pk for hold in holds], lifted_at=None))
        LegalHold.objects.filter(pk__in=[hold.pk for hold in found]).update(
            lifted_at=Now(), lifted_by=actor, lift_reason=reason
        )
        for hold in found:
            _audit("lift", hold, actor, reason)
    return found


def in_force(user_ref: str, tenants: Iterable[str]) -> list[LegalHold]:
    """The legal holds on a user, or on one of these tenants."""
    wanted = Q(tenant__in=[tenant for tenant in tenants if tenant])
    return list(LegalHold.objects.filter(wanted | (Q(user_ref=user_ref) & ~Q(user_ref="")), lifted_at=None))


def _audit(verb: str, hold: LegalHold, actor: str, reason: str) -> None:
    AuditEntry.objects.create(
        actor=actor, action=f"legalhold.{verb}", subject=f"legal hold {hold.pk}", reason=reason,
        detail={"tenant": hold.tenant} if hold.tenant else {"of": "a user reference"},
    )  # fmt: skip
