"""How figures, outcomes and messages look on our pages."""

import json
import re
from decimal import ROUND_DOWN, Decimal
from typing import Any

from django import template
from django.template import Context
from django.urls import reverse
from django.utils.html import conditional_escape, format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe

from budgets.forecast_words import short
from gateway.explorer.query import quote
from gateway.links import feature_url
from redaction.vault import PLACEHOLDER

register = template.Library()
MASK = re.compile(rf"{PLACEHOLDER.pattern}|&lt;[A-Z][A-Z_]+&gt;")
CODE = re.compile(r"`([^`]+)`")
HELP = re.compile(r'<div class="(?:help|description)\b.*?</div>', re.DOTALL)


@register.filter
def usd(value: Decimal | None) -> str:
    """An amount of US dollars, exact, without trailing zeros but with cents; `no price` for None."""
    if value is None:
        return "no price"
    text = f"{value.normalize():,f}"
    whole, _, decimals = text.partition(".")
    return f"${whole}.{decimals.ljust(2, '0')}"


@register.filter
def count(number: int) -> str:
    """A number of things, its thousands told apart."""
    return f"{number:,}"


@register.filter
def amount(value: Decimal, metric: str) -> str:
    """An amount in a budget's metric."""
    return usd(value) if metric == "usd" else f"{value:,.0f}"


@register.filter
def rounded(value: Decimal, metric: str) -> str:
    """An amount as one reads it: from a dollar on in cents, rounded down so that only what reaches a limit looks so."""
    if metric != "usd":
        return amount(value, metric)
    return usd(value.quantize(Decimal("0.01"), ROUND_DOWN)) if value >= 1 else usd(Decimal(short(value, metric)[1:]))


@register.filter
def ticked(text: str) -> SafeString:
    """A sentence of ours whose `names` are set as code."""
    return mark_safe(CODE.sub(r"<code>\1</code>", conditional_escape(text)))  # noqa: S308 (escaped)


@register.filter
def help_ticked(form: str) -> SafeString:
    """A form as Django made it, whose help texts have their `names` set as code, as in `ticked`.

    They are ours; what somebody wrote is nowhere among them, and a text of theirs that looks like one is escaped.
    """
    return mark_safe(HELP.sub(lambda text: CODE.sub(r"<code>\1</code>", text[0]), form))  # noqa: S308 (it is a template's)


@register.filter
def ms(value: float | None) -> str:
    """Milliseconds, or seconds from a thousand of them on."""
    if value is None:
        return "–"
    if value >= 1000:
        return f"{value / 1000:.2f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.2g} ms"


@register.filter
def seconds(value: float) -> str:
    """A pause in its largest unit: `40 s`, `12 min`, `3 h`, `2 days`."""
    for unit, length in (("days", 86400 * 2), ("h", 3600), ("min", 60)):
        if value >= length:
            return f"{value / (86400 if unit == 'days' else length):.0f} {unit}"
    return f"{value:.0f} s"


@register.filter
def at_most(value: int, most: int) -> int:
    return min(value, most)


@register.simple_tag
def querystring_of(**values: str) -> str:
    """These parameters as they stand in an address."""
    return urlencode({name: value for name, value in values.items() if value})


@register.filter
def share(value: Decimal, whole: Decimal) -> int:
    """A share in percent, 0 to 100; of nothing it is all."""
    return min(100, round(100 * value / whole)) if whole else 100


@register.filter
def get(mapping: dict[str, Any], key: str) -> Any:
    """The value at a key, `bad` (the tone of refusals) where there is none."""
    return mapping.get(key, "bad")


@register.filter
def masked(text: Any) -> SafeString:
    """A text, escaped, with its placeholders marked."""
    escaped = str(conditional_escape(text if isinstance(text, str) else json.dumps(text, indent=2, ensure_ascii=False)))
    return mark_safe(MASK.sub(lambda found: f'<mark class="th-mask">{found[0]}</mark>', escaped))  # noqa: S308  (escaped above)


@register.filter
def parts(content: Any) -> list[Any]:
    """A message's content as its parts: texts as texts, other parts (images, audio, files) as they are."""
    found = content if isinstance(content, list) else [content]
    return [part["text"] if isinstance(part, dict) and isinstance(part.get("text"), str) else part for part in found]


@register.simple_tag
def calls_with(**exact: str) -> str:
    """The address of the calls of the last 30 days with these values, by field of the query."""
    query = " ".join(f"{name}:{quote(value)}" for name, value in exact.items())
    return f"{reverse('admin:tollhouse_gateway_call_changelist')}?{urlencode({'q': query, 'since': '30d'})}"


@register.simple_tag(takes_context=True)
def feature_link(context: Context, slug: str, window: int | None = None) -> SafeString:
    """A link to the page of a feature's spend, in a window if one is given; nothing where there is none for the reader."""
    url = feature_url(slug) if context["request"].user.has_perm("tollhouse_gateway.view_feature") else ""
    if not url:
        return SafeString("")
    query = f"?period=window-{window}" if window else ""
    return format_html(' · <a href="{}{}" aria-label="Spend of {}">spend</a>', url, query, slug)


@register.simple_tag
def off_link(scope: str, value: str, alert: int | None = None) -> str:
    """The address of the form that switches this off."""
    given = {"scope": scope, "value": value, **({"alert": str(alert)} if alert else {})}
    return f"{reverse('admin:tollhouse_budgets_switch_add')}?{urlencode(given)}"


@register.simple_tag
def call_link(filters: Any, **changes: str) -> str:
    """The address of the same list of calls, with something changed."""
    found: str = filters.link(**changes)
    return found


@register.simple_tag
def narrow(filters: Any, name: str, value: str) -> str:
    """The address of the same list of calls with one more condition."""
    found: str = filters.narrowed(name, value)
    return found


@register.simple_tag
def meter(spent: int, held: int) -> SafeString:
    """A bar of two parts, in percent of the whole: what is spent, and what is held on top of it."""
    held = min(held, 100 - spent)
    return format_html(
        '<svg class="th-meter" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="whole" width="100" height="6" rx="2"></rect><rect class="spent {}" width="{}" height="6"></rect>'
        '<rect class="held" x="{}" width="{}" height="6"></rect></svg>',
        "full" if spent >= 100 else "near" if spent >= 70 else "", spent, spent, held,
    )  # fmt: skip
