"""How long rows are kept, what nobody may remove, and what remains of calls that are gone."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from gateway.models.calls import LedgerRow

#: The longest that rows can be kept: a hundred years, in days.
LONGEST_DAYS = 36_500


class RetentionKind(models.Model):
    """A kind of rows with a time to live. `gateway.retention.sync` writes these rows, from the settings and from what
    consumers have registered; `gateway.retention.remove` writes when it ran.
    """

    kind = models.CharField(max_length=40, primary_key=True)
    keep_days = models.PositiveIntegerField(help_text="Of features without a rule of their own; from the settings.")
    ran_at = models.DateTimeField(null=True, editable=False)
    removed_at = models.DateTimeField(null=True, editable=False, help_text="When something was removed last.")
    removed = models.JSONField(
        default=dict, editable=False, help_text="What was removed then: rows, and whole partitions."
    )

    class Meta:
        db_table = "tollhouse_retention_kind"
        verbose_name = "retention"
        verbose_name_plural = "retention"
        ordering = ["kind"]

    def __str__(self) -> str:
        return self.kind


class RetentionRule(models.Model):
    """How long the rows of one feature are kept, of one kind."""

    kind = models.CharField(max_length=40)
    feature = models.CharField(max_length=100)
    keep_days = models.PositiveIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_DAYS)],
        help_text="Rows older than this are invisible from that moment on, those that exist already among them, and are "
        "removed soon after. A shorter time cannot be taken back.",
    )

    class Meta:
        db_table = "tollhouse_retention_rule"
        ordering = ["kind", "feature"]
        constraints = [
            models.UniqueConstraint(fields=["kind", "feature"], name="tollhouse_retention_rule_once"),
            models.CheckConstraint(
                condition=Q(keep_days__gte=1, keep_days__lte=LONGEST_DAYS), name="tollhouse_retention_rule_days"
            ),
            models.CheckConstraint(condition=~Q(feature=""), name="tollhouse_retention_rule_of_a_feature"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.feature}"


class LegalHold(models.Model):
    """While it is in force, nothing of a tenant or of a user is removed or erased. What has expired stays invisible."""

    tenant = models.CharField(max_length=200, blank=True)
    user_ref = models.CharField(
        "user reference", max_length=200, blank=True, help_text="As the user's calls show it; a keyed hash by default."
    )
    reason = models.CharField(
        max_length=500, help_text="Which matter, or who asked. Shown to whoever is refused by it."
    )
    set_at = models.DateTimeField(db_default=Now(), editable=False)
    set_by = models.CharField(max_length=150, editable=False)
    lifted_at = models.DateTimeField(null=True, blank=True, editable=False)
    lifted_by = models.CharField(max_length=150, blank=True, editable=False)
    lift_reason = models.CharField(max_length=500, blank=True, editable=False)

    class Meta:
        db_table = "tollhouse_legal_hold"
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(tenant="") ^ Q(user_ref=""),
                name="tollhouse_legal_hold_of_one",
                violation_error_message="Give a tenant or a user reference, one of the two.",
            ),
            models.UniqueConstraint(
                fields=["tenant", "user_ref"],
                condition=Q(lifted_at=None),
                name="tollhouse_legal_hold_in_force_once",
                violation_error_message="There is a legal hold in force for that already.",
            ),
        ]

    def __str__(self) -> str:
        return f"tenant {self.tenant}" if self.tenant else f"user {self.user_ref}"


class CallSum(LedgerRow):
    """What calls cost whose rows were removed, adjustments included, by day (UTC). Nobody's personal data is in it."""

    day = models.DateField()
    feature = models.CharField(max_length=100)
    tenant = models.CharField(max_length=200, blank=True)
    cohort = models.CharField(max_length=100, blank=True)
    key = models.CharField(max_length=100, blank=True)
    source = models.CharField(max_length=20)
    prompt_version = models.CharField(max_length=64, blank=True)
    route = models.CharField(max_length=100, blank=True)
    provider = models.CharField(max_length=100, blank=True)
    model_served = models.CharField(max_length=200, blank=True)
    outcome = models.CharField(max_length=20)
    calls = models.BigIntegerField()
    cost_usd = models.DecimalField(max_digits=27, decimal_places=9)
    tokens = models.BigIntegerField()

    class Meta:
        db_table = "tollhouse_call_sum"
        verbose_name = "sum of removed calls"
        verbose_name_plural = "sums of removed calls"
        ordering = ["-day", "feature"]
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "day", "feature", "tenant", "cohort", "key", "source", "prompt_version", "route", "provider",
                    "model_served", "outcome",
                ],
                name="tollhouse_call_sum_once",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.feature} on {self.day}"
