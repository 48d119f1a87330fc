"""Who asks for help, who gives it, and what they write to each other."""

from typing import Any

from django.conf import settings
from django.db import models
from django.urls import reverse


class Organisation(models.Model):
    """A customer: a company whose people write tickets."""

    name = models.CharField(max_length=100, unique=True)
    slug = models.SlugField(unique=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Agent(models.Model):
    """One of us who answers tickets, for the organisations that they serve."""

    class Team(models.TextChoices):
        FRONTLINE = "frontline", "Front line"
        BILLING = "billing", "Billing"
        TECHNICAL = "technical", "Technical"

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    team = models.CharField(max_length=20, choices=Team.choices, default=Team.FRONTLINE)
    organisations = models.ManyToManyField(Organisation, related_name="agents", blank=True)

    class Meta:
        ordering = ["user__first_name"]

    def __str__(self) -> str:
        return self.user.get_full_name() or self.user.get_username()


class TicketQuerySet(models.QuerySet["Ticket"]):
    def visible_to(self, user: Any) -> "TicketQuerySet":
        """The tickets of the organisations that this user serves; none for whoever is no agent."""
        return self.filter(organisation__agents__user=user)


class Ticket(models.Model):
    """A customer's question, with everything that was said about it."""

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        WAITING = "waiting", "Waiting for customer"
        SOLVED = "solved", "Solved"

    class Priority(models.TextChoices):
        LOW = "low", "Low"
        NORMAL = "normal", "Normal"
        HIGH = "high", "High"

    class Category(models.TextChoices):
        UNSORTED = "", "Not sorted yet"
        ACCOUNT = "account", "Account"
        BILLING = "billing", "Billing"
        DELIVERY = "delivery", "Delivery"
        TECHNICAL = "technical", "Technical"
        OTHER = "other", "Other"

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="tickets")
    subject = models.CharField(max_length=200)
    customer_name = models.CharField(max_length=100)
    customer_email = models.EmailField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    priority = models.CharField(max_length=10, choices=Priority.choices, default=Priority.NORMAL)
    category = models.CharField(max_length=10, choices=Category.choices, default=Category.UNSORTED, blank=True)
    opened_at = models.DateTimeField()

    objects = TicketQuerySet.as_manager()

    class Meta:
        ordering = ["-opened_at"]

    def __str__(self) -> str:
        return self.subject

    def get_absolute_url(self) -> str:
        return reverse("ticket", args=[self.pk])


class Message(models.Model):
    """What the customer wrote, or, where there is an agent, what we answered."""

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="messages")
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, null=True, blank=True)
    text = models.TextField()
    sent_at = models.DateTimeField()

    class Meta:
        ordering = ["sent_at"]

    def __str__(self) -> str:
        return f"{self.author}: {self.text[:40]}"

    @property
    def author(self) -> str:
        return str(self.agent) if self.agent else self.ticket.customer_name
