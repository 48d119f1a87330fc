"""Digests that somebody has set up, and each of them on its way."""

from typing import Any, cast
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from dashboards.digests.schedule import Every, Schedule

#: Addresses of one digest; they see each other's.
MOST_RECIPIENTS = 50


class Digest(models.Model):
    """What is sent to whom, and when. It says what its owner may see at the time of sending."""

    class Repeat(models.TextChoices):
        DAY = "day", "every day"
        WEEK = "week", "every week"
        MONTH = "month", "every month"

    class Weekday(models.IntegerChoices):
        MONDAY = 0, "Monday"
        TUESDAY = 1, "Tuesday"
        WEDNESDAY = 2, "Wednesday"
        THURSDAY = 3, "Thursday"
        FRIDAY = 4, "Friday"
        SATURDAY = 5, "Saturday"
        SUNDAY = 6, "Sunday"

    name = models.CharField(max_length=100, unique=True, help_text="Its subject, e.g. Spend of the week.")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+",
        help_text="It says what this person may see when it is sent; without that right it is not sent.",
    )  # fmt: skip
    overview = models.BooleanField(
        default=True,
        help_text=(
            "Spend beside budgets and forecast, calls, errors, latency, what moved most, open alerts and switches, of the whole "
            "days since the digest before."
        ),
    )
    views = models.ManyToManyField(
        "tollhouse_dashboards.SavedView", blank=True, related_name="+", db_table="tollhouse_digest_view",
        help_text="Saved on the dashboards' pages, under Views: your own and those that are shared.",
    )  # fmt: skip
    own_ranges = models.BooleanField(
        "views keep their time", default=True,
        help_text="Views show the time that they were saved with; otherwise the whole days since the digest before.",
    )  # fmt: skip
    emails = ArrayField(models.EmailField(), default=list, blank=True)
    channel = models.ForeignKey(
        "tollhouse_budgets.Channel", on_delete=models.PROTECT, null=True, blank=True, related_name="+",
        verbose_name="Slack channel",
        help_text=(
            "One of the channels of alerts. With a bot's token (scopes chat:write and files:write) charts are posted as images; "
            "an incoming webhook cannot take images, so it gets figures and links."
        ),
    )  # fmt: skip
    every = models.CharField(max_length=5, choices=Repeat, default=Repeat.WEEK)
    weekday = models.PositiveSmallIntegerField(choices=Weekday, default=Weekday.MONDAY, help_text="Of a weekly digest.")
    day = models.PositiveSmallIntegerField(
        "day of the month", default=1, validators=[MinValueValidator(1), MaxValueValidator(31)],
        help_text="Of a monthly digest; of a month that is shorter, its last day.",
    )  # fmt: skip
    hour = models.PositiveSmallIntegerField(
        default=8, validators=[MaxValueValidator(23)], help_text="0 to 23, by the clock of the time zone."
    )
    timezone = models.CharField(
        "time zone",
        max_length=64,
        default="UTC",
        help_text="IANA name, e.g. Europe/Paris; its changes of clocks count.",
    )
    active = models.BooleanField(default=True, help_text="An inactive digest is sent by “Send now” alone.")
    next_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        db_table = "tollhouse_digest"
        ordering = ["name"]
        indexes = [models.Index(fields=["next_at"], condition=Q(active=True), name="tollhouse_digest_next")]

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def schedule(self) -> Schedule:
        """When it is due, whether it is active or not."""
        return Schedule(
            every=cast(Every, self.every), hour=self.hour, zone=self.zone, weekday=self.weekday, day=self.day
        )

    def clean(self) -> None:
        if self.timezone not in available_timezones():
            told = f"{self.timezone!r} is no time zone; write an IANA name such as Europe/Paris."
            raise ValidationError({"timezone": told})
        if len(self.emails or ()) > MOST_RECIPIENTS:
            raise ValidationError({"emails": f"At most {MOST_RECIPIENTS} addresses; use an address of a group."})


class DigestDelivery(models.Model):
    """A digest that was due, on its way to its readers by email or to Slack: one row for each, however often it is tried."""

    class Way(models.TextChoices):
        EMAIL = "email", "email"
        SLACK = "slack", "Slack"

    class State(models.TextChoices):
        PENDING = "pending", "waiting"
        SENDING = "sending", "being sent"
        SENT = "sent", "sent"
        FAILED = "failed", "not sent"

    digest = models.ForeignKey(Digest, on_delete=models.CASCADE, related_name="deliveries")
    way = models.CharField(max_length=5, choices=Way)
    due_at = models.DateTimeField(help_text="When it was due, or asked for.")
    asked_by = models.CharField(max_length=150, blank=True, help_text="Who asked for it now; empty: it was due.")
    missed = models.PositiveIntegerField(
        default=0, help_text="Earlier ones left out, as no worker ran when they were due."
    )
    state = models.CharField(max_length=8, choices=State, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now, help_text="Not tried before.")
    leased_until = models.DateTimeField(null=True, blank=True, help_text="A worker is at it until then.")
    status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Status of the last answer.")
    answer = models.CharField(max_length=500, blank=True, help_text="The last answer, or why there was none.")
    reference = models.CharField(max_length=200, blank=True, help_text="The message in Slack, once it is there.")
    created_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "tollhouse_digest_delivery"
        ordering = ["-due_at", "way"]
        constraints = [models.UniqueConstraint(fields=["digest", "due_at", "way"], name="tollhouse_digest_once")]
        indexes = [
            models.Index(
                fields=["next_at"], condition=Q(state__in=["pending", "sending"]), name="tollhouse_digest_due"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.digest} of {self.due_at:%Y-%m-%d %H:%M} UTC by {self.way}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("Deliveries are planned in dashboards.digests.plan and written by dashboards.digests.send.")

    @property
    def partly(self) -> bool:
        """Sent, and refused to some of the recipients; the answer says to whom."""
        return self.state == self.State.SENT and (self.status or 0) >= 400
