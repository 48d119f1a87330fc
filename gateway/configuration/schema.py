"""What a catalog file may say: sections, their fields and the types of these."""

from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from gateway.configuration.document import Document, Place

#: Larger than any amount that the database can hold, smaller than what a float cannot.
MOST = 10**30
TEXT, WHOLE, NUMBER, FLAG, TEXTS = "a text", "a whole number", "a number", "true or false", "a list of texts"
OBJECT, OBJECTS, MOMENT, DATE = "a table", "a list of tables", "a date or time", "a date"
TEXT_OR_TEXTS, WHOLE_OR_WHOLES = "a text or a list of texts", "a whole number or a list of them"
CLOCK = "a time of day such as 22:00:00"


@dataclass(frozen=True, slots=True)
class Section:
    """Fields with their types; those that a new row cannot do without; whether it is a list of tables."""

    fields: dict[str, str]
    required: tuple[str, ...] = ()
    listed: bool = False


PRICE_FIELDS = {
    "input_usd_per_mtok": "input",
    "output_usd_per_mtok": "output",
    "cache_read_usd_per_mtok": "cache_read",
    "cache_write_usd_per_mtok": "cache_write",
    "reasoning_usd_per_mtok": "reasoning",
    "audio_input_usd_per_mtok": "audio_input",
    "audio_output_usd_per_mtok": "audio_output",
    "request_usd": "request",
}
SECTIONS = {
    "policies": Section(
        {
            **dict.fromkeys(("outbound", "stored", "media", "pseudonyms"), TEXT),
            "entities": TEXTS,
            "threshold": NUMBER,
            "session_hours": WHOLE,
            **dict.fromkeys(("thresholds", "rules", "parts", "stored_parts"), OBJECT),
        }
    ),
    "redaction_lists": Section(
        {
            **dict.fromkeys(("policy", "tenant", "outbound"), TEXT),
            **dict.fromkeys(("allow", "deny"), TEXTS),
            "patterns": OBJECT,
        },
        listed=True,
    ),
    "providers": Section(
        {
            **dict.fromkeys(("kind", "base_url", "api_key_env", "api_key", "price_provider"), TEXT),
            "options": OBJECT,
            "max_concurrent": WHOLE,
        },
        ("kind",),
    ),
    "routes": Section(
        {
            "targets": TEXTS,
            "timeout_s": NUMBER,
            "connect_timeout_s": NUMBER,
            "first_token_timeout_s": NUMBER,
            "reply_timeout_s": NUMBER,
            "retries": WHOLE,
            "hedge_after_s": NUMBER,
        },
        ("targets",),
    ),
    "features": Section(
        {
            "description": TEXT,
            "owner": TEXT,
            "route": TEXT,
            "policy": TEXT,
            "max_output_tokens": WHOLE,
            "unpriced": TEXT,
            "phase": TEXT,
            "rollout_tenants": TEXTS,
            "rollout_cohorts": TEXTS,
            "rollout_percent": WHOLE,
            "disclosure": TEXT,
            "cache_ttl_s": WHOLE,
            "on_ledger_away": TEXT,
            "spool_limit_usd": NUMBER,
            "on_disconnect": TEXT,
        },
        ("route",),
    ),
    "prompts": Section(
        {
            "messages": OBJECTS,
            "tools": OBJECTS,
            "response_format": OBJECT,
            "parameters": OBJECT,
            "deploy": FLAG,
            **dict.fromkeys(("messages_json", "tools_json", "response_format_json", "parameters_json"), TEXT),
        },
        ("messages",),
    ),
    "rates": Section(
        {"currency": TEXT, "per_usd": NUMBER, "effective_from": DATE, "source": TEXT},
        ("currency", "per_usd", "effective_from", "source"),
        listed=True,
    ),
    "budgets": Section(
        {
            **dict.fromkeys(("feature", "tenant", "key", "user", "cohort", "model", "provider"), TEXT),
            "each": TEXT_OR_TEXTS,
            **dict.fromkeys(("metric", "currency", "period", "timezone", "on_hard"), TEXT),
            **dict.fromkeys(("starts_on", "ends_on"), DATE),
            "limit": NUMBER,
            "soft_percent": WHOLE_OR_WHOLES,
            "active": FLAG,
            "paused_reason": TEXT,
        },
        ("limit",),
        listed=True,
    ),
    "rate_limits": Section(
        {
            **dict.fromkeys(("feature", "tenant", "key", "user", "cohort", "each"), TEXT),
            **dict.fromkeys(("requests_per_minute", "tokens_per_minute", "concurrent", "burst_s"), WHOLE),
            "active": FLAG,
        },
        listed=True,
    ),
    "switch_rules": Section(
        {
            **dict.fromkeys(("name", "feature", "model", "provider", "condition", "action", "running"), TEXT),
            **dict.fromkeys(("above", "min_usd"), NUMBER),
            **dict.fromkeys(("minutes", "min_calls", "off_minutes", "cooldown_minutes"), WHOLE),
            "active": FLAG,
        },
        ("name", "condition", "above"),
        listed=True,
    ),
    "prices": Section(
        {
            "provider": TEXT,
            "model": TEXT,
            "effective_from": MOMENT,
            "source_url": TEXT,
            **dict.fromkeys(PRICE_FIELDS, NUMBER),
        },
        ("provider", "model", "input_usd_per_mtok"),
        listed=True,
    ),
    "channels": Section(
        {"kind": TEXT, "config": OBJECT, "secret_env": TEXT, "fallback": TEXT, "active": FLAG},
        ("kind",),
    ),
    "alert_routes": Section(
        {
            **dict.fromkeys(("name", "severity", "quiet_timezone", "breaks_through"), TEXT),
            **dict.fromkeys(("quiet_from", "quiet_until"), CLOCK),
            **dict.fromkeys(("kinds", "features", "tenants", "channels"), TEXTS),
            "position": WHOLE,
            **dict.fromkeys(("goes_on", "active"), FLAG),
        },
        ("name", "channels"),
        listed=True,
    ),
}


def check(document: Document) -> None:
    """Notes every section, field and type in the document that cannot be."""
    _check_texts(document, (), document.values)
    for name, value in document.values.items():
        section = SECTIONS.get(name)
        if section is None:
            document.unknown((), name, list(SECTIONS))
        elif section.listed:
            if not isinstance(value, list):
                document.problem((name,), f"{name} is a list of tables; write [[{name}]].")
                continue
            for number, entry in enumerate(value):
                _check_entry(document, (name, number), entry, section)
        elif not isinstance(value, dict) or not all(isinstance(entry, dict) for entry in value.values()):
            document.problem((name,), f'{name} holds one table for each name; write [{name}."…"].')
        else:
            for key, entry in value.items():
                _check_entry(document, (name, key), entry, section)


def check_table(document: Document, section: Section) -> None:
    """Notes the same in a document that is a single entry of a section."""
    _check_texts(document, (), document.values)
    _check_entry(document, (), document.values, section)


def _check_texts(document: Document, place: Place, value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _check_texts(document, place, key)
            _check_texts(document, (*place, key), item)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check_texts(document, (*place, number), item)
    elif isinstance(value, str) and "\0" in value:
        document.problem(place, "PostgreSQL stores no text with the character U+0000; leave it out.")


def _check_entry(document: Document, place: Place, entry: Any, section: Section) -> None:
    if not isinstance(entry, dict):
        document.problem(place, "This must be a table.")
        return
    for name, value in entry.items():
        if name not in section.fields:
            document.unknown(place, name, list(section.fields))
        elif not _fits(value, section.fields[name]):
            document.problem((*place, name), f"{name} must be {section.fields[name]}, not {value!r}.")


def _fits(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == FLAG
    if isinstance(value, int | Decimal) and not (Decimal(value).is_finite() and -MOST < value < MOST):
        return False
    match kind:
        case "a text":
            return isinstance(value, str)
        case "a whole number":
            return isinstance(value, int)
        case "a number":
            return isinstance(value, int | Decimal)
        case "a list of texts":
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
        case "a table":
            return isinstance(value, dict)
        case "a list of tables":
            return isinstance(value, list) and all(isinstance(item, dict) for item in value)
        case "a date or time":
            return isinstance(value, date | datetime)
        case "a time of day such as 22:00:00":
            return isinstance(value, time)
        case "a date":
            return isinstance(value, date) and not isinstance(value, datetime)
        case "a text or a list of texts":
            return _fits(value, TEXT) or _fits(value, TEXTS)
        case "a whole number or a list of them":
            return all(_fits(item, WHOLE) for item in (value if isinstance(value, list) else [value]))
    return False


def missing(document: Document, place: Place, entry: dict[str, Any], section: Section) -> bool:
    """Whether a new row lacks something; notes what."""
    lacking = [name for name in section.required if name not in entry]
    for name in lacking:
        document.problem(place, f"{name} is missing; a new entry of {place[0]} needs {section.fields[name]} for it.")
    return bool(lacking)
