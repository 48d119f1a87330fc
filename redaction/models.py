"""Redaction policies and their lists as rows."""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from redaction.lists import Lists, checked
from redaction.policies import DEFAULT, MEDIA, OUTBOUND, PSEUDONYMS, SESSION_HOURS, STORED, Policy
from redaction.sessions import SessionMap

__all__ = ["RedactionList", "RedactionPolicy", "SessionMap"]


def default_entities() -> list[str]:
    return list(DEFAULT.entities)


class RedactionPolicy(models.Model):
    """What happens to personal data in a feature's calls."""

    name = models.CharField(
        max_length=100,
        unique=True,
        validators=[
            RegexValidator(
                r"\A[a-z0-9][a-z0-9._-]*\Z", "Lower-case letters, digits, dots, dashes and underscores only."
            )
        ],
    )
    outbound = models.CharField(
        max_length=20,
        choices=[(word, word) for word in OUTBOUND],
        default=DEFAULT.outbound,
        help_text="On the way to the provider: `pseudonymise` is undone in the reply, `mask` is not, `refuse` refuses the call.",
    )
    stored = models.CharField(
        max_length=20,
        choices=[(word, word) for word in STORED],
        default=DEFAULT.stored,
        help_text="What is kept of messages and reply: `none`, a keyed `hash`, the `redacted` text, or the `full` text.",
    )
    entities = models.JSONField(
        default=default_entities, blank=True, help_text='Kinds of personal data, e.g. ["PERSON", "EMAIL_ADDRESS"].'
    )
    threshold = models.FloatField(
        default=DEFAULT.threshold,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="Least score, 0 to 1, at which a finding counts.",
    )
    pseudonyms = models.CharField(
        max_length=20,
        choices=[(word, word) for word in PSEUDONYMS],
        default=DEFAULT.pseudonyms,
        help_text="How long a value keeps its pseudonym: for the `call`, or for its `session`, encrypted in the database.",
    )
    session_hours = models.PositiveIntegerField(
        default=DEFAULT.session_hours,
        validators=[MinValueValidator(SESSION_HOURS[0]), MaxValueValidator(SESSION_HOURS[1])],
        help_text="After so many hours without a call a session's pseudonyms are deleted.",
    )
    thresholds = models.JSONField(
        default=dict, blank=True, help_text='Least scores of some entities instead, e.g. {"PERSON": 0.6}.'
    )
    rules = models.JSONField(
        default=dict,
        blank=True,
        help_text='What happens to some entities on the way out instead, e.g. {"CREDIT_CARD": "refuse", "LOCATION": "off"}.',
    )
    parts = models.JSONField(
        default=dict,
        blank=True,
        help_text="What happens in some parts of a call on the way out instead, e.g. "
        '{"tool_results": "mask"}; parts are prompts, replies, system, tool_arguments, tool_results, embeddings and tools.',
    )
    stored_parts = models.JSONField(
        default=dict, blank=True, help_text='What is kept of some parts instead, e.g. {"replies": "none"}.'
    )
    media = models.CharField(
        max_length=20,
        choices=[(word, word) for word in MEDIA],
        default=DEFAULT.media,
        help_text="Images, audio and files, which are not looked into: they `pass`, or `refuse` calls that have any.",
    )

    class Meta:
        db_table = "tollhouse_policy"
        verbose_name_plural = "redaction policies"
        ordering = ["name"]
        permissions = [("try_redactionpolicy", "Can try redaction policies out with texts")]
        constraints = [
            models.CheckConstraint(condition=Q(outbound__in=OUTBOUND), name="tollhouse_policy_outbound_known"),
            models.CheckConstraint(condition=Q(stored__in=STORED), name="tollhouse_policy_stored_known"),
            models.CheckConstraint(condition=Q(media__in=MEDIA), name="tollhouse_policy_media_known"),
            models.CheckConstraint(
                condition=Q(threshold__gte=0, threshold__lte=1), name="tollhouse_policy_threshold_0_to_1"
            ),
            models.CheckConstraint(condition=Q(pseudonyms__in=PSEUDONYMS), name="tollhouse_policy_pseudonyms_known"),
            models.CheckConstraint(
                condition=Q(session_hours__range=SESSION_HOURS), name="tollhouse_policy_session_hours_range"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def as_policy(self, lists: Iterable["RedactionList"] = ()) -> Policy:
        """The row as a value, with those of the lists that are its own or every policy's.

        Raises ValueError when it holds a word that is not known.
        """
        own = (one.as_lists() for one in lists if one.policy_id in (None, self.pk))
        return Policy(
            name=self.name,
            outbound=self.outbound,
            stored=self.stored,
            entities=tuple(self.entities),
            threshold=self.threshold,
            pseudonyms=self.pseudonyms,
            session_hours=self.session_hours,
            thresholds=tuple(self.thresholds.items()),
            rules=tuple(self.rules.items()),
            parts=tuple(self.parts.items()),
            stored_parts=tuple(self.stored_parts.items()),
            media=self.media,
            lists=tuple(own),
        )

    def clean(self) -> None:
        if not (isinstance(self.entities, list) and all(isinstance(entity, str) for entity in self.entities)):
            raise ValidationError({"entities": 'Write a list of names, e.g. ["PERSON", "EMAIL_ADDRESS"].'})
        for field in ("rules", "parts", "stored_parts"):
            if not _is_table(getattr(self, field), str):
                raise ValidationError({field: 'Write a table of names and words, e.g. {"CREDIT_CARD": "refuse"}.'})
        if not _is_table(self.thresholds, int | float):
            raise ValidationError({"thresholds": 'Write a table of names and numbers, e.g. {"PERSON": 0.6}.'})
        try:
            self.as_policy()
        except ValueError as error:
            raise ValidationError(str(error)) from None


def _is_table(value: Any, kind: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(item, kind) and not isinstance(item, bool) for item in value.values()
    )


class RedactionList(models.Model):
    """Texts that stay, texts that never leave, and patterns of one's own: of a policy, a tenant, both, or everybody."""

    policy = models.ForeignKey(
        RedactionPolicy,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="lists",
        help_text="Empty: for every policy.",
    )
    tenant = models.CharField(max_length=200, blank=True, help_text="Empty: for every tenant.")
    allow = models.JSONField(
        default=list, blank=True, help_text='Texts that are no personal data and stay as they are, e.g. ["Acme Ltd"].'
    )
    deny = models.JSONField(
        default=list, blank=True, help_text='Texts that are always found, as DENIED, e.g. ["Project Falcon"].'
    )
    patterns = models.JSONField(
        default=dict,
        blank=True,
        help_text='Names of entities and regular expressions with bounds, e.g. {"EMPLOYEE": "E[0-9]{6}"}.',
    )
    outbound = models.CharField(
        max_length=20,
        choices=[(word, word) for word in OUTBOUND[1:]],
        blank=True,
        help_text="What happens to what deny list and patterns find, on the way out. Empty: as the policy does otherwise.",
    )

    class Meta:
        db_table = "tollhouse_redaction_list"
        verbose_name = "allow and deny list"
        ordering = ["policy__name", "tenant"]
        constraints = [
            models.UniqueConstraint(
                fields=["policy", "tenant"], nulls_distinct=False, name="tollhouse_redaction_list_once"
            ),
            models.CheckConstraint(
                condition=Q(outbound__in=("", *OUTBOUND[1:])), name="tollhouse_redaction_list_outbound_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy or 'every policy'}, {self.tenant or 'every tenant'}"

    def as_lists(self) -> Lists:
        """The row as a value. Raises ValueError with what to write instead."""
        return checked(self.allow, self.deny, self.patterns, tenant=self.tenant, outbound=self.outbound)

    def clean(self) -> None:
        try:
            Policy(name="", outbound="off", stored="none", entities=(), lists=(self.as_lists(),))
        except ValueError as error:
            field, _, _ = str(error).partition(":")
            raise ValidationError(
                {field: str(error)} if field in ("allow", "deny", "patterns") else str(error)
            ) from None
