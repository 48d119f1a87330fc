"""Samples of how windows fill, and what they are expected to come to. The worker writes both, see `budgets.forecasting`."""

from django.db import models

from budgets.models.budget import AMOUNT_DIGITS
from budgets.models.window import Window


class WindowSample(models.Model):
    """How much a window had spent at a moment, of which it has at most 48 or so; kept for some weeks."""

    # No constraint in the database: its check locks the window's row, which calls in flight lock too, and wait for.
    window = models.ForeignKey(
        Window, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="samples"
    )
    at = models.DateTimeField()
    spent = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=9)

    class Meta:
        db_table = "tollhouse_window_sample"
        ordering = ["window", "at"]
        constraints = [models.UniqueConstraint(fields=["window", "at"], name="tollhouse_window_sample_once")]
        indexes = [models.Index(fields=["at"], name="tollhouse_window_sample_at")]

    def __str__(self) -> str:
        return f"{self.spent} at {self.at:%Y-%m-%d %H:%M}"


class Forecast(models.Model):
    """What a window is expected to have spent when it ends, in the metric of its budget. One row a window, renewed.

    Without `expected`, it is too early to say.
    """

    window = models.OneToOneField(
        Window, on_delete=models.DO_NOTHING, db_constraint=False, primary_key=True, related_name="forecast"
    )
    made_at = models.DateTimeField()
    expected = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=9, null=True)
    low = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=9, null=True)
    high = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=9, null=True)
    runs_out_at = models.DateTimeField(null=True, help_text="When the limit is reached; empty: not in this window.")
    note = models.CharField(max_length=200, help_text="What it rests on.")

    class Meta:
        db_table = "tollhouse_forecast"
        ordering = ["window"]

    def __str__(self) -> str:
        return f"forecast of {self.made_at:%Y-%m-%d %H:%M}"
