"""The price book: what a model costs, since when, and who says so."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Price(models.Model):
    """Prices of a model from a date on. A trigger refuses to change or delete one: a correction is a new row."""

    provider = models.CharField(max_length=100, help_text="As the price book names it, e.g. openai.")
    model = models.CharField(max_length=200, help_text="The model's id at the provider.")
    effective_from = models.DateTimeField(null=True, blank=True, help_text="Empty: from the beginning.")
    rates = models.JSONField(help_text='US dollars per million tokens, as texts: {"input": "2.50", "output": "10", …}.')
    match = models.JSONField(
        null=True, blank=True, help_text="Which further model names this row is for; empty: its own only."
    )
    source = models.CharField(max_length=100, help_text="Who says so, e.g. genai-prices 0.2.3, or `catalog`.")
    source_url = models.URLField(max_length=500, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "tollhouse_price"
        ordering = ["provider", "model", "-effective_from", "-id"]
        indexes = [models.Index(fields=["provider", "model"], name="tollhouse_price_model")]
        constraints = [
            models.CheckConstraint(condition=~Q(provider="") & ~Q(model=""), name="tollhouse_price_names_a_model"),
        ]

    def __str__(self) -> str:
        since = f" from {self.effective_from:%Y-%m-%d}" if self.effective_from else ""
        return f"{self.provider}/{self.model}{since}"
