"""Kill switches."""

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Switch(models.Model):
    """A kill switch: while it is in force, no call of its scope passes."""

    class Scope(models.TextChoices):
        FEATURE = "feature", "feature"
        MODEL = "model", "model"
        PROVIDER = "provider", "provider"
        TENANT = "tenant", "tenant"
        EVERYTHING = "everything", "everything"

    scope = models.CharField(max_length=20, choices=Scope)
    value = models.CharField(
        max_length=200, blank=True, help_text="Feature slug, model, provider or tenant; empty for everything."
    )
    reason = models.CharField(max_length=500, help_text="Shown to everyone whose call is refused.")
    set_by = models.CharField(max_length=150, blank=True, editable=False)
    set_at = models.DateTimeField(db_default=Now(), editable=False)
    lifted_by = models.CharField(max_length=150, blank=True, editable=False)
    lifted_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        db_table = "tollhouse_switch"
        verbose_name_plural = "switches"
        ordering = ["-set_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["scope", "value"], condition=Q(lifted_at=None), name="tollhouse_switch_once_in_force"
            ),
            models.CheckConstraint(
                condition=Q(scope="everything", value="") | (~Q(scope="everything") & ~Q(value="")),
                name="tollhouse_switch_value_fits_scope",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.value}".strip()

    def clean(self) -> None:
        if (self.scope == self.Scope.EVERYTHING) == bool(self.value):
            raise ValidationError({"value": "Leave this empty for everything; fill it in for any other scope."})
