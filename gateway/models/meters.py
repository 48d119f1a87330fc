"""Meters that all processes add to, so that whichever of them is asked tells the same."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now


class Meter(models.Model):
    """One series of `/metrics`. `gateway.telemetry.store` writes it.

    A counter's `values` are its count; a histogram's those of its buckets, then sum and count, all since ever. A gauge is
    of one `process`, and worth nothing when that has not written it for a while.
    """

    key = models.BinaryField(primary_key=True, max_length=32, help_text="Hash of process, name and labels.")
    name = models.CharField(max_length=100)
    labels = models.JSONField()
    process = models.CharField(max_length=300, blank=True)
    values = ArrayField(models.FloatField())
    at = models.DateTimeField(db_default=Now(), help_text="When it was last written.")

    class Meta:
        db_table = "tollhouse_meter"

    def __str__(self) -> str:
        return f"{self.name} {self.labels}"
