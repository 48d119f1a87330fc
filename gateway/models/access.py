"""Who may see what: roles, and users who are limited to tenants."""

from django.conf import settings
from django.contrib.auth.models import Group
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q


class Role(models.Model):
    """A role of `gateway.roles` and the group that stands for it; the group may be renamed.

    `given` are permissions, as `app.codename`, that the role has brought to its group. Each is brought once, so that what
    an operator adds to the group or takes away from it stays so.
    """

    name = models.CharField(max_length=40, unique=True)
    group = models.OneToOneField(Group, on_delete=models.CASCADE, related_name="+")
    given = models.JSONField(default=list, blank=True)

    class Meta:
        db_table = "tollhouse_role"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class TenantLimit(models.Model):
    """Limits a user, or all users of a group, to the rows of some tenants. Several limits of a user add up."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="+",
        help_text="Either a user …",
    )  # fmt: skip
    group = models.OneToOneField(
        Group,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text="… or a group: all its users.",
    )
    tenants = ArrayField(
        models.CharField(max_length=200), help_text="Tenants whose rows may be seen, as the rows name them."
    )

    class Meta:
        db_table = "tollhouse_tenant_limit"
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=True) ^ Q(group__isnull=True),
                name="tollhouse_tenant_limit_of_one",
                violation_error_message="Choose a user or a group, one of the two.",
            )
        ]

    def __str__(self) -> str:
        whom = f"user {self.user}" if self.user else f"group {self.group}"
        return f"{whom}: {', '.join(self.tenants)}"

    def clean(self) -> None:
        if not self.tenants or not all(self.tenants):
            raise ValidationError({"tenants": "Name one tenant or more; without a limit a user sees all of them."})
