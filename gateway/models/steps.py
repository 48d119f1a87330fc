"""Steps: what an application did around its calls, such as retrieval and tools."""

from datetime import datetime
from typing import Any, NoReturn

from django.db import models
from django.db.models import Q

from gateway.models.calls import uuid7_time


class Step(models.Model):
    """One block of `gateway.step`; `gateway.steps.writer` writes it when it has ended. No content: a name, times, small counts.

    `id` is of the moment at which it began (UUIDv7). `parent` is the step that it was in, or the call that it was for.
    """

    id = models.UUIDField(primary_key=True)
    parent = models.UUIDField(null=True)
    began_at = models.DateTimeField()
    kind = models.CharField(max_length=20)
    name = models.CharField(max_length=100)
    latency_ms = models.FloatField()
    outcome = models.CharField(max_length=20)
    error_class = models.CharField(max_length=60, blank=True)
    counts = models.JSONField(default=dict)

    tenant = models.CharField(max_length=200, blank=True)
    user_ref = models.CharField(max_length=200, blank=True)
    session_id = models.CharField(max_length=200, blank=True)
    trace_id = models.CharField(max_length=32, blank=True)
    span_id = models.CharField(max_length=16, blank=True)

    class Meta:
        db_table = "tollhouse_step"
        ordering = ["id"]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["parent"], name="tollhouse_step_parent", condition=Q(parent__isnull=False)),
            models.Index(fields=["trace_id"], name="tollhouse_step_trace", condition=~Q(trace_id="")),
            models.Index(fields=["session_id", "-id"], name="tollhouse_step_session", condition=~Q(session_id="")),
            # Removal of what has expired.
            models.Index(fields=["began_at"], name="tollhouse_step_began"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("Steps are written by gateway.step.")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("Steps are never deleted one by one; retention and erasure do it.")

    @property
    def started_at(self) -> datetime:
        return uuid7_time(self.id)
