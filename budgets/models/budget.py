"""Budgets and their windows."""

from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

#: Amounts in windows are money, tokens or calls; a busy month has more than 10^9 tokens, so they are wider than money.
AMOUNT_DIGITS = 27
SCOPE_FIELDS = ("feature", "tenant", "key", "user", "cohort", "model", "provider")


class Budget(models.Model):
    """A limit for a scope and a period. Empty scope fields match anything; all empty means everything."""

    class Metric(models.TextChoices):
        USD = "usd", "US dollars"
        TOKENS = "tokens", "tokens"
        CALLS = "calls", "calls"

    class Period(models.TextChoices):
        HOUR = "hour", "hour"
        DAY = "day", "day"
        WEEK = "week", "week (from Monday)"
        MONTH = "month", "month"

    feature = models.CharField(max_length=100, blank=True, help_text="Feature slug; empty matches every feature.")
    tenant = models.CharField(max_length=200, blank=True, help_text="Tenant; empty matches every tenant.")
    key = models.CharField(max_length=100, blank=True, help_text="Name of an API key; empty matches all.")
    user = models.CharField(
        max_length=200, blank=True, help_text="User reference as the rows show it; empty matches all."
    )
    cohort = models.CharField(max_length=100, blank=True, help_text="Cohort; empty matches all.")
    model = models.CharField(max_length=200, blank=True, help_text="Model name as routes name it; empty matches all.")
    provider = models.CharField(max_length=100, blank=True, help_text="Provider name; empty matches all.")
    metric = models.CharField(max_length=10, choices=Metric, default=Metric.USD)
    period = models.CharField(max_length=10, choices=Period, default=Period.DAY)
    timezone = models.CharField(
        max_length=64, default="UTC", help_text="IANA name, e.g. Europe/Paris; windows follow its calendar."
    )
    limit = models.DecimalField(
        max_digits=AMOUNT_DIGITS,
        decimal_places=9,
        validators=[MinValueValidator(0)],
        help_text="In US dollars, tokens or calls, as the metric says. A call that does not fit is refused.",
    )
    soft_percent = models.PositiveSmallIntegerField(
        default=70,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="An alert is raised when this share of the limit is spent.",
    )
    on_hard = models.CharField(
        max_length=110,
        default="block",
        help_text="`block`, or `route:NAME`: calls that no longer fit go on over that route and leave this budget alone.",
    )
    active = models.BooleanField(default=True, help_text="An inactive budget holds nothing and refuses nothing.")

    class Meta:
        db_table = "tollhouse_budget"
        ordering = ["feature", "tenant", "metric", "period"]
        constraints = [
            models.UniqueConstraint(
                fields=[*SCOPE_FIELDS, "metric", "period", "timezone"], name="tollhouse_budget_identity"
            ),
            models.CheckConstraint(condition=Q(limit__gte=0), name="tollhouse_budget_limit_not_negative"),
            models.CheckConstraint(
                condition=Q(soft_percent__range=(1, 100)), name="tollhouse_budget_soft_percent_1_to_100"
            ),
            models.CheckConstraint(
                condition=Q(metric__in=["usd", "tokens", "calls"]), name="tollhouse_budget_metric_known"
            ),
            models.CheckConstraint(
                condition=Q(period__in=["hour", "day", "week", "month"]), name="tollhouse_budget_period_known"
            ),
            models.CheckConstraint(
                condition=Q(on_hard="block") | Q(on_hard__startswith="route:"), name="tollhouse_budget_on_hard_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.metric}/{self.period}"

    @property
    def scope(self) -> str:
        """The scope in words, e.g. `feature support.reply, tenant acme`; `everything` when no field is set."""
        return (
            ", ".join(f"{name} {getattr(self, name)}" for name in SCOPE_FIELDS if getattr(self, name)) or "everything"
        )

    def clean(self) -> None:
        if self.timezone not in available_timezones():
            raise ValidationError(
                {"timezone": f"{self.timezone!r} is no time zone; write an IANA name such as Europe/Paris."}
            )
        if self.on_hard != "block" and not self.on_hard.removeprefix("route:").strip():
            raise ValidationError({"on_hard": "Name the route: route:NAME."})
        if self.metric != self.Metric.USD and self.limit is not None and self.limit != self.limit.to_integral_value():
            raise ValidationError({"limit": f"A limit in {self.metric} is a whole number."})


class Window(models.Model):
    """One period of a budget, with what was spent and what is held in it. Written by the ledger alone."""

    budget = models.ForeignKey(Budget, on_delete=models.PROTECT, related_name="windows")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    spent = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=9, default=0, db_default=0)
    held = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=9, default=0, db_default=0)
    made_at = models.DateTimeField(
        null=True, db_default=Now(), editable=False, help_text="Calls before it did not count in this window."
    )

    class Meta:
        db_table = "tollhouse_window"
        ordering = ["-starts_at"]
        indexes = [models.Index(fields=["ends_at"], name="tollhouse_window_ends")]
        constraints = [
            models.UniqueConstraint(fields=["budget", "starts_at"], name="tollhouse_window_once"),
            models.CheckConstraint(condition=Q(ends_at__gt=models.F("starts_at")), name="tollhouse_window_has_length"),
            models.CheckConstraint(condition=Q(held__gte=0), name="tollhouse_window_held_not_negative"),
            models.CheckConstraint(condition=Q(spent__gte=0), name="tollhouse_window_spent_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.budget} from {self.starts_at:%Y-%m-%d %H:%M}"
