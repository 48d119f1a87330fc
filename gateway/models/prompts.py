"""Prompts: immutable versions with an address, and the pointer that says which of them are live."""

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from gateway.models.catalog import Feature


class Prompt(models.Model):
    """A feature's template, as the sequence of its versions."""

    feature = models.OneToOneField(Feature, on_delete=models.PROTECT, related_name="prompt")

    class Meta:
        db_table = "tollhouse_prompt"
        ordering = ["feature__slug"]

    def __str__(self) -> str:
        return self.feature.slug


class PromptVersion(models.Model):
    """One content of a prompt under its address. A trigger refuses to change or delete it."""

    class Origin(models.TextChoices):
        CATALOG = "catalog", "catalog file"
        ADMIN = "admin", "admin"
        OBSERVED = "observed", "observed in a call that brought its own messages"

    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="versions")
    address = models.CharField(max_length=64, help_text="SHA-256 of the content's canonical JSON (RFC 8785).")
    content = models.JSONField(help_text="Messages template, variables, tools, response format, parameters.")
    origin = models.CharField(max_length=10, choices=Origin)
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.CharField(max_length=150, blank=True)

    class Meta:
        db_table = "tollhouse_prompt_version"
        ordering = ["-created_at", "-id"]
        permissions = [("run_playground", "Can run prompts in the playground, at its budget's cost")]
        constraints = [
            models.UniqueConstraint(fields=["prompt", "address"], name="tollhouse_prompt_version_once"),
            models.CheckConstraint(
                condition=Q(address__regex="^[0-9a-f]{64}$"), name="tollhouse_prompt_version_address"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.prompt}@{self.short}"

    @property
    def short(self) -> str:
        return self.address[:8]


class Deployment(models.Model):
    """Which versions of a prompt are live. Only `gateway.prompts.deploy` moves it; a trigger ties it to its prompt."""

    prompt = models.OneToOneField(Prompt, on_delete=models.PROTECT, related_name="deployment")
    moved_at = models.DateTimeField(db_default=Now())
    moved_by = models.CharField(max_length=150, blank=True)
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        db_table = "tollhouse_deployment"

    def __str__(self) -> str:
        return str(self.prompt)


class Variant(models.Model):
    """One live version with its share of the traffic. A trigger refuses the version of another prompt."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="variants")
    version = models.ForeignKey(PromptVersion, on_delete=models.PROTECT, related_name="variants")
    name = models.CharField(max_length=40, default="live")
    weight = models.PositiveIntegerField(default=100, validators=[MinValueValidator(1)])

    class Meta:
        db_table = "tollhouse_variant"
        ordering = ["deployment", "id"]
        constraints = [
            models.UniqueConstraint(fields=["deployment", "version"], name="tollhouse_variant_version_once"),
            models.UniqueConstraint(fields=["deployment", "name"], name="tollhouse_variant_name_once"),
            models.CheckConstraint(condition=Q(weight__gte=1), name="tollhouse_variant_weight_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.version} {self.name}"
