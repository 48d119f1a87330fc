"""How changes of spend look on our pages."""

from decimal import Decimal

from django import template

from dashboards import cause_words
from gateway.templatetags.tollhouse import count

register = template.Library()
register.filter("short_usd", cause_words.short_usd)
register.filter("count", count)


@register.filter
def change_usd(value: Decimal) -> str:
    """A change in US dollars, with its sign."""
    return f"{'+' if value > 0 else ''}{cause_words.short_usd(value)}"


@register.filter
def signed_percent(share: Decimal) -> str:
    """A share as a whole percentage, which may be negative or more than 100."""
    found = round(100 * share)
    return f"{'−' if found < 0 else ''}{abs(found):,}%"
