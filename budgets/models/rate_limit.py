"""Rate limits and their buckets."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from budgets.rates import MOST_BURST_S, MOST_PER_MINUTE, RATE_FIELDS, LimitRule
from budgets.rates import Bucket as State

#: No more than this many fields make a limit's scope, `each` among them.
MOST_FIELDS = 2
RATES = ("requests_per_minute", "tokens_per_minute", "concurrent")
PER_MINUTE = [MinValueValidator(1), MaxValueValidator(MOST_PER_MINUTE)]


class RateLimit(models.Model):
    """How much may pass in a time, for a scope. Empty scope fields match anything; all empty means everything."""

    feature = models.CharField(max_length=100, blank=True, help_text="Feature slug; empty matches every feature.")
    tenant = models.CharField(max_length=200, blank=True, help_text="Tenant; empty matches every tenant.")
    key = models.CharField(max_length=100, blank=True, help_text="Name of an API key; empty matches all.")
    user = models.CharField(
        max_length=200, blank=True, help_text="User reference as the rows show it; empty matches all."
    )
    cohort = models.CharField(max_length=100, blank=True, help_text="Cohort; empty matches all.")
    each = models.CharField(
        max_length=10,
        blank=True,
        choices=[(name, f"each {name}") for name in RATE_FIELDS],
        help_text="Gives every value of this field the whole limit for itself; empty: all calls share it.",
    )
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=PER_MINUTE, help_text="Calls a minute; empty: as many as come."
    )
    tokens_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=PER_MINUTE,
        help_text="Tokens a minute, input and output together; empty: as many as come. The most that a call may need is "
        "taken when it begins, and what it did not need is given back when it ends.",
    )
    concurrent = models.PositiveIntegerField(
        null=True, blank=True, validators=PER_MINUTE, help_text="Calls under way at a time; empty: as many as come."
    )
    burst_s = models.PositiveIntegerField(
        default=60,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_BURST_S)],
        help_text="How much may come at once after a quiet time: what the rate makes in this many seconds. 60 is a whole "
        "minute's, 1 lets calls through nearly evenly; at least one call always fits.",
    )
    active = models.BooleanField(default=True, help_text="An inactive limit refuses nothing.")

    class Meta:
        db_table = "tollhouse_rate_limit"
        ordering = ["feature", "tenant", "key", "user", "cohort", "each"]
        constraints = [
            models.UniqueConstraint(fields=[*RATE_FIELDS, "each"], name="tollhouse_rate_limit_identity"),
            models.CheckConstraint(
                condition=Q(each="") | Q(each__in=RATE_FIELDS), name="tollhouse_rate_limit_each_known"
            ),
            models.CheckConstraint(
                condition=Q(requests_per_minute__isnull=False)
                | Q(tokens_per_minute__isnull=False)
                | Q(concurrent__isnull=False),
                name="tollhouse_rate_limit_says_something",
            ),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{name}__range": (1, most)}), name=f"tollhouse_rate_limit_{name}_in_range"
                )
                for name, most in (*((rate, MOST_PER_MINUTE) for rate in RATES), ("burst_s", MOST_BURST_S))
            ),
        ]

    def __str__(self) -> str:
        return str(self.as_rule())

    def clean(self) -> None:
        if self.each in RATE_FIELDS and getattr(self, self.each):
            raise ValidationError({"each": f"Name one {self.each} or limit each {self.each}, not both."})
        named = [name for name in RATE_FIELDS if getattr(self, name) or self.each == name]
        if len(named) > MOST_FIELDS:
            raise ValidationError(
                f"A rate limit is for at most {MOST_FIELDS} of {', '.join(RATE_FIELDS)} together; this one has "
                f"{', '.join(named)}. Leave one of them empty."
            )
        if all(getattr(self, name) is None for name in RATES):
            raise ValidationError(f"Say what is limited: {', '.join(RATES[:-1])} or {RATES[-1]}.")

    def as_rule(self) -> LimitRule:
        """The limit as the ledger reads it."""
        return LimitRule(
            id=self.pk or 0, scope=tuple(getattr(self, name) for name in RATE_FIELDS), each=self.each,
            requests_per_minute=self.requests_per_minute, tokens_per_minute=self.tokens_per_minute,
            concurrent=self.concurrent, burst_s=self.burst_s,
        )  # fmt: skip


class Bucket(models.Model):
    """What is left of a rate limit, for all its calls or for one value of `each`. Written by the ledger alone.

    Levels are in parts (`budgets.rates.PARTS`) as of `refilled_at`; null is full.
    """

    rate_limit = models.ForeignKey(RateLimit, on_delete=models.CASCADE, related_name="buckets")
    value = models.CharField(max_length=200, blank=True, help_text="Of the field that `each` names; empty without it.")
    requests_level = models.BigIntegerField(null=True)
    tokens_level = models.BigIntegerField(null=True)
    in_flight = models.IntegerField(default=0, db_default=0)
    refilled_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "tollhouse_bucket"
        ordering = ["-refilled_at"]
        constraints = [
            models.UniqueConstraint(fields=["rate_limit", "value"], name="tollhouse_bucket_once"),
            models.CheckConstraint(condition=Q(requests_level__gte=0), name="tollhouse_bucket_requests_not_negative"),
            models.CheckConstraint(condition=Q(tokens_level__gte=0), name="tollhouse_bucket_tokens_not_negative"),
            models.CheckConstraint(condition=Q(in_flight__gte=0), name="tollhouse_bucket_in_flight_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.rate_limit}: {self.value}" if self.value else str(self.rate_limit)

    def as_state(self) -> State:
        """The bucket as of its last refill, for the arithmetic of `budgets.rates`."""
        return State(self.requests_level, self.tokens_level, self.in_flight, self.refilled_at)
