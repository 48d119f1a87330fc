from django.db import models
from django.db.models.functions import Now


class AuditEntry(models.Model):
    """Who did what to which object, when and why. A trigger refuses to change or delete an entry."""

    at = models.DateTimeField(db_default=Now())
    actor = models.CharField(max_length=150, help_text="User name, or the command that acted.")
    action = models.CharField(max_length=60, help_text="E.g. catalog.apply, payload.read, key.create.")
    subject = models.CharField(max_length=255, help_text="What it was done to.")
    reason = models.CharField(max_length=500, blank=True)
    detail = models.JSONField(default=dict, blank=True)

    class Meta:
        db_table = "tollhouse_audit"
        verbose_name_plural = "audit entries"
        permissions = [("report_compliance", "Can make compliance reports")]
        ordering = ["-id"]
        indexes = [models.Index(fields=["subject", "-id"], name="tollhouse_audit_subject")]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.subject}"


class AuditLink(models.Model):
    """An entry's link in the log's chain: made by a trigger at the end of the transaction that wrote the entry."""

    place = models.BigIntegerField(primary_key=True, help_text="From 1 on, without gaps.")
    entry_id = models.BigIntegerField(unique=True)
    hash = models.CharField(max_length=64, help_text="SHA-256 of the link before it and of the entry's content.")

    class Meta:
        db_table = "tollhouse_audit_link"

    def __str__(self) -> str:
        return f"{self.place} {self.hash[:16]}"


class AuditHead(models.Model):
    """The end of the chain: one row, so that entries cannot be taken off the end unnoticed."""

    id = models.SmallIntegerField(primary_key=True)
    entries = models.BigIntegerField()
    hash = models.CharField(max_length=64, blank=True)

    class Meta:
        db_table = "tollhouse_audit_head"

    def __str__(self) -> str:
        return f"{self.entries}:{self.hash}"
