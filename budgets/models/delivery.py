"""Where alerts go: channels, the routes that choose them, and what was delivered with the answer received."""

from typing import Any
from zoneinfo import available_timezones

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from budgets.models.alert import Alert


class Channel(models.Model):
    """A way to tell people, e.g. a Slack channel. Its secret is stored encrypted, or stands in an environment variable.

    What is below `active` is the delivery's own memory: see `budgets.delivery`.
    """

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=20)
    config = models.JSONField(
        default=dict, blank=True, help_text="What this kind of channel needs; see docs/channels.md."
    )
    secret_encrypted = models.TextField(blank=True, editable=False)
    secret_env = models.CharField(
        max_length=100, blank=True, help_text="Environment variable that holds the secret, where it is not stored here."
    )
    fallback = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="+",
        help_text="Gets what this channel cannot deliver.",
    )  # fmt: skip
    active = models.BooleanField(default=True, help_text="An inactive channel is sent nothing.")

    last_ok_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.CharField(max_length=500, blank=True, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False, help_text="Attempts that failed in a row.")
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    dead_since = models.DateTimeField(null=True, blank=True, editable=False)
    retry_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Nothing is sent before.")
    leased_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="A worker is at it until then; one that died loses it."
    )

    class Meta:
        db_table = "tollhouse_channel"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def fallbacks(self) -> list["Channel"]:
        """The active channels that get what this one cannot deliver, in order."""
        found: list[Channel] = []
        seen, at = {self.pk}, self.fallback
        while at is not None and at.pk not in seen:
            seen.add(at.pk)
            if at.active:
                found.append(at)
            at = at.fallback
        return found

    def clean(self) -> None:
        at = self.fallback
        seen = set()
        while at is not None and at.pk not in seen:
            if at.pk == self.pk:
                raise ValidationError(
                    {"fallback": "Channels that fall back to each other in a ring would tell nobody."}
                )
            seen.add(at.pk)
            at = at.fallback


class AlertRoute(models.Model):
    """Which alerts go to which channels. Routes are read in order; the first that matches decides, unless it goes on."""

    position = models.PositiveIntegerField(default=0, help_text="Routes are read from the smallest on.")
    name = models.CharField(max_length=100, unique=True)
    severity = models.CharField(
        max_length=10, choices=Alert.Severity, default=Alert.Severity.WARNING, help_text="The least severity it takes."
    )
    kinds = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    features = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    tenants = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    channels = models.ManyToManyField(Channel, related_name="routes", db_table="tollhouse_alert_route_channel")
    goes_on = models.BooleanField(default=False, help_text="Routes after it are read, too, when it has matched.")
    quiet_from = models.TimeField(null=True, blank=True, help_text="Quiet hours: alerts wait until they end.")
    quiet_until = models.TimeField(null=True, blank=True)
    quiet_timezone = models.CharField(max_length=64, default="UTC", help_text="IANA name, e.g. Europe/Paris.")
    breaks_through = models.CharField(
        max_length=10, choices=Alert.Severity, default=Alert.Severity.CRITICAL, blank=True,
        help_text="The least severity that does not wait for the end of quiet hours; empty: all wait.",
    )  # fmt: skip
    active = models.BooleanField(default=True)

    class Meta:
        db_table = "tollhouse_alert_route"
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.quiet_timezone not in available_timezones():
            told = f"{self.quiet_timezone!r} is no time zone; write an IANA name such as Europe/Paris."
            raise ValidationError({"quiet_timezone": told})
        if (self.quiet_from is None) != (self.quiet_until is None):
            raise ValidationError({"quiet_until": "Quiet hours need a beginning and an end, or neither."})
        if self.quiet_from is not None and self.quiet_from == self.quiet_until:
            raise ValidationError({"quiet_until": "Quiet hours that end when they begin would be none, or all day."})
        for name in ("kinds", "features", "tenants"):
            if not all(getattr(self, name)):
                raise ValidationError({name: "A pattern is empty; leave the list empty to match everything."})


class Delivery(models.Model):
    """One event of an alert on its way to one channel. There is one row for each, however often it is tried.

    `group` is the delivery whose message told this one, too; that delivery names itself.
    """

    class Event(models.TextChoices):
        TRIGGER = "trigger", "trigger"
        ACKNOWLEDGE = "acknowledge", "acknowledge"
        RESOLVE = "resolve", "resolve"

    class State(models.TextChoices):
        PENDING = "pending", "waiting"
        SENDING = "sending", "being sent"
        SENT = "sent", "sent"
        FAILED = "failed", "failed"
        SUPERSEDED = "superseded", "not needed any more"

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="deliveries")
    event = models.CharField(max_length=12, choices=Event)
    trigger = models.ForeignKey(
        "self", on_delete=models.CASCADE, null=True, blank=True, related_name="followers",
        help_text="What it follows: nothing but a trigger that was sent is acknowledged or resolved.",
    )  # fmt: skip
    group = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="members")
    state = models.CharField(max_length=12, choices=State, default=State.PENDING)
    held_back = models.BooleanField(
        default=False, help_text="It waited for the end of quiet hours, or after many of its kind: told with others."
    )
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now, help_text="Not tried before.")
    uncertain = models.BooleanField(default=False, help_text="It may have been heard although no answer was seen.")
    status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="HTTP status of the last answer.")
    answer = models.CharField(max_length=500, blank=True, help_text="The last answer, or why there was none.")
    reference = models.CharField(max_length=500, blank=True, help_text="What the channel knows the message by.")
    created_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "tollhouse_delivery"
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["alert", "channel", "event"], name="tollhouse_delivery_once"),
        ]
        indexes = [
            models.Index(
                fields=["channel", "next_at"],
                condition=Q(state__in=["pending", "sending"]),
                name="tollhouse_delivery_due",
            ),
            models.Index(fields=["channel", "-sent_at"], condition=Q(state="sent"), name="tollhouse_delivery_sent"),
        ]

    def __str__(self) -> str:
        return f"{self.event} of alert {self.alert_id} to {self.channel}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("Deliveries are planned in budgets.dispatch and written by budgets.delivery, in bulk.")

    @property
    def partly(self) -> bool:
        """Sent, and refused to some of the recipients; the answer says to whom."""
        return self.state == self.State.SENT and (self.status or 0) >= 400
