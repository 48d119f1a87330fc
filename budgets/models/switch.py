"""Kill switches."""

from typing import Self

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class SwitchQuery(models.QuerySet["Switch"]):
    def in_force(self) -> Self:
        """Those that stop calls now, by the database's clock."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), lifted_at=None)


class Switch(models.Model):
    """A kill switch: while it is in force, no call of its scope passes.

    In force until it is lifted, or until `expires_at` by the database's clock; a job notes the latter as lifted afterwards.
    """

    class Scope(models.TextChoices):
        FEATURE = "feature", "feature"
        TENANT = "tenant", "tenant"
        USER = "user", "user"
        COHORT = "cohort", "cohort"
        KEY = "key", "API key"
        MODEL = "model", "model"
        PROVIDER = "provider", "provider"
        EVERYTHING = "everything", "everything"

    class Running(models.TextChoices):
        FINISH = "finish", "let them finish"
        CUT = "cut", "cut them off"

    scope = models.CharField(max_length=20, choices=Scope)
    value = models.CharField(
        max_length=200,
        blank=True,
        help_text="Name as the catalog and the rows of calls have it, e.g. a feature's slug; empty for everything.",
    )
    tenant = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="With a feature: switch it off for this tenant only; empty: for all.",
    )
    reason = models.CharField(max_length=500, help_text="Shown to everyone whose call is refused.")
    running = models.CharField(
        "calls under way",
        max_length=10,
        choices=Running,
        default=Running.FINISH,
        db_default=Running.FINISH,
        help_text="What becomes of calls and streams that run already.",
    )
    expires_at = models.DateTimeField(
        "until", null=True, blank=True, help_text="When it lifts by itself; empty: when somebody lifts it."
    )
    set_by = models.CharField(max_length=150, blank=True, editable=False)
    set_at = models.DateTimeField(db_default=Now(), editable=False)
    lifted_by = models.CharField(max_length=150, blank=True, editable=False)
    lifted_at = models.DateTimeField(null=True, blank=True, editable=False)
    lift_reason = models.CharField(max_length=500, blank=True, default="", db_default="", editable=False)

    objects = SwitchQuery.as_manager()

    class Meta:
        db_table = "tollhouse_switch"
        verbose_name_plural = "switches"
        ordering = ["-set_at"]
        indexes = [
            models.Index(
                fields=["expires_at"],
                condition=Q(lifted_at=None, expires_at__isnull=False),
                name="tollhouse_switch_expiring",
            )
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["scope", "value", "tenant"], condition=Q(lifted_at=None), name="tollhouse_switch_once_in_force"
            ),
            models.CheckConstraint(
                condition=Q(scope="everything", value="") | (~Q(scope="everything") & ~Q(value="")),
                name="tollhouse_switch_value_fits_scope",
            ),
            models.CheckConstraint(
                condition=Q(tenant="") | Q(scope="feature"), name="tollhouse_switch_tenant_of_a_feature"
            ),
            models.CheckConstraint(condition=Q(running__in=["finish", "cut"]), name="tollhouse_switch_running_known"),
        ]

    def __str__(self) -> str:
        of = f" of tenant {self.tenant}" if self.tenant else ""
        return f"{self.scope} {self.value}{of}".strip()

    def clean(self) -> None:
        if (self.scope == self.Scope.EVERYTHING) == bool(self.value):
            raise ValidationError({"value": "Leave this empty for everything; fill it in for any other scope."})
        if self.tenant and self.scope != self.Scope.FEATURE:
            raise ValidationError({"tenant": "This narrows a feature down to one tenant; leave it empty otherwise."})
