"""Vendors' bills beside the ledger, as `manage.py reconcile` kept them."""

from decimal import Decimal

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from gateway.admin.base import ReadOnlyAdmin
from gateway.models import Bill, BillLine
from gateway.templatetags.tollhouse import usd


class Amounts:
    """What was billed, what the ledger has, and the difference, of a bill or one of its lines."""

    @admin.display(description="Billed", ordering="billed_usd", empty_value="tokens only")
    def billed(self, row: Bill | BillLine) -> str | None:
        return None if row.billed_usd is None else _figure(usd(row.billed_usd))

    @admin.display(description="Ledger", ordering="ledger_usd")
    def ledger(self, row: Bill | BillLine) -> str:
        return _figure(usd(row.ledger_usd))

    @admin.display(description="Difference", empty_value="–")
    def difference(self, row: Bill | BillLine) -> str | None:
        return None if row.difference_usd is None else _figure(_signed(row.difference_usd))


class Differs(admin.SimpleListFilter):
    title = "result"
    parameter_name = "result"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [("differs", "differs"), ("agrees", "agrees")]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Bill]) -> models.QuerySet[Bill]:
        return queryset if self.value() is None else queryset.filter(matches=self.value() == "agrees")


@admin.register(Bill)
class BillAdmin(Amounts, ReadOnlyAdmin[Bill]):
    about = (
        "Exports of vendors, compared with the calls by `manage.py reconcile`. A comparison stays as it was made; with "
        "`--book` the lines that differ are booked as adjustments."
    )
    list_display = ["__str__", "result", "billed", "ledger", "difference", "made_at", "made_by"]
    list_filter = [Differs]
    search_fields = ["provider", "files"]
    search_help_text = "Provider or file"
    fields = [
        "provider", "files", "since", "until", "result", "billed", "ledger", "difference", "tolerance_percent", "made_at",
        "made_by", "all_lines",
    ]  # fmt: skip

    @admin.display(description="Result", ordering="matches")
    def result(self, bill: Bill) -> str:
        kind, word = ("good", "agrees") if bill.matches else ("bad", "differs")
        return format_html('<span class="th-pill {}">{}</span>', kind, word)

    @admin.display(description="Lines")
    def all_lines(self, bill: Bill) -> str:
        address = reverse("admin:tollhouse_gateway_billline_changelist")
        return format_html('<a href="{}?bill__id__exact={}">Show them</a>', address, bill.pk)


class LineDiffers(Differs):
    def queryset(self, request: HttpRequest, queryset: models.QuerySet[BillLine]) -> models.QuerySet[BillLine]:  # type: ignore[override]
        return queryset if self.value() is None else queryset.filter(differs=self.value() == "differs")


@admin.register(BillLine)
class BillLineAdmin(Amounts, ReadOnlyAdmin[BillLine]):
    about = "A day, a model and a key of a bill beside the ledger, with the likely causes where they differ."
    list_display = ["day", "what", "key", "billed", "ledger", "difference", "likely_causes", "booked"]
    list_filter = [LineDiffers]
    list_select_related = ["bill", "adjustment"]
    search_fields = ["model", "key", "provider"]
    search_help_text = "Model, key or provider"
    ordering = ["-bill", "day", "provider", "model", "key"]
    fields = [
        "bill", "day", "what", "key", "billed", "ledger", "difference", "billed_tokens", "ledger_tokens", "calls",
        "likely_causes", "booked",
    ]  # fmt: skip

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "bill__id__exact" or super().lookup_allowed(lookup, value, request)

    @admin.display(description="Model", ordering="model")
    def what(self, line: BillLine) -> str:
        model = line.model or "all models"
        return f"{line.provider}/{model}" if line.provider else model

    @admin.display(description="Likely causes", empty_value="–")
    def likely_causes(self, line: BillLine) -> str | None:
        return format_html_join("", "<div>{}</div>", ((cause,) for cause in line.causes)) or None

    @admin.display(description="Booked", empty_value="–")
    def booked(self, line: BillLine) -> str | None:
        made = getattr(line, "adjustment", None)
        return f"{_signed(made.cost_usd)} by {made.actor}: {made.reason}" if made else None


def _signed(value: Decimal) -> str:
    return f"{'−' if value < 0 else '+'}{usd(abs(value))}"


def _figure(text: str) -> str:
    return format_html('<span class="th-number">{}</span>', text)
