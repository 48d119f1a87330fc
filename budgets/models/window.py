"""Windows of budgets, and what raises them for a time."""

from decimal import Decimal
from typing import Literal, Self

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce, Now

from budgets.limits import converted
from budgets.models.budget import AMOUNT_DIGITS, SCOPE_FIELDS, Budget
from budgets.scopes import in_words, split_value


class WindowQuerySet(models.QuerySet["Window"]):
    def with_limit(self) -> Self:
        """Windows whose `limit` counts the raises in force, without a query for each; `select_related` their budget."""
        found = BudgetRaise.objects.in_force().filter(budget=models.OuterRef("budget"), value=models.OuterRef("value"))
        total = found.order_by().values("budget").annotate(total=models.Sum("amount")).values("total")
        return self.annotate(raised=Coalesce(models.Subquery(total), models.Value(Decimal(0))))


class Window(models.Model):
    """One period of a budget, with what was spent and what is held in it. Written by the ledger alone.

    Under a budget that gives each value the limit, a window is of one `value`: that of the field, or a JSON list of two.
    `carried` is the part of `spent` that was spent under an earlier calendar of the budget. `alerted` is the highest of the
    soft thresholds that was told. Amounts are in US dollars, tokens or calls; `rate` is what the limit is divided by.
    """

    budget = models.ForeignKey(Budget, on_delete=models.PROTECT, related_name="windows")
    value = models.TextField(blank=True, default="", db_default="")
    calendar = models.PositiveIntegerField(default=0, db_default=0)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    rate = models.DecimalField(
        max_digits=18, decimal_places=9, null=True, help_text="Of the budget's currency to one US dollar, for good."
    )
    spent = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=9, default=0, db_default=0)
    held = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=9, default=0, db_default=0)
    carried = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=9, default=0, db_default=0)
    alerted = models.PositiveSmallIntegerField(default=0, db_default=0)
    made_at = models.DateTimeField(
        null=True, db_default=Now(), editable=False, help_text="Calls before it did not count in this window."
    )

    objects = WindowQuerySet.as_manager()

    class Meta:
        db_table = "tollhouse_window"
        ordering = ["-starts_at"]
        indexes = [
            models.Index(fields=["ends_at"], name="tollhouse_window_ends"),
            models.Index(fields=["budget", "-starts_at"], name="tollhouse_window_latest"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["budget", "value", "calendar", "starts_at"], name="tollhouse_window_of_value_once"
            ),
            models.CheckConstraint(condition=Q(ends_at__gt=models.F("starts_at")), name="tollhouse_window_has_length"),
            models.CheckConstraint(condition=Q(held__gte=0), name="tollhouse_window_held_not_negative"),
            models.CheckConstraint(condition=Q(spent__gte=0), name="tollhouse_window_spent_not_negative"),
        ]

    def __str__(self) -> str:
        of = f", {self.value_in_words}," if self.budget.each else ""
        return f"{self.budget}{of} from {self.starts_at:%Y-%m-%d %H:%M}"

    @property
    def value_in_words(self) -> str:
        """E.g. `tenant acme` or `no tenant`; empty under a budget that is not divided."""
        return in_words(self.budget.each, self.value)

    @property
    def scope(self) -> str:
        """What counts in it, in words, e.g. `feature support.reply, tenant acme`; `everything` when nothing is left out."""
        fixed = [f"{name} {getattr(self.budget, name)}" for name in SCOPE_FIELDS if getattr(self.budget, name)]
        return ", ".join([*fixed, *([self.value_in_words] if self.budget.each else [])]) or "everything"

    def named(self, field: Literal["feature", "tenant"]) -> str:
        """The feature or tenant that it is of; empty where it is of any."""
        if field in self.budget.each:
            fields: list[str] = self.budget.each
            return split_value(fields, self.value)[fields.index(field)]
        return self.budget.feature if field == "feature" else self.budget.tenant

    @property
    def limit(self) -> Decimal:
        """What may be spent in it, in US dollars, tokens or calls; with raises where it was read by `with_limit`."""
        return converted(self.budget.limit + getattr(self, "raised", Decimal(0)), self.rate)


class BudgetRaiseQuerySet(models.QuerySet["BudgetRaise"]):
    def in_force(self) -> Self:
        """Those that count now, by the database's clock."""
        return self.filter(withdrawn_at=None, expires_at__gt=Now())


class BudgetRaise(models.Model):
    """More of a budget, until a moment: a person's decision, on top of the limit. Its amount is in what the limit is in."""

    budget = models.ForeignKey(Budget, on_delete=models.PROTECT, related_name="raises")
    value = models.TextField(blank=True, default="", help_text="Of which value, under a budget of each of them.")
    amount = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=9, help_text="On top of the limit.")
    reason = models.CharField(max_length=500)
    expires_at = models.DateTimeField(help_text="Until when it counts, in every window until then.")
    by = models.CharField(max_length=150, editable=False)
    at = models.DateTimeField(db_default=Now(), editable=False)
    withdrawn_by = models.CharField(max_length=150, blank=True, default="", editable=False)
    withdrawn_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = BudgetRaiseQuerySet.as_manager()

    class Meta:
        db_table = "tollhouse_budget_raise"
        verbose_name = "raise"
        ordering = ["-at"]
        indexes = [
            models.Index(fields=["budget", "value"], condition=Q(withdrawn_at=None), name="tollhouse_budget_raise_of")
        ]
        constraints = [models.CheckConstraint(condition=Q(amount__gt=0), name="tollhouse_budget_raise_positive")]

    def __str__(self) -> str:
        of = f", {in_words(self.budget.each, self.value)}" if self.budget.each else ""
        return f"{self.amount.normalize():f} {self.budget.unit} more for {self.budget}{of}"

    def clean(self) -> None:
        if self.amount is not None and self.amount <= 0:
            raise ValidationError({"amount": "A raise is more than 0; to lower a budget, change its limit."})
        whole = self.amount is None or self.amount == self.amount.to_integral_value()
        if self.budget.metric != Budget.Metric.USD and not whole:
            raise ValidationError({"amount": f"A raise in {self.budget.metric} is a whole number."})
