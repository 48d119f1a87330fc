"""Scores: what people and machines say of a call afterwards."""

from typing import Any, NoReturn

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Score(models.Model):
    """One judgement of a call; `gateway.scores` writes it. No text: what was said stays with whoever said it.

    Rows are never changed. A source that says something else of the same call adds a row with the next `number`, which
    counts from then on; `replaced` is what its row before said, so that sums over all rows are sums over those that count:
    `count(*) FILTER (WHERE replaced IS NULL)` sources, `sum(value - coalesce(replaced, 0))` of their values.

    What is known of the call is copied, so that figures need no call's row.
    """

    id = models.UUIDField(primary_key=True)
    call_id = models.UUIDField()
    called_at = models.DateTimeField(help_text="When the call was made: all scores of a call expire at once.")
    created_at = models.DateTimeField(db_default=Now())
    kind = models.CharField(max_length=20)
    name = models.CharField(max_length=100, blank=True, help_text="Of an eval.")
    value = models.FloatField(
        help_text="Feedback: -1 to 1; edit: the share that was changed; eval: 1 passed, 0 failed."
    )
    source = models.CharField(max_length=160, help_text="Who says so: user, app, eval, key:NAME or staff:NAME.")
    author = models.CharField(max_length=200, blank=True, help_text="The reference of the user who says so.")
    number = models.PositiveIntegerField(default=1)
    replaced = models.FloatField(null=True)

    feature = models.CharField(max_length=100)
    prompt_version = models.CharField(max_length=64, blank=True)
    tenant = models.CharField(max_length=200, blank=True)
    user_ref = models.CharField(max_length=200, blank=True)
    cohort = models.CharField(max_length=100, blank=True)
    key = models.CharField(max_length=100, blank=True)
    provider = models.CharField(max_length=100, blank=True)
    model = models.CharField(max_length=200, blank=True)
    outcome = models.CharField(max_length=20)
    labels = models.JSONField(default=dict)

    class Meta:
        db_table = "tollhouse_score"
        ordering = ["id"]
        default_permissions = ("view", "add")
        constraints = [
            models.UniqueConstraint(
                fields=["call_id", "kind", "name", "source", "author", "number"], name="tollhouse_score_once"
            ),
            models.CheckConstraint(condition=Q(value__gte=-1, value__lte=1), name="tollhouse_score_value"),
        ]
        indexes = [
            # The figures of a prompt's versions in a range of time.
            models.Index(fields=["feature", "called_at"], name="tollhouse_score_feature"),
            # Removal of what has expired.
            models.Index(fields=["called_at"], name="tollhouse_score_called"),
            models.Index(fields=["author"], name="tollhouse_score_author", condition=~Q(author="")),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.value:g}".replace("  ", " ")

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("Scores are written by gateway.score.")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("Scores are never deleted one by one; retention and erasure do it.")
