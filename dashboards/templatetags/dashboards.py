"""What the templates of the dashboards need: money of the reporting currency, shares, the pages that a reader may open."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import template
from django.template import Context
from django.urls import reverse

from dashboards.currency import Currency
from dashboards.models import SavedView
from dashboards.pages.registry import PAGES
from dashboards.pages.saved import views
from dashboards.pages.sums import percent as shown_percent

register = template.Library()
register.filter("percent", shown_percent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tab:
    """A page in the row of the dashboards' pages."""

    title: str
    url: str
    here: bool


@register.filter
def money(amount: Decimal, currency: Currency) -> str:
    """An amount to the cent."""
    return currency.exact(amount)


@register.filter
def short_money(amount: Decimal | None, currency: Currency) -> str:
    """An amount in cents, or with three digits that count where it is less than one."""
    return currency.shown(amount)


@register.filter
def at(mapping: Mapping[str, Any], key: str) -> Any:
    """The value at a key; nothing where there is none."""
    return mapping.get(key, "")


@register.simple_tag(takes_context=True)
def dashboard_tabs(context: Context) -> list[Tab]:
    """The pages that the reader may see, which keep the filters of this one."""
    request, page = context["request"], context.get("page")
    query = context.get("query", "")
    pages = [page_ for page_ in PAGES.values() if request.user.has_perm(page_.permission)]
    return [
        Tab(title="Overview", url=f"{reverse('admin:index')}?{query}", here=page is None),
        *(Tab(title=one.title, url=f"{one.url}?{query}", here=one is page) for one in pages),
    ]


@register.simple_tag(takes_context=True)
def saved_views(context: Context) -> list[SavedView]:
    """The views of this page that the reader may use."""
    return list(views(context["request"], context["page"].name))
