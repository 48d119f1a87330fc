"""How far the rollups are, whose own tables are written and read by SQL alone; and views that readers saved."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from dashboards.digests.models import Digest, DigestDelivery

__all__ = ["Digest", "DigestDelivery", "RollupState", "SavedView"]


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
    hours_since = models.DateTimeField(
        help_text="Since when there are all hours of the kinds whose hours are kept for some days only."
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


class SavedView(models.Model):
    """A page of the dashboards with its filters, under a name: its owner's or, where it is `shared`, of all who see the page."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    page = models.CharField(max_length=40)
    name = models.CharField(max_length=80)
    query = models.CharField(max_length=4000, blank=True, help_text="The query string of its address.")
    shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "tollhouse_saved_view"
        ordering = ["name", "id"]
        constraints = [models.UniqueConstraint(fields=["owner", "page", "name"], name="tollhouse_saved_view_once")]
        indexes = [models.Index(fields=["page"], condition=models.Q(shared=True), name="tollhouse_saved_view_shared")]

    def __str__(self) -> str:
        return self.name
