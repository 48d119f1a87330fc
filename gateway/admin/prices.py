"""The price book: looked into, and corrected by further rows."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.html import format_html

from gateway.admin.base import audit
from gateway.admin.portable import PortableAdmin
from gateway.models import Price
from gateway.prices.doubts import doubts
from gateway.prices.rates import Rates


class PriceForm(ModelForm[Price]):
    class Meta:
        model = Price
        fields = ["provider", "model", "effective_from", "rates", "source_url"]
        labels = {
            "effective_from": "From",
            "rates": "Rates, US dollars per million tokens",
            "source_url": "Source, as an address",
        }
        help_texts = {"rates": 'Numbers as texts, e.g. "2.50"; further parts are cache_read, cache_write, reasoning, …'}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.rates is None:
            self.initial["rates"] = {"input": "", "output": ""}

    def clean_rates(self) -> Any:
        try:
            Rates.parse(self.cleaned_data["rates"])
        except ValueError as error:
            raise ValidationError(str(error)) from None
        return self.cleaned_data["rates"]


@admin.register(Price)
class PriceAdmin(PortableAdmin[Price]):
    about = (
        "What models cost, from which date on, and who says so. A price is never changed, as calls refer to it: to correct "
        "one, add a row for the same model and date; the later row counts for calls to come. Rates are US "
        "dollars per million tokens."
    )
    form = PriceForm
    identity = ("provider", "model", "effective_from")
    told = ("source", "created_at")
    appended = True
    list_display = ["model", "provider", "since", "input_rate", "output_rate", "source"]
    list_filter = ["source"]
    search_fields = ["model", "provider"]
    search_help_text = "Model or provider"

    def has_change_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Price, form: ModelForm[Price], change: bool) -> None:
        obj.source = f"admin {request.user.get_username()}"[:100]
        before = Price.objects.filter(provider=obj.provider, model=obj.model).order_by("-id").first()
        for doubt in doubts(obj.rates, before.rates if before else None):
            messages.warning(
                request, f"The price {obj} {doubt}. If that is a mistake, add a further row; it counts before this one."
            )
        super().save_model(request, obj, form, change)
        audit(request, "create", obj, rates=obj.rates)

    @admin.display(description="From", ordering="effective_from", empty_value="always")
    def since(self, price: Price) -> Any:
        return price.effective_from

    @admin.display(description="Input, $/M")
    def input_rate(self, price: Price) -> str:
        return format_html('<span class="th-number">{}</span>', price.rates.get("input", ""))

    @admin.display(description="Output, $/M")
    def output_rate(self, price: Price) -> str:
        return format_html('<span class="th-number">{}</span>', price.rates.get("output", ""))
