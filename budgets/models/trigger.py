"""Rules that set kill switches by themselves."""

from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from budgets.models.switch import Switch


class SwitchTrigger(models.Model):
    """A switch rule: sets a kill switch, for a time, or only raises an alert, when what is measured passes a bound.

    Every name that `value` fits is measured, and switched off, on its own. Not to be confused with
    `budgets.rules.SwitchRule`, a switch as holds see it.
    """

    class Scope(models.TextChoices):
        FEATURE = "feature", "feature"
        MODEL = "model", "model"
        PROVIDER = "provider", "provider"
        EVERYTHING = "everything", "everything"

    class Condition(models.TextChoices):
        ERROR_PERCENT = "error_percent", "errors, percent of calls"
        LATENCY_P95_MS = "latency_p95_ms", "latency, 95th percentile, ms"
        SPEND_TIMES = "spend_times", "spend, times the usual"
        PRICE_CHANGE_PERCENT = "price_change_percent", "price change, percent"

    class Action(models.TextChoices):
        SWITCH = "switch", "switch it off and alert"
        ALERT = "alert", "only alert"

    name = models.SlugField(
        max_length=100, unique=True, help_text="How the audit log and switches call it, e.g. support-errors."
    )
    scope = models.CharField(max_length=20, choices=Scope, default=Scope.FEATURE)
    value = models.CharField(
        max_length=200,
        blank=True,
        help_text="A name or a pattern, e.g. support.*; each name that fits is measured on its own. Empty for everything.",
    )
    condition = models.CharField(max_length=30, choices=Condition, help_text="What is measured.")
    above = models.DecimalField(
        max_digits=18,
        decimal_places=3,
        validators=[MinValueValidator(Decimal("0.001"))],
        help_text="The bound, in the unit of what is measured; the rule fires when it is passed.",
    )
    minutes = models.PositiveSmallIntegerField(
        default=5,
        validators=[MinValueValidator(1), MaxValueValidator(60)],
        help_text="Over how many of the last minutes it is measured; a price change is seen whenever it comes.",
    )
    min_calls = models.PositiveIntegerField(
        default=20,
        validators=[MinValueValidator(1)],
        help_text="With fewer calls in that time errors and latency say nothing.",
    )
    min_usd = models.DecimalField(
        max_digits=18,
        decimal_places=9,
        default=Decimal(1),
        validators=[MinValueValidator(0)],
        help_text="With less spent in that time, in US dollars, spend says nothing.",
    )
    action = models.CharField(max_length=10, choices=Action, default=Action.SWITCH, help_text="What it does.")
    off_minutes = models.PositiveIntegerField(
        default=30,
        validators=[MinValueValidator(1), MaxValueValidator(7 * 24 * 60)],
        help_text="After how many minutes its switch lifts by itself.",
    )
    running = models.CharField(
        "calls under way",
        max_length=10,
        choices=Switch.Running,
        default=Switch.Running.FINISH,
        help_text="What becomes of calls and streams that run already.",
    )
    cooldown_minutes = models.PositiveIntegerField(
        default=60,
        validators=[MinValueValidator(1), MaxValueValidator(7 * 24 * 60)],
        help_text="For how many minutes after it fired it leaves that name alone.",
    )
    active = models.BooleanField(default=True, help_text="An inactive rule is not looked at.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "tollhouse_switch_trigger"
        verbose_name = "switch rule"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(scope="everything", value="") | (~Q(scope="everything") & ~Q(value="")),
                name="tollhouse_switch_trigger_value_fits_scope",
            ),
            models.CheckConstraint(condition=Q(above__gt=0), name="tollhouse_switch_trigger_above_positive"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def subject(self) -> str:
        """What it watches, in words."""
        return f"{self.scope} {self.value}".strip()

    @property
    def bound(self) -> str:
        """When it fires, in words."""
        above, over = f"{self.above.normalize():f}", f"over {self.minutes} min"
        return {
            self.Condition.ERROR_PERCENT: f"more than {above} % errors {over}, of at least {self.min_calls} calls",
            self.Condition.LATENCY_P95_MS: f"95th percentile above {above} ms {over}, of at least {self.min_calls} calls",
            self.Condition.SPEND_TIMES: (
                f"more than {above} times the usual spend {over}, at least ${self.min_usd.normalize():f}"
            ),
            self.Condition.PRICE_CHANGE_PERCENT: f"a price that changes by more than {above} %",
        }[self.Condition(self.condition)]

    def clean(self) -> None:
        if (self.scope == self.Scope.EVERYTHING) == bool(self.value):
            raise ValidationError({"value": "Leave this empty for everything; fill it in for any other scope."})
        if self.condition == self.Condition.ERROR_PERCENT and self.above is not None and self.above >= 100:
            raise ValidationError({"above": "More than 100 percent of calls cannot fail; give a smaller bound."})


class SwitchFiring(models.Model):
    """A switch rule that fired, for one name. `occasion` is what it is never to fire for again, e.g. a price row."""

    trigger = models.ForeignKey(SwitchTrigger, models.CASCADE, related_name="firings")
    value = models.CharField(max_length=200, blank=True)
    occasion = models.CharField(max_length=100, blank=True)
    at = models.DateTimeField(db_default=Now())
    measured = models.CharField(max_length=300)
    switch = models.ForeignKey(Switch, models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        db_table = "tollhouse_switch_firing"
        ordering = ["-id"]
        indexes = [models.Index(fields=["trigger", "value", "-at"], name="tollhouse_switch_firing_last")]

    def __str__(self) -> str:
        return f"{self.trigger}: {self.measured}"
