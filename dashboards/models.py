"""How far the rollups are. Their own tables have no models: they are written and read by SQL alone."""

from django.db import models


class RollupState(models.Model):
    """The one row that says what the rollups have counted: all calls and adjustments with `written` below the watermark.

    Without it, or while it is not `built`, nothing is counted and readers take the calls themselves.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    watermark = models.BigIntegerField(help_text="Rows written by transactions before this one are counted.")
    offset = models.BigIntegerField(
        default=0, help_text="What is added to ids of transactions, which start anew after a restore elsewhere."
    )
    cluster = models.CharField(max_length=20, help_text="The database cluster that the transactions are of.")
    time_zone = models.CharField(max_length=100, help_text="Whose days the days are.")
    shift_s = models.PositiveSmallIntegerField(
        default=0, help_text="Seconds past the full hour (UTC) at which hours begin, as in that time zone."
    )
    built = models.BooleanField(default=False, help_text="Everything before the watermark is counted.")
    built_until = models.DateTimeField(null=True, blank=True, help_text="How far building them anew has come.")
    rolled_at = models.DateTimeField(null=True, blank=True, help_text="When new rows were last counted.")
    moved_at = models.DateTimeField(null=True, blank=True, help_text="When the watermark last moved.")

    class Meta:
        db_table = "tollhouse_rollup_state"
        verbose_name_plural = "rollup state"

    def __str__(self) -> str:
        return f"counted up to transaction {self.watermark}"
