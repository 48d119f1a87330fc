"""Vendors' bills as they were compared with the ledger. A trigger refuses to change or delete them."""

from decimal import Decimal

from django.db import models
from django.db.models.functions import Now


class Bill(models.Model):
    """One comparison of a vendor's exports with the calls of a provider; see `gateway.bills`."""

    provider = models.CharField(max_length=100, help_text="Provider whose calls it was compared with.")
    files = models.CharField(max_length=500, help_text="Names of the files and what they are.")
    fingerprint = models.CharField(
        max_length=64, unique=True, help_text="SHA-256 of what was compared and found; the same once only."
    )
    since = models.DateField(help_text="First day, UTC.")
    until = models.DateField(help_text="Last day, UTC.")
    billed_usd = models.DecimalField(
        max_digits=18, decimal_places=9, null=True, blank=True, help_text="Empty: the files have tokens only."
    )
    ledger_usd = models.DecimalField(max_digits=18, decimal_places=9)
    tolerance_percent = models.DecimalField(max_digits=6, decimal_places=3)
    matches = models.BooleanField(help_text="Every difference is within the tolerance.")
    made_at = models.DateTimeField(db_default=Now())
    made_by = models.CharField(max_length=150)

    class Meta:
        db_table = "tollhouse_bill"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.provider} {self.since} to {self.until}"

    @property
    def difference_usd(self) -> Decimal | None:
        """Billed less ledger; None where the files have tokens only."""
        return None if self.billed_usd is None else self.billed_usd - self.ledger_usd


class BillLine(models.Model):
    """A day, a model and a key of a bill beside what the ledger has for them."""

    bill = models.ForeignKey(Bill, on_delete=models.PROTECT, related_name="lines")
    day = models.DateField(help_text="UTC, as vendors bill.")
    provider = models.CharField(max_length=100, blank=True, help_text="Empty: no provider of ours.")
    model = models.CharField(max_length=200, blank=True, help_text="Empty: all models.")
    key = models.CharField(max_length=200, blank=True, help_text="The vendor's key; empty: all.")
    billed_usd = models.DecimalField(max_digits=18, decimal_places=9, null=True, blank=True)
    ledger_usd = models.DecimalField(max_digits=18, decimal_places=9)
    billed_tokens = models.BigIntegerField(null=True, blank=True)
    ledger_tokens = models.BigIntegerField()
    calls = models.BigIntegerField(help_text="Calls of the ledger.")
    differs = models.BooleanField(help_text="By more than the tolerance.")
    causes = models.JSONField(default=list, help_text="Likely causes, the likeliest first.")

    class Meta:
        db_table = "tollhouse_bill_line"
        ordering = ["bill", "day", "provider", "model", "key"]

    def __str__(self) -> str:
        return f"{self.day} {self.provider}/{self.model or 'all models'}"

    @property
    def difference_usd(self) -> Decimal | None:
        """Billed less ledger; None where the files have tokens only."""
        return None if self.billed_usd is None else self.billed_usd - self.ledger_usd
