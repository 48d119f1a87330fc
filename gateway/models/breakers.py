"""Trips of breakers, so that a page can tell how targets are in all processes."""

from django.db import models
from django.db.models import Q


class BreakerTrip(models.Model):
    """A target's breaker that opened in one process, and what became of it. `gateway.trips` writes it.

    Until `closed_at` it is open up to `retry_at`, and half open from then on. A process takes its breakers with it: what
    it has not closed ends with its `Owner` row.
    """

    id = models.UUIDField(primary_key=True)
    process = models.UUIDField(help_text="The ledger writer of the process, an Owner while it lives.")
    provider = models.CharField(max_length=100)
    model = models.CharField(max_length=200)
    opened_at = models.DateTimeField()
    retry_at = models.DateTimeField(help_text="From when on a call is let through as a probe.")
    closed_at = models.DateTimeField(null=True, blank=True, help_text="When a probe found the target well.")
    failures = models.PositiveIntegerField(help_text="Failures in a row that opened it.")
    failed_probes = models.PositiveIntegerField(default=0)
    error_class = models.CharField(max_length=100, help_text="Of the last failure, a failed probe's among them.")
    http_status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="That it came with, if any.")

    class Meta:
        db_table = "tollhouse_breaker_trip"
        indexes = [
            models.Index(fields=["opened_at"], name="tollhouse_breaker_trip_time"),
            models.Index(fields=["provider", "model", "opened_at"], name="tollhouse_breaker_trip_newest"),
            models.Index(fields=["process"], condition=Q(closed_at=None), name="tollhouse_breaker_trip_open"),
        ]

    def __str__(self) -> str:
        return f"{self.provider}/{self.model} {self.opened_at:%Y-%m-%d %H:%M:%S}"
