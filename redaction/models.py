"""Redaction policies as rows."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from redaction.policies import DEFAULT, OUTBOUND, PSEUDONYMS, SESSION_HOURS, STORED, Policy
from redaction.sessions import SessionMap

__all__ = ["RedactionPolicy", "SessionMap"]


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

    class Meta:
        db_table = "tollhouse_policy"
        verbose_name_plural = "redaction policies"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(outbound__in=OUTBOUND), name="tollhouse_policy_outbound_known"),
            models.CheckConstraint(condition=Q(stored__in=STORED), name="tollhouse_policy_stored_known"),
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

    def as_policy(self) -> Policy:
        """The row as a value. Raises ValueError when it holds a word that is not known."""
        return Policy(
            name=self.name,
            outbound=self.outbound,
            stored=self.stored,
            entities=tuple(self.entities),
            threshold=self.threshold,
            pseudonyms=self.pseudonyms,
            session_hours=self.session_hours,
        )

    def clean(self) -> None:
        if not (isinstance(self.entities, list) and all(isinstance(entity, str) for entity in self.entities)):
            raise ValidationError({"entities": 'Write a list of names, e.g. ["PERSON", "EMAIL_ADDRESS"].'})
        try:
            self.as_policy()
        except ValueError as error:
            raise ValidationError(str(error)) from None
