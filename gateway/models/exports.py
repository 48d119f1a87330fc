"""Exports of calls that the worker makes: who asked for which, how far each is, and the files until they are deleted."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now


class Export(models.Model):
    """Calls that somebody asked for as a file. It is deleted, with its file, at `expires_at`."""

    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        RUNNING = "running", "running"
        READY = "ready", "ready"
        FAILED = "failed", "failed"
        CANCELLED = "cancelled", "cancelled"

    class Format(models.TextChoices):
        CSV = "csv", "CSV"
        PARQUET = "parquet", "Parquet"

    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", editable=False)
    asked_at = models.DateTimeField(db_default=Now(), editable=False)
    tenants = ArrayField(
        models.CharField(max_length=200), null=True, editable=False,
        help_text="Whose calls are in it: the tenants that the user was limited to; empty: all.",
    )  # fmt: skip
    format = models.CharField(max_length=10, choices=Format, editable=False)
    query = models.CharField(max_length=2000, blank=True, editable=False)
    since = models.DateTimeField(editable=False)
    until = models.DateTimeField(editable=False)
    columns = ArrayField(models.CharField(max_length=40), editable=False)

    state = models.CharField(max_length=10, choices=State, default=State.WAITING, editable=False)
    error = models.CharField(max_length=500, blank=True, editable=False)
    rows = models.BigIntegerField(default=0, editable=False, help_text="Calls that are in the file by now.")
    share = models.FloatField(default=0, editable=False, help_text="How much of the range is read, 0 to 1.")
    size = models.BigIntegerField(default=0, editable=False, help_text="Bytes of the file.")
    stored = models.BigIntegerField(default=0, editable=False, help_text="Bytes that it takes in the database.")
    next_id = models.UUIDField(null=True, editable=False, help_text="Where reading goes on.")
    attempts = models.PositiveSmallIntegerField(
        default=0, editable=False, help_text="Workers that took it up; only the last one writes."
    )
    seen_at = models.DateTimeField(null=True, editable=False, help_text="When its worker wrote last.")
    ended_at = models.DateTimeField(null=True, editable=False)
    expires_at = models.DateTimeField(null=True, editable=False, help_text="When it is deleted; empty until it ended.")

    class Meta:
        db_table = "tollhouse_export"
        ordering = ["-id"]
        # Who may export calls sees those of such calls; nobody adds or changes one by hand.
        default_permissions = ()
        permissions = [
            ("export_configuration", "Can export configuration as files"),
            ("import_configuration", "Can import configuration from files"),
        ]
        indexes = [
            models.Index(
                fields=["id"], condition=models.Q(state__in=["waiting", "running"]), name="tollhouse_export_open"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_format_display()} {self.pk}"

    @property
    def open(self) -> bool:
        """Whether it is not at its end yet."""
        return self.state in (self.State.WAITING, self.State.RUNNING)

    @property
    def expected(self) -> int | None:
        """How many calls it will have, by those that it has and how far it is; None while that says too little."""
        if self.state == self.State.READY:
            return self.rows
        return round(self.rows / self.share) if self.share >= 0.02 else None


class ExportPart(models.Model):
    """A piece of an export's file, compressed. Pieces in the order of their numbers are the file."""

    # In the database too (a migration says so), as retention deletes exports there.
    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        db_table = "tollhouse_export_part"
        constraints = [models.UniqueConstraint(fields=["export", "number"], name="tollhouse_export_part_once")]

    def __str__(self) -> str:
        return f"{self.export_id}.{self.number}"
