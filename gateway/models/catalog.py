"""Configuration: features, routes, providers and keys. What is live stands in the snapshot, see `gateway.catalog`."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from fnmatch import fnmatchcase

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from gateway.secrets import check_variable
from redaction.models import RedactionPolicy

#: The key that rows of the playground's calls name; no API key may, so that its budget holds those calls alone.
PLAYGROUND = "playground"
slug = RegexValidator(
    r"\A[a-z0-9][a-z0-9._-]*\Z", "Lower-case letters, digits, dots, dashes and underscores only, e.g. support.reply."
)


class Provider(models.Model):
    """An account at a model vendor, or a server of one's own."""

    name = models.CharField(max_length=100, unique=True, validators=[slug])
    kind = models.CharField(
        max_length=40,
        help_text="`openai` for any OpenAI-compatible server; `anthropic`, `azure`, `litellm`, `sandbox`.",
    )
    base_url = models.URLField(
        max_length=500,
        blank=True,
        help_text="Up to and with /v1, e.g. https://api.openai.com/v1. Empty for a sandbox, and where litellm knows it.",
    )
    api_key_env = models.CharField(
        max_length=100,
        blank=True,
        help_text="Environment variable that holds the key, e.g. OPENAI_API_KEY; the key itself is not stored.",
    )
    api_key_encrypted = models.TextField(
        blank=True,
        editable=False,
        help_text="For servers of one's own: the key, encrypted and bound to the base URL's host.",
    )
    price_provider = models.CharField(
        max_length=100, blank=True, help_text="Name in the price book, where it differs from this provider's name."
    )
    options = models.JSONField(
        default=dict, blank=True, help_text='What its kind can be told, e.g. {"latency_ms": 200} for a sandbox.'
    )
    max_concurrent = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Calls that one server process has under way at each of its models; others wait. Empty: no limit.",
    )

    class Meta:
        db_table = "tollhouse_provider"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(api_key_env="") | Q(api_key_encrypted=""), name="tollhouse_provider_one_key_source"
            ),
            models.CheckConstraint(
                condition=Q(max_concurrent__gte=1), name="tollhouse_provider_max_concurrent_positive"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.api_key_env:
            try:
                check_variable(self.api_key_env)
            except ValueError as error:
                raise ValidationError({"api_key_env": f"{str(error)[0].upper()}{str(error)[1:]}."}) from None


class Route(models.Model):
    """An ordered list of targets, with the patience that a call over it has."""

    name = models.CharField(max_length=100, unique=True, validators=[slug])
    timeout_s = models.FloatField(
        default=60,
        validators=[MinValueValidator(0.001)],
        help_text="For the whole call, all attempts together; seconds.",
    )
    connect_timeout_s = models.FloatField(default=5, validators=[MinValueValidator(0.001)], help_text="Seconds.")
    first_token_timeout_s = models.FloatField(
        default=30,
        validators=[MinValueValidator(0.001)],
        help_text="Until the first byte of a streamed reply; seconds.",
    )
    reply_timeout_s = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.001)],
        help_text="For one attempt at a plain reply, which is then given up, with what it may cost, for the next one. "
        "Seconds; empty: all the time that is left to the route.",
    )
    retries = models.PositiveSmallIntegerField(
        default=1, help_text="Further attempts at a target after a transient error, before the next target is tried."
    )
    hedge_after_s = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.001)],
        help_text="When nothing has come after this time, the next target is asked too, and the first to answer wins; "
        "both may cost. Seconds; empty: off.",
    )

    class Meta:
        db_table = "tollhouse_route"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(timeout_s__gt=0, connect_timeout_s__gt=0, first_token_timeout_s__gt=0),
                name="tollhouse_route_timeouts_positive",
            ),
            models.CheckConstraint(condition=Q(retries__lte=10), name="tollhouse_route_retries_at_most_10"),
            models.CheckConstraint(condition=Q(hedge_after_s__gt=0), name="tollhouse_route_hedge_positive"),
            models.CheckConstraint(condition=Q(reply_timeout_s__gt=0), name="tollhouse_route_reply_timeout_positive"),
        ]

    def __str__(self) -> str:
        return self.name


class Target(models.Model):
    """One provider and model of a route."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="targets")
    position = models.PositiveSmallIntegerField(help_text="Order of fallback, from 0.")
    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="targets")
    model = models.CharField(max_length=200, help_text="The model's name at the provider.")

    class Meta:
        db_table = "tollhouse_target"
        ordering = ["route", "position"]
        constraints = [
            models.UniqueConstraint(fields=["route", "position"], name="tollhouse_target_position_once"),
            models.UniqueConstraint(fields=["route", "provider", "model"], name="tollhouse_target_once"),
        ]

    def __str__(self) -> str:
        return f"{self.provider.name}/{self.model}"


class Feature(models.Model):
    """A named use of a model in the product: the unit of budgets, prompts, switches and dashboards."""

    class Unpriced(models.TextChoices):
        REFUSE = "refuse", "refuse the call"
        FLAG = "flag", "let it pass, with no cost on the row and an alert"

    class LedgerAway(models.TextChoices):
        REFUSE = "refuse", "refuse the call"
        SPOOL = "spool", "let it pass, and keep its row in a local file until the database is back"

    class Disconnect(models.TextChoices):
        CANCEL = "cancel", "cancel the provider's reply"
        DRAIN = "drain", "read the reply to its end, for its usage"

    class Phase(models.TextChoices):
        INTERNAL = "internal", "internal: the tenants and cohorts named below"
        BETA = "beta", "beta: those, and a share of everybody else"
        GENERAL = "general", "general: everybody"

    slug = models.CharField(max_length=100, unique=True, validators=[slug])
    description = models.CharField(max_length=500, blank=True)
    owner = models.CharField(max_length=100, blank=True, help_text="Team that answers for it.")
    route = models.ForeignKey(Route, on_delete=models.PROTECT, related_name="features")
    policy = models.ForeignKey(RedactionPolicy, on_delete=models.PROTECT, related_name="features")
    max_output_tokens = models.PositiveIntegerField(
        default=1024,
        validators=[MinValueValidator(1)],
        help_text="Asked of the provider when a call names no limit, and the most that a call may ask for.",
    )
    unpriced = models.CharField(
        max_length=10,
        choices=Unpriced,
        default=Unpriced.REFUSE,
        help_text="For a model without a price. Under a budget in US dollars such a call is always refused.",
    )
    phase = models.CharField(max_length=10, choices=Phase, default=Phase.GENERAL)
    rollout_tenants = models.JSONField(default=list, blank=True, help_text='Tenants it is on for, e.g. ["acme"].')
    rollout_cohorts = models.JSONField(default=list, blank=True, help_text='Cohorts it is on for, e.g. ["staff"].')
    rollout_percent = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(100)],
        help_text="In beta, the share of all others it is on for; the same ones each time. Percent.",
    )
    disclosure = models.CharField(
        max_length=1000, blank=True, help_text="What the product tells its users about this use of a model."
    )
    cache_ttl_s = models.PositiveIntegerField(
        default=0,
        help_text="How long a reply is given again to the same request of the same tenant; seconds. 0: never.",
    )
    on_ledger_away = models.CharField(
        max_length=10,
        choices=LedgerAway,
        default=LedgerAway.REFUSE,
        help_text="While the ledger's database is away. Calls that pass are held to no budget but the spool limit.",
    )
    spool_limit_usd = models.DecimalField(
        max_digits=18,
        decimal_places=9,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal("1e-9"))],
        help_text="With spool: the most that one server process may spend in one outage; US dollars.",
    )
    on_disconnect = models.CharField(
        max_length=10,
        choices=Disconnect,
        default=Disconnect.CANCEL,
        help_text="When the client leaves before the reply is complete. A drained reply costs what it would have cost.",
    )

    class Meta:
        db_table = "tollhouse_feature"
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(condition=Q(max_output_tokens__gte=1), name="tollhouse_feature_max_output_positive"),
            models.CheckConstraint(
                condition=Q(unpriced__in=["refuse", "flag"]), name="tollhouse_feature_unpriced_known"
            ),
            models.CheckConstraint(
                condition=Q(phase__in=["internal", "beta", "general"]), name="tollhouse_feature_phase_known"
            ),
            models.CheckConstraint(condition=Q(rollout_percent__lte=100), name="tollhouse_feature_percent_at_most_100"),
            models.CheckConstraint(
                # A comparison with nothing is no violation, so that something is there has to be said.
                condition=Q(on_ledger_away="refuse")
                | Q(on_ledger_away="spool", spool_limit_usd__isnull=False, spool_limit_usd__gt=0),
                name="tollhouse_feature_spool_limited",
                violation_error_message="A feature that spools needs a spool limit above zero.",
            ),
            models.CheckConstraint(
                condition=Q(on_disconnect__in=["cancel", "drain"]), name="tollhouse_feature_on_disconnect_known"
            ),
        ]

    def __str__(self) -> str:
        return self.slug

    def clean(self) -> None:
        for name in ("rollout_tenants", "rollout_cohorts"):
            value = getattr(self, name)
            if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
                raise ValidationError({name: 'Write a list of names, e.g. ["acme"]; [] is nobody.'})


def allows(globs: Iterable[str], feature: str) -> bool:
    """Whether a key with these globs may use the feature."""
    return any(fnmatchcase(feature, glob) for glob in globs)


class Key(models.Model):
    """An API key of the HTTP data plane. Stored as a keyed hash; the key itself is shown once, when made.

    When it is rotated, the secret that it had so far is the previous one, and works on for a grace.
    """

    name = models.CharField(
        max_length=100, unique=True, help_text="Calls and budgets know the key by it, so it stays as it is."
    )
    prefix = models.CharField(max_length=16, editable=False, help_text="First characters, to tell keys apart.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    features = models.JSONField(default=list, help_text='Globs of the features it may use, e.g. ["support.*"].')
    default_feature = models.CharField(
        max_length=100, blank=True, help_text="Used when a request names a model and no feature."
    )
    tenant = models.CharField(max_length=200, blank=True, help_text="Every call with this key is this tenant's.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="From then on it is refused. Empty: it does not expire."
    )
    revoked_at = models.DateTimeField(null=True, blank=True)
    rotated_at = models.DateTimeField(null=True, blank=True, editable=False)
    previous_prefix = models.CharField(max_length=16, blank=True, editable=False)
    previous_digest = models.CharField(max_length=64, blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, blank=True, editable=False)

    #: The key itself, on the instance that has just made it; it is no column.
    secret = ""

    class Meta:
        db_table = "tollhouse_key"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(name=PLAYGROUND),
                name="tollhouse_key_not_the_playground",
                violation_error_message="“playground” is what the playground's calls are booked under; choose another name.",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if not (
            isinstance(self.features, list) and self.features and all(isinstance(g, str) and g for g in self.features)
        ):
            raise ValidationError({"features": 'Write a list of feature globs, e.g. ["support.*"]; ["*"] means all.'})
        if self.default_feature and not allows(self.features, self.default_feature):
            told = f"The key may not use {self.default_feature}: none of {', '.join(self.features)} matches it."
            raise ValidationError({"default_feature": told})

    def state(self, at: datetime) -> str:
        """`in force`, `expired` or `revoked`, as of that time."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= at else "in force"


class KeyUse(models.Model):
    """When a key's secret was last presented, noted by each process about once a minute. No part of the catalog."""

    digest = models.CharField(max_length=64, primary_key=True)
    used_at = models.DateTimeField()

    class Meta:
        db_table = "tollhouse_key_use"

    def __str__(self) -> str:
        return f"{self.digest[:8]} {self.used_at:%Y-%m-%d %H:%M}"


class Revision(models.Model):
    """Which state a part of the configuration is in. Triggers write it; processes compare it with what they hold."""

    name = models.CharField(max_length=20, primary_key=True)
    value = models.BigIntegerField()

    class Meta:
        db_table = "tollhouse_revision"

    def __str__(self) -> str:
        return f"{self.name} {self.value}"
