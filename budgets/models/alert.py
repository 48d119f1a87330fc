"""Alerts: what a person should know, from the moment that it was found until it is over."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Alert(models.Model):
    """Something a person should know, written once, in the transaction that found it.

    An alert is open until `resolved_at`. What belongs to a period ends with it: `ends_at` is when it resolves by itself.
    Things that happened and are over (a lost call) end with their hour.
    """

    class Severity(models.TextChoices):
        INFO = "info", "info"
        WARNING = "warning", "warning"
        CRITICAL = "critical", "critical"

    kind = models.CharField(max_length=40)
    severity = models.CharField(max_length=10, choices=Severity)
    dedup_key = models.CharField(max_length=255, unique=True)
    summary = models.CharField(max_length=500)
    detail = models.JSONField(default=dict, blank=True)
    feature = models.CharField(max_length=100, blank=True, db_default="", help_text="Feature that it concerns, if one.")
    tenant = models.CharField(max_length=200, blank=True, db_default="", help_text="Tenant that it concerns, if one.")
    created_at = models.DateTimeField(db_default=Now())
    ends_at = models.DateTimeField(null=True, blank=True, help_text="When it resolves by itself, e.g. with its window.")
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolution = models.CharField(max_length=500, blank=True, db_default="", help_text="Why it is over.")
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=150, blank=True, db_default="", help_text="Who looks after it.")
    routed_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When the worker chose its channels."
    )
    end_routed_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When it planned to tell that it is over."
    )

    class Meta:
        db_table = "tollhouse_alert"
        permissions = [("acknowledge_alert", "Can acknowledge alerts")]
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["-created_at"], name="tollhouse_alert_newest"),
            models.Index(fields=["ends_at"], condition=Q(resolved_at=None), name="tollhouse_alert_open"),
            models.Index(fields=["id"], condition=Q(routed_at=None), name="tollhouse_alert_unrouted"),
            models.Index(
                fields=["id"],
                condition=Q(resolved_at__isnull=False, end_routed_at=None),
                name="tollhouse_alert_end_unrouted",
            ),
        ]

    def __str__(self) -> str:
        return self.summary

    @property
    def state(self) -> str:
        """`open`, `acknowledged` or `resolved`."""
        return "resolved" if self.resolved_at else "acknowledged" if self.acknowledged_at else "open"
