"""Rates of currencies: what a US dollar is worth, since when, and who says so."""

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

SHAPE = RegexValidator(r"\A[A-Z]{3}\Z", "A currency is a code of three capital letters (ISO 4217), e.g. EUR.")


class Rate(models.Model):
    """What one US dollar is in a currency, from a day on. A trigger refuses to change or delete one: a correction is a new row.

    The newest row of a day counts, for windows that begin after it was written.
    """

    currency = models.CharField(max_length=3, validators=[SHAPE], help_text="Code of three letters, e.g. EUR.")
    per_usd = models.DecimalField(
        max_digits=18, decimal_places=9, help_text="How much of the currency one US dollar is, e.g. 0.92 for EUR."
    )
    effective_from = models.DateField(help_text="First day that it counts for.")
    source = models.CharField(max_length=200, help_text="Who says so, e.g. ECB reference rate.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "tollhouse_rate"
        ordering = ["currency", "-effective_from", "-id"]
        indexes = [models.Index(fields=["currency", "effective_from"], name="tollhouse_rate_currency")]
        constraints = [
            models.CheckConstraint(condition=Q(per_usd__gt=0), name="tollhouse_rate_positive"),
            models.CheckConstraint(condition=~Q(currency="USD"), name="tollhouse_rate_not_of_usd"),
        ]

    def __str__(self) -> str:
        return f"{self.currency} from {self.effective_from}"

    def clean(self) -> None:
        if self.currency == "USD":
            raise ValidationError({"currency": "The US dollar needs no rate; the ledger counts in it."})
        if self.per_usd is not None and self.per_usd <= 0:
            raise ValidationError({"per_usd": "A rate is more than 0."})
