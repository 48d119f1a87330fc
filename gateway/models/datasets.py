"""Datasets: what calls said, kept to try prompts and models on. They outlive the payloads that they were taken from."""

from django.db import models
from django.db.models.functions import Now


class Dataset(models.Model):
    """A named collection of examples."""

    name = models.SlugField(max_length=100, unique=True, help_text="Evals know it by this name.")
    description = models.CharField(max_length=500, blank=True, help_text="What it is to show.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "tollhouse_dataset"
        ordering = ["name"]
        permissions = [("export_dataset", "Can export datasets")]

    def __str__(self) -> str:
        return self.name


class DatasetItem(models.Model):
    """An example: redacted messages, the reply that they had, and what a good reply is."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="items")
    call_id = models.UUIDField(null=True, blank=True, editable=False, help_text="The call that it was taken from.")
    feature = models.CharField(max_length=100, editable=False)
    prompt_version = models.CharField(max_length=64, blank=True, editable=False)
    # Whose data it is, so that an erasure finds it when the call's row is long gone.
    tenant = models.CharField(max_length=200, blank=True, editable=False)
    user_ref = models.CharField(max_length=200, blank=True, editable=False)
    messages = models.JSONField(editable=False, help_text="As the provider was sent them, redacted.")
    reply = models.JSONField(default=list, editable=False)
    expected = models.TextField(
        blank=True, max_length=20_000, help_text="What a good reply is: its text, or what has to be true of it."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.CharField(max_length=150, editable=False)

    class Meta:
        db_table = "tollhouse_dataset_item"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "call_id"], name="tollhouse_dataset_item_call_once"),
        ]
        indexes = [models.Index(fields=["user_ref"], name="tollhouse_dataset_item_user")]

    def __str__(self) -> str:
        return f"{self.feature} {self.pk}"
