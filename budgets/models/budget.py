"""Budgets: what may be spent, on what, in which time."""

from datetime import date, datetime
from zoneinfo import ZoneInfo, available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from budgets.models.fields import NamesField, PercentsField
from budgets.models.rate import Rate
from budgets.windows import range_bounds, window_bounds

#: Amounts in windows are money, tokens or calls; a busy month has more than 10^9 tokens, so they are wider than money.
AMOUNT_DIGITS = 27
SCOPE_FIELDS = ("feature", "tenant", "key", "user", "cohort", "model", "provider")
#: What tells budgets apart: of those that are not deleted no two agree in all of it.
IDENTITY = (*SCOPE_FIELDS, "each", "metric", "currency", "period", "timezone", "starts_on", "ends_on")
#: Fixed dates are between these.
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(3000, 1, 1)
#: The currency that prices and the ledger are in; others are converted to it.
USD = "USD"


class LiveBudgets(models.Manager["Budget"]):
    """Budgets that were not deleted."""

    def get_queryset(self) -> models.QuerySet["Budget"]:
        return super().get_queryset().filter(deleted_at=None)


class Budget(models.Model):
    """A limit for a scope and a period. Empty scope fields match anything; all empty means everything.

    With `each` every value of that field (every pair of values of two) has the whole limit, and windows, for itself. `objects`
    leaves out what was deleted: such a row stays for the windows that it had.
    """

    class Metric(models.TextChoices):
        USD = "usd", "money"
        TOKENS = "tokens", "tokens"
        CALLS = "calls", "calls"

    class Period(models.TextChoices):
        HOUR = "hour", "hour"
        DAY = "day", "day"
        WEEK = "week", "week (from Monday)"
        MONTH = "month", "month"
        RANGE = "range", "fixed dates"

    feature = models.CharField(max_length=100, blank=True, help_text="Feature slug; empty matches every feature.")
    tenant = models.CharField(max_length=200, blank=True, help_text="Tenant; empty matches every tenant.")
    key = models.CharField(max_length=100, blank=True, help_text="Name of an API key; empty matches all.")
    user = models.CharField(
        max_length=200, blank=True, help_text="User reference as the rows show it; empty matches all."
    )
    cohort = models.CharField(max_length=100, blank=True, help_text="Cohort; empty matches all.")
    model = models.CharField(max_length=200, blank=True, help_text="Model name as routes name it; empty matches all.")
    provider = models.CharField(max_length=100, blank=True, help_text="Provider name; empty matches all.")
    each = NamesField(
        known=SCOPE_FIELDS, most=2, help_text="One or two scope fields: each of their values has the limit for itself."
    )
    metric = models.CharField(max_length=10, choices=Metric, default=Metric.USD)
    currency = models.CharField(
        max_length=3, default=USD, db_default=USD, help_text="Of a limit in money: USD, or one that has a rate."
    )
    period = models.CharField(max_length=10, choices=Period, default=Period.DAY)
    starts_on = models.DateField(null=True, blank=True, help_text="First day of fixed dates.")
    ends_on = models.DateField(null=True, blank=True, help_text="Last day of fixed dates; it counts in full.")
    timezone = models.CharField(
        max_length=64, default="UTC", help_text="IANA name, e.g. Europe/Paris; windows follow its calendar."
    )
    limit = models.DecimalField(
        max_digits=AMOUNT_DIGITS,
        decimal_places=9,
        validators=[MinValueValidator(0)],
        help_text="In money, tokens or calls, as the metric says. A call that does not fit is refused.",
    )
    soft_percent = PercentsField(
        help_text="An alert is raised when this share of the limit is spent: one or several; 70 unless it is said."
    )
    on_hard = models.CharField(
        max_length=110,
        default="block",
        help_text="`block`; `ask`: refused too, and an alert asks for a raise; or `route:NAME`: calls that no longer fit "
        "go on over that route and leave this budget alone.",
    )
    active = models.BooleanField(default=True, help_text="An inactive budget holds nothing and refuses nothing.")
    paused_reason = models.CharField(max_length=500, blank=True, db_default="", help_text="Why it is inactive.")
    #: Counts the changes of its calendar; a trigger keeps it. Windows of another calendar are past.
    calendar = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = LiveBudgets()
    everything = models.Manager["Budget"]()

    class Meta:
        db_table = "tollhouse_budget"
        ordering = ["feature", "tenant", "metric", "period"]
        permissions = [("raise_budget", "Can raise a budget for a time")]
        constraints = [
            models.UniqueConstraint(
                fields=IDENTITY,
                condition=Q(deleted_at=None),
                nulls_distinct=False,
                name="tollhouse_budget_identity",
            ),
            models.CheckConstraint(condition=Q(limit__gte=0), name="tollhouse_budget_limit_not_negative"),
            models.CheckConstraint(
                condition=Q(soft_percent__contained_by=list(range(1, 101))),
                name="tollhouse_budget_soft_percent_1_to_100",
            ),
            models.CheckConstraint(
                condition=Q(metric__in=["usd", "tokens", "calls"]), name="tollhouse_budget_metric_known"
            ),
            models.CheckConstraint(
                condition=Q(period__in=["hour", "day", "week", "month"], starts_on=None, ends_on=None)
                | Q(period="range", starts_on__gte=FIRST_DAY, ends_on__gte=models.F("starts_on"), ends_on__lt=LAST_DAY),
                name="tollhouse_budget_period_known",
            ),
            models.CheckConstraint(
                condition=Q(on_hard__in=["block", "ask"]) | Q(on_hard__startswith="route:"),
                name="tollhouse_budget_on_hard_known",
            ),
            models.CheckConstraint(
                condition=Q(currency=USD) | Q(metric="usd"), name="tollhouse_budget_currency_is_of_money"
            ),
            models.CheckConstraint(
                condition=Q(deleted_at=None) | Q(active=False), name="tollhouse_budget_deleted_is_inactive"
            ),
        ]

    def __str__(self) -> str:
        dates = f" {self.starts_on} to {self.ends_on}" if self.period == self.Period.RANGE else ""
        return f"{self.scope} {self.unit}/{self.period}{dates}"

    @property
    def scope(self) -> str:
        """The scope in words, e.g. `feature support.reply, each tenant`; `everything` when no field is set."""
        fixed = [f"{name} {getattr(self, name)}" for name in SCOPE_FIELDS if getattr(self, name)]
        return ", ".join([*fixed, *(f"each {name}" for name in self.each)]) or "everything"

    @property
    def unit(self) -> str:
        """What the limit is in: `usd`, another currency's code, `tokens` or `calls`."""
        return self.currency if self.metric == self.Metric.USD and self.currency != USD else self.metric

    def window_at(self, at: datetime) -> tuple[datetime, datetime]:
        """Bounds of the window that holds `at`; those of the fixed dates, whenever that is."""
        zone = ZoneInfo(self.timezone)
        if self.starts_on and self.ends_on:
            return range_bounds(self.starts_on, self.ends_on, zone)
        return window_bounds(self.period, zone, at)

    def clean(self) -> None:
        problems: dict[str, str] = {}
        if self.timezone not in available_timezones():
            problems["timezone"] = f"{self.timezone!r} is no time zone; write an IANA name such as Europe/Paris."
        if self.on_hard not in ("block", "ask") and not self.on_hard.removeprefix("route:").strip():
            problems["on_hard"] = "Name the route: route:NAME."
        if self.metric != self.Metric.USD and self.limit is not None and self.limit != self.limit.to_integral_value():
            problems["limit"] = f"A limit in {self.metric} is a whole number."
        problems |= self._of_dates() | self._of_currency()
        if both := [name for name in self.each if getattr(self, name)]:
            problems["each"] = f"{' and '.join(both)} cannot be one value and each of them; leave one out."
        if problems:
            raise ValidationError(problems)

    def _of_dates(self) -> dict[str, str]:
        if self.period != self.Period.RANGE:
            given = [name for name in ("starts_on", "ends_on") if getattr(self, name) is not None]
            return dict.fromkeys(given, "Dates belong to a budget whose period is range; leave this out.")
        if self.starts_on is None or self.ends_on is None:
            lacking = [name for name in ("starts_on", "ends_on") if getattr(self, name) is None]
            return dict.fromkeys(lacking, "Fixed dates have a first and a last day; give both.")
        if self.ends_on < self.starts_on:
            return {"ends_on": "The last day is before the first one."}
        if self.starts_on < FIRST_DAY or self.ends_on >= LAST_DAY:
            return {"ends_on": "Fixed dates are from 1970 to 2999."}
        return {}

    def _of_currency(self) -> dict[str, str]:
        if self.currency == USD:
            return {}
        if self.metric != self.Metric.USD:
            return {"currency": f"A limit in {self.metric} has no currency; leave it out."}
        if not Rate.objects.filter(currency=self.currency).exists():
            return {"currency": f"There is no rate for {self.currency}; add one first, under Rates or as [[rates]]."}
        return {}

    def retire(self) -> None:
        """Deletes the budget for all who look for one: it holds and refuses nothing more, and its windows stay to be read.

        Calls in flight are still settled in them.
        """
        Budget.objects.filter(pk=self.pk).update(active=False, deleted_at=Now())
