"""Calls, their payloads, holds and adjustments: the ledger's tables. The ORM reads them; the ledger writes them."""

from datetime import UTC, datetime
from typing import Any, NoReturn
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from budgets.models import AMOUNT_DIGITS
from gateway.models.bills import BillLine
from gateway.types import OUTCOMES, TOKEN_PARTS


def uuid7_time(id: UUID) -> datetime:
    """When a UUIDv7 was made, to the millisecond (RFC 9562, section 5.7)."""
    return datetime.fromtimestamp((id.int >> 80) / 1000, UTC)


class LedgerRow(models.Model):
    """A row that only the ledger may write: the ORM's ways to change one raise."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(f"{type(self).__name__} rows are written by the ledger; book an adjustment instead.")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(f"{type(self).__name__} rows are never deleted one by one; retention drops whole partitions.")


class Call(LedgerRow):
    """One passage through the gate; one row, whatever happened. Partitioned by range on `id`, a UUIDv7."""

    id = models.UUIDField(primary_key=True)
    feature = models.CharField(max_length=100)
    tenant = models.CharField(max_length=200, blank=True)
    user_ref = models.CharField(max_length=200, blank=True)
    cohort = models.CharField(max_length=100, blank=True)
    session_id = models.CharField(max_length=200, blank=True)
    trace_id = models.CharField(max_length=32, blank=True)
    span_id = models.CharField(max_length=16, blank=True)
    parent = models.UUIDField(null=True, blank=True)
    key = models.CharField(max_length=100, blank=True)
    source = models.CharField(max_length=20)
    labels = models.JSONField(default=dict)

    prompt_version = models.CharField(max_length=64, blank=True)
    variant = models.CharField(max_length=40, blank=True)

    operation = models.CharField(max_length=20)
    route = models.CharField(max_length=100, blank=True)
    provider = models.CharField(max_length=100, blank=True)
    model_asked = models.CharField(max_length=200, blank=True)
    model_served = models.CharField(max_length=200, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    fallback_from = models.CharField(max_length=300, blank=True)
    streamed = models.BooleanField(default=False)
    spooled = models.BooleanField(
        default=False, db_default=False, help_text="Written to a local file first, as the database was away."
    )
    cache_hit = models.BooleanField(default=False)

    input_tokens = models.PositiveIntegerField(default=0, help_text="Input without cached and audio tokens.")
    cache_read_tokens = models.PositiveIntegerField(default=0)
    cache_write_tokens = models.PositiveIntegerField(default=0)
    audio_input_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0, help_text="Output without reasoning and audio.")
    reasoning_tokens = models.PositiveIntegerField(default=0)
    audio_output_tokens = models.PositiveIntegerField(default=0)
    usage_estimated = models.BooleanField(default=False)
    usage_adds_up = models.BooleanField(default=True, help_text="The provider's parts add up to its total.")

    price_id = models.BigIntegerField(
        null=True, blank=True, help_text="Row of the price book; empty: no price was known."
    )
    cost_usd = models.DecimalField(max_digits=18, decimal_places=9, null=True, blank=True)
    held_usd = models.DecimalField(max_digits=18, decimal_places=9, null=True, blank=True)
    overrun_usd = models.DecimalField(max_digits=18, decimal_places=9, default=0)

    latency_ms = models.FloatField(default=0)
    first_token_ms = models.FloatField(null=True, blank=True)
    gate_ms = models.FloatField(default=0, help_text="Latency without the time spent at providers.")
    redaction_ms = models.FloatField(default=0)
    trace = models.JSONField(
        default=dict, help_text="Milliseconds of each stage; attempts, where there was more than one."
    )

    tool_calls = models.PositiveSmallIntegerField(default=0)
    outcome = models.CharField(max_length=20)
    error_class = models.CharField(max_length=60, blank=True)
    reason = models.CharField(max_length=500, blank=True, help_text="Why it was refused or failed, in our words.")
    http_status = models.PositiveSmallIntegerField(null=True, blank=True)
    finish_reason = models.CharField(max_length=40, blank=True)
    entities = models.JSONField(default=dict, help_text="Personal data found, as counts by type.")
    policy = models.CharField(max_length=100, blank=True)

    class Meta:
        db_table = "tollhouse_call"
        ordering = ["-id"]
        permissions = [
            ("export_call", "Can export calls"),
            ("export_person", "Can export what is kept of a person"),
            ("erase_person", "Can erase what is kept of a person"),
        ]
        constraints = [models.CheckConstraint(condition=Q(outcome__in=OUTCOMES), name="tollhouse_call_outcome_known")]
        indexes = [
            models.Index(fields=["feature", "-id"], name="tollhouse_call_feature"),
            models.Index(fields=["tenant", "-id"], name="tollhouse_call_tenant", condition=~Q(tenant="")),
            models.Index(fields=["session_id", "-id"], name="tollhouse_call_session", condition=~Q(session_id="")),
            models.Index(fields=["outcome", "-id"], name="tollhouse_call_not_ok", condition=~Q(outcome="ok")),
        ]

    def __str__(self) -> str:
        return f"{self.feature} {self.id}"

    @property
    def started_at(self) -> datetime:
        return uuid7_time(self.id)

    @property
    def total_tokens(self) -> int:
        return sum(getattr(self, part) for part in TOKEN_PARTS)

    @property
    def all_input_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.audio_input_tokens

    @property
    def all_output_tokens(self) -> int:
        return self.output_tokens + self.reasoning_tokens + self.audio_output_tokens


class Payload(LedgerRow):
    """What a call said and heard, as far as its policy lets it be kept. Same key as the call; partitioned likewise."""

    id = models.UUIDField(primary_key=True)
    content = models.JSONField(help_text="Messages and reply, redacted, or their keyed hash, as the policy says.")

    class Meta:
        db_table = "tollhouse_payload"
        permissions = [("read_payload", "Can read what calls said and heard")]

    def __str__(self) -> str:
        return str(self.id)


class Owner(LedgerRow):
    """A ledger writer, one per process; silent too long, it counts as dead and its holds as lost."""

    id = models.UUIDField(primary_key=True)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "tollhouse_owner"

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class Worker(models.Model):
    """A running `manage.py worker`; a row that was not seen for a while is of one that ended."""

    id = models.UUIDField(primary_key=True)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "tollhouse_worker"

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class Hold(LedgerRow):
    """The most that a call in flight can cost, set aside in its windows."""

    call_id = models.UUIDField(primary_key=True)
    owner = models.UUIDField(db_index=True)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(db_index=True)
    windows = ArrayField(models.BigIntegerField(), help_text="Ids of the windows it is held in.")
    amounts = ArrayField(
        models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=9), help_text="One for each window, in its metric."
    )
    buckets = ArrayField(
        models.BigIntegerField(), null=True, blank=True, help_text="Ids of the rate limits' buckets that it took from."
    )
    bucket_tokens = models.BigIntegerField(null=True, blank=True, help_text="Tokens that it took of each of these.")
    draft = models.JSONField(help_text="The call row as known so far; becomes a `lost` row when the owner dies.")

    class Meta:
        db_table = "tollhouse_hold"

    def __str__(self) -> str:
        return str(self.call_id)


class Adjustment(LedgerRow):
    """A correction of a call's cost or tokens after its row was written; rows themselves stay as they are.

    Or of a whole line of a vendor's bill, where nobody knows which calls differ.
    """

    call_id = models.UUIDField(null=True, blank=True, help_text="Empty: it corrects a whole line of a bill.")
    bill_line = models.OneToOneField(
        BillLine, on_delete=models.PROTECT, null=True, blank=True, related_name="adjustment"
    )
    created_at = models.DateTimeField(db_default=Now())
    cost_usd = models.DecimalField(max_digits=18, decimal_places=9, help_text="To be added to the call's cost.")
    tokens = models.BigIntegerField(default=0, help_text="To be added to the call's tokens.")
    price_id = models.BigIntegerField(
        null=True, blank=True, help_text="Row of the price book that the call was repriced with."
    )
    outcome = models.CharField(
        max_length=20, blank=True, help_text="How the call really ended, where that is known now."
    )
    reason = models.CharField(max_length=500)
    actor = models.CharField(max_length=150)

    class Meta:
        db_table = "tollhouse_adjustment"
        ordering = ["-id"]
        indexes = [models.Index(fields=["call_id"], name="tollhouse_adjustment_call")]
        constraints = [
            models.UniqueConstraint(
                fields=["call_id"], condition=Q(actor="ledger"), name="tollhouse_adjustment_late_settle_once"
            ),
            models.CheckConstraint(
                condition=Q(call_id__isnull=False) ^ Q(bill_line__isnull=False),
                name="tollhouse_adjustment_of_call_or_bill",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.call_id or self.bill_line} {self.cost_usd:+}"
