"""Notices for tests: one as it happens, unpleasant ones, and any."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from budgets.channels import Notice

SCHEMAS = Path(__file__).parent / "schemas"

USUAL = Notice(
    event="trigger",
    alert_id=17,
    dedup_key="budget:4:2026-05-01T00:00:00+00:00:70",
    kind="budget_threshold",
    severity="warning",
    summary="72% of the daily budget of support.reply is spent.",
    at=datetime(2026, 5, 1, 14, 5, tzinfo=UTC),
    feature="support.reply",
    tenant="acme",
    facts=(
        ("Spent", "18.00 of 25.00 USD"),
        ("Forecast", "31.50 USD by midnight; the limit is reached at about 19:40"),
        ("Top callers", "acme 9.10 USD, globex 6.20 USD, initech 2.70 USD"),
    ),
    bar=(Decimal("18.00"), Decimal("25.00")),
    links=(
        ("Open the feature", "https://gate.example.com/admin/features/support.reply/"),
        ("Switch it off", "https://gate.example.com/admin/switch/add/?feature=support.reply"),
        ("Alert", "https://gate.example.com/admin/alerts/17/"),
    ),
)
RESOLVED = replace(
    USUAL, event="resolve", resolution="The window ended at midnight.", at=datetime(2026, 5, 2, 0, 0, tzinfo=UTC)
)
#: Text that tries to be something else: markup, mentions, headers, another direction, and more than fits.
NASTY = (
    "<!channel> <@U1> <https://evil.example|click> *bold* `code` &amp; </td><script>alert(1)</script>",
    "line\r\nBcc: victim@example.com\r\n\r\n.\r\nRSET",
    "\u202egpj.exe\u202c שלום עולם مرحبا بالعالم",
    "👩‍👩‍👧‍👦🏳️‍🌈" * 400,
    "&<>" * 1000,
    "w" * 3000,
    "\x00\x07\u2028\ud800",
    " ",
)


def nasty(text: str) -> Notice:
    """The usual notice with this text in every place that others write."""
    return replace(
        USUAL, summary=text, feature=text, tenant=text, kind=text, resolution=text, dedup_key=text,
        facts=((text, text),) * 40, links=((text, "https://gate.example.com/"), ("x", text)) * 20,
    )  # fmt: skip


_text = st.text(max_size=4000) | st.sampled_from(NASTY)
_amount = st.decimals(allow_nan=False, allow_infinity=False, min_value=-1_000_000, max_value=1_000_000)
_url = st.from_regex(r"https://[a-z]{1,20}\.example/[!-~]{0,200}", fullmatch=True) | _text

#: Any notice at all.
ANY = st.builds(
    Notice,
    event=st.sampled_from(["trigger", "acknowledge", "resolve", "test"]),
    alert_id=st.integers(0, 2**63),
    dedup_key=_text,
    kind=_text,
    severity=st.sampled_from(["info", "warning", "critical"]),
    summary=_text,
    at=st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1), timezones=st.timezones()),
    feature=_text,
    tenant=_text,
    facts=st.lists(st.tuples(_text, _text), max_size=40).map(tuple),
    bar=st.none() | st.tuples(_amount, _amount),
    links=st.lists(st.tuples(_text, _url), max_size=15).map(tuple),
    resolution=_text,
    count=st.integers(1, 10_000),
)


def conforms(value: Any, schema: str) -> None:
    """Raises when the value is not what the vendor's documentation says (`schemas/`). Lengths are counted as UTF-16."""
    found = json.loads((SCHEMAS / f"{schema}.json").read_text())
    checked = json.loads(json.dumps(value), object_pairs_hook=lambda pairs: {k: _widened(v) for k, v in pairs})
    Draft202012Validator(found, format_checker=FormatChecker()).validate(checked)


def _widened(value: Any) -> Any:
    """Characters beyond U+FFFF as two, as the strictest count of characters has them."""
    if isinstance(value, str):
        return "".join(c if c <= "\uffff" else "??" for c in value)
    return [_widened(item) for item in value] if isinstance(value, list) else value
