"""Settings: the dict `TOLLHOUSE` in Django's settings, with names, types, defaults and units declared once, here."""

import math
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, get_type_hints

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver

#: Names of telemetry that can be switched on beside those of the conventions.
DIALECTS = ("openinference", "langfuse", "genai-next")
#: Settings that are one of a few words.
WORDS = {"USER_REF": ("hash", "plain"), "REDACTION_MODEL_AWAY": ("refuse", "built-in")}
#: Numbers that may be 0: none at all. All others are more.
MAY_BE_ZERO = frozenset({"MAX_DRAINS", "SPOOL_MAX_BYTES"})
#: How addresses of a cache begin.
CACHES = ("redis://", "rediss://", "unix://")
#: The shortest secret that cannot be guessed.
SHORTEST_TOKEN = 16


class TollhouseSettings:
    """Each attribute is an entry of `settings.TOLLHOUSE`; the value here is its default.

    In `deploy/settings.py` every entry can also be set by an environment variable, `TOLLHOUSE_<NAME>`.
    Raises ImproperlyConfigured for an entry of the wrong type or an unknown name.
    """

    #: Secret behind key hashes and user references (HMAC). Unset: derived from Django's SECRET_KEY. When it changes, every
    #: key is refused and every user has another reference.
    PEPPER: str = ""
    #: Secrets that encrypt keys of providers and secrets of channels at rest, newest first. Unset: derived from Django's
    #: SECRET_KEY.
    ENCRYPTION_KEYS: tuple[str, ...] = ()
    #: Names of environment variables that may hold a provider's key, as globs. Whoever may change providers can send what
    #: these hold to an address of their choice: give that permission as you would give the keys, and narrow the globs
    #: where another secret of the process would match.
    PROVIDER_KEY_ENV: tuple[str, ...] = ("*_API_KEY", "*_API_TOKEN")
    #: Names of environment variables that may hold a channel's secret, as globs. Whoever may change channels can send what
    #: these hold to an address of their choice.
    CHANNEL_SECRET_ENV: tuple[str, ...] = ("ALERT_*",)
    #: Where people reach this gate's pages, e.g. https://tollhouse.example: alerts link there. Empty: without links.
    PUBLIC_URL: str = ""
    #: The currency that dashboards report in, e.g. EUR: a code that has dated rates. The ledger itself counts in US dollars.
    REPORTING_CURRENCY: str = "USD"
    #: Providers on loopback and private addresses are reachable only when this is on (SSRF guard).
    #: On under `make up` and with the embedded database.
    ALLOW_PRIVATE_UPSTREAMS: bool = False
    #: What a row keeps of a user id: `hash` (a keyed hash) or `plain`.
    USER_REF: str = "hash"
    #: Largest request body that the HTTP data plane reads, in bytes.
    MAX_BODY_BYTES: int = 20_000_000
    #: Where cached replies are: empty for the database, or redis://….
    CACHE_URL: str = ""
    #: Function that says of a Django request for whom its calls are made: dotted path, request →
    #: `{"tenant": …, "cohort": …, "session": …, "labels": {…}}`; for `gateway.middleware.ContextMiddleware`.
    REQUEST_CONTEXT: str = ""
    #: Largest reply that the gate takes from a provider, unpacked, a stream as a whole; in bytes.
    MAX_REPLY_BYTES: int = 100_000_000
    #: How often a process looks for a changed catalog when no notification came, in seconds.
    CATALOG_POLL_S: float = 5.0
    #: How often a ledger writer says that it is alive, in seconds.
    OWNER_HEARTBEAT_S: float = 5.0
    #: After this silence an owner counts as dead and its holds become `lost` rows, in seconds.
    OWNER_DEAD_AFTER_S: float = 30.0
    #: How long the ledger may be away before a waiting call gets `LedgerUnavailable`, in seconds.
    LEDGER_TIMEOUT_S: float = 5.0
    #: After so many transient failures in a row a target is left alone.
    BREAKER_FAILURES: int = 5
    #: For how long, the first time; each failed probe after that doubles it, up to eight times. Seconds.
    BREAKER_OPEN_S: float = 15.0
    #: Directory on a local disk for calls that pass while the database is away, of features with
    #: `on_ledger_away = "spool"`; one file for each process. Unset: such calls are refused, as all others are.
    SPOOL_DIR: str = ""
    #: Most that the spool file of one process may hold; beyond it calls are refused. Bytes.
    SPOOL_MAX_BYTES: int = 100_000_000
    #: Streams whose client has left that one process reads on to their usage, of features with `on_disconnect = "drain"`;
    #: those beyond it are cancelled.
    MAX_DRAINS: int = 32
    #: A process whose clock differs from the database's by more than this is told of, in seconds.
    CLOCK_SKEW_S: float = 5.0
    #: When no worker has been seen for this long, the overview, `/readyz` and the checks say so; seconds.
    WORKER_SILENT_AFTER_S: float = 600.0
    #: Partitions made ahead of time, in days.
    PARTITIONS_AHEAD_DAYS: int = 28
    #: How long call rows are kept where no rule says otherwise; what they cost is kept for good, as sums. Days.
    RETENTION_CALLS_DAYS: int = 400
    #: How long payloads are kept where no rule says otherwise, but never longer than their calls; days.
    RETENTION_PAYLOADS_DAYS: int = 30
    #: How long rows of other kinds are kept where no rule says otherwise, e.g. `review=90`; days. A kind that is not named
    #: has the time that its app registered it with.
    RETENTION_DAYS: tuple[str, ...] = ()
    #: How long the file of an export that was made in the background can be downloaded; hours.
    EXPORT_KEEP_HOURS: int = 72
    #: The most that the file of one such export may take in the database, compressed; bytes.
    EXPORT_MAX_BYTES: int = 2_000_000_000
    #: Threads that analyse text for personal data, per process.
    REDACTION_THREADS: int = 1
    #: Whether long texts, and all where names are looked for, are analysed in a process of their own for each such thread, so
    #: that other calls do not wait for it. It takes about 50 MB where names are looked for, which take 20 MB without it.
    REDACTION_APART: bool = True
    #: What finds names and places: `built-in`; a spaCy model's package name or path (extra `spacy`); or the address of a
    #: Presidio analyzer, such as `https://presidio.example?language=de`. Empty: patterns only.
    REDACTION_MODEL: str = "built-in"
    #: Calls that need names looked for while the analyzer at an address is away: `refuse`, or `built-in` for the tagger.
    REDACTION_MODEL_AWAY: str = "refuse"
    #: Let the analyzer have an address that is not public.
    REDACTION_MODEL_PRIVATE: bool = False

    #: What Prometheus sends as its bearer token to read `/metrics`, at least 16 characters. Empty: there is no `/metrics`.
    METRICS_TOKEN: str = ""
    #: Names on spans and meters beside those of the GenAI conventions v1.41: `openinference` (Phoenix), `langfuse`,
    #: `genai-next` (metrics of the conventions' newest text).
    TELEMETRY_DIALECTS: tuple[str, ...] = ()
    #: Names of providers, as globs, that are sent the call's trace context (`traceparent`): servers of your own, whose spans
    #: then stand below the call's.
    TRACE_PROVIDERS: tuple[str, ...] = ()

    def __init__(self) -> None:
        given = getattr(django_settings, "TOLLHOUSE", {})
        if not isinstance(given, Mapping):
            raise ImproperlyConfigured(f"TOLLHOUSE must be a dict, like {{}}, not of type {type(given).__name__}.")
        known = get_type_hints(type(self))
        for name, value in given.items():
            if name not in known:
                near = get_close_matches(str(name), known, 1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}."
                raise ImproperlyConfigured(f"TOLLHOUSE[{name!r}] is not a setting; {hint}")
            setattr(self, name, _typed(name, value, type(getattr(type(self), name))))
        self._check()

    def _check(self) -> None:
        """Values that no type tells. Raises ImproperlyConfigured."""
        for name, words in WORDS.items():
            if (value := getattr(self, name)) not in words:
                raise ImproperlyConfigured(f"TOLLHOUSE[{name!r}] must be {' or '.join(words)}, not {value!r}.")
        if not re.fullmatch("[A-Z]{3}", self.REPORTING_CURRENCY):
            raise ImproperlyConfigured("TOLLHOUSE['REPORTING_CURRENCY'] must be a code of three letters, like EUR.")
        if self.CACHE_URL and not self.CACHE_URL.startswith(CACHES):
            # Not repeated, as it may hold a password.
            raise ImproperlyConfigured("TOLLHOUSE['CACHE_URL'] must be empty or begin with redis://.")
        if self.OWNER_DEAD_AFTER_S <= self.OWNER_HEARTBEAT_S:
            raise ImproperlyConfigured(
                "TOLLHOUSE['OWNER_DEAD_AFTER_S'] must be more than OWNER_HEARTBEAT_S: calls of living processes would be lost."
            )
        if unknown := set(self.TELEMETRY_DIALECTS) - set(DIALECTS):
            raise ImproperlyConfigured(
                f"TOLLHOUSE['TELEMETRY_DIALECTS'] has {', '.join(sorted(unknown))}; known are {', '.join(DIALECTS)}."
            )
        if 0 < len(self.METRICS_TOKEN) < SHORTEST_TOKEN:
            raise ImproperlyConfigured(
                f"TOLLHOUSE['METRICS_TOKEN'] can be guessed: make it {SHORTEST_TOKEN} random characters or more."
            )


def _typed(name: str, value: Any, expected: type) -> Any:
    """The value as one of that type; lists count as tuples, whole numbers as others. Raises ImproperlyConfigured, which
    never repeats the value: it may be a secret.
    """
    if expected is tuple:
        if not isinstance(value, list | tuple) or not all(isinstance(part, str) and part for part in value):
            raise ImproperlyConfigured(f'TOLLHOUSE[{name!r}] must be a list of texts, like ["…"].')
        return tuple(value)
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise ImproperlyConfigured(
            f"TOLLHOUSE[{name!r}] must be of type {expected.__name__}, not {type(value).__name__}."
        )
    if isinstance(value, int | float) and expected is not bool:
        least = 0 if name in MAY_BE_ZERO else 1 if expected is int else math.ulp(0)
        # Kinds of retention tell their own bounds.
        if not name.startswith("RETENTION_") and not least <= value < math.inf:
            raise ImproperlyConfigured(
                f"TOLLHOUSE[{name!r}] must be {'0 or more' if not least else 'more than 0'}, not {value}."
            )
    return value


@cache
def settings() -> TollhouseSettings:
    """The settings, read and checked once. Raises ImproperlyConfigured."""
    return TollhouseSettings()


@receiver(setting_changed)
def _read_again(*, setting: str, **kwargs: Any) -> None:
    if setting == "TOLLHOUSE":
        settings.cache_clear()
