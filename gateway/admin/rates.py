"""Rate limits and how their buckets stand at this moment."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.html import format_html

from budgets.models import Bucket, RateLimit
from budgets.rates import RATE_FIELDS, Gauge, Rates
from gateway.admin.base import AuditedAdmin, ReadOnly, ReadOnlyAdmin
from gateway.admin.fields import NameField
from gateway.admin.portable import PortableAdmin
from gateway.models import Feature, Key
from gateway.templatetags.tollhouse import meter, share


class Levels:
    """Columns of a bucket as it stands now: refilled to this moment, by the database's clock."""

    @admin.display(description="Calls left")
    def requests_left(self, bucket: Bucket) -> str:
        return _left(_now(bucket).requests)

    @admin.display(description="Tokens left")
    def tokens_left(self, bucket: Bucket) -> str:
        return _left(_now(bucket).tokens)

    @admin.display(description="Under way", ordering="in_flight")
    def under_way(self, bucket: Bucket) -> str:
        most = bucket.rate_limit.concurrent
        return _figure(f"{bucket.in_flight} of {most}" if most else str(bucket.in_flight))


class BucketInline(ReadOnly, Levels, admin.TabularInline[Bucket, RateLimit]):
    model = Bucket
    fields = ["value", "requests_left", "tokens_left", "under_way", "refilled_at"]
    readonly_fields = ["value", "requests_left", "tokens_left", "under_way", "refilled_at"]
    max_num = 0
    verbose_name_plural = "how it stands now: buckets with the latest calls"

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Bucket]:
        found = super().get_queryset(request).select_related("rate_limit").annotate(now=Now())
        same = Bucket.objects.filter(rate_limit=models.OuterRef("rate_limit")).order_by("-refilled_at")
        return found.filter(pk__in=same.values("pk")[:20])


class RateLimitForm(forms.ModelForm[RateLimit]):
    feature = NameField(lambda: Feature.objects.values_list("slug", flat=True), empty="every feature")
    key = NameField(lambda: Key.objects.values_list("name", flat=True), empty="every key", label="API key")

    class Meta:
        model = RateLimit
        fields = [
            "feature", "tenant", "key", "user", "cohort", "each",
            "requests_per_minute", "tokens_per_minute", "concurrent", "burst_s", "active",
        ]  # fmt: skip
        labels = {
            "user": "User reference, as rows show it", "requests_per_minute": "Calls a minute",
            "tokens_per_minute": "Tokens a minute", "concurrent": "Calls under way at a time", "burst_s": "Burst, in seconds",
        }  # fmt: skip
        help_texts = dict.fromkeys(("tenant", "user", "cohort"), "")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("feature", "key"):
            field = self.fields[name]
            assert isinstance(field, NameField)
            field.keep(getattr(self.instance, name))


@admin.register(RateLimit)
class RateLimitAdmin(PortableAdmin[RateLimit], AuditedAdmin[RateLimit]):
    about = (
        "How many calls and tokens may pass in a minute, and how many calls may be under way at a time. A call that finds too "
        "little left is refused with the time after which it may be tried again; changes count from the next call on."
    )
    form = RateLimitForm
    identity = (*RATE_FIELDS, "each")
    list_display = ["shown_scope", "each", "requests_per_minute", "tokens_per_minute", "concurrent", "active"]
    list_filter = ["active", "each"]
    search_fields = ["feature", "tenant", "key", "user"]
    search_help_text = "Feature, tenant, key or user reference"
    inlines = [BucketInline]
    fieldsets = [
        ("What it is for", {
            "fields": [("feature", "tenant"), ("key", "user"), ("cohort", "each")],
            "description": "Calls that match all of these count, and at most two may be given, `each` among them; what is left "
            "empty matches every call.",
        }),
        ("How much", {"fields": [("requests_per_minute", "tokens_per_minute"), ("concurrent", "burst_s"), "active"]}),
    ]  # fmt: skip

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        # Nobody may delete a bucket by itself; with its limit it goes, and calls under way end all the same.
        shown, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return shown, counts, lacking - {Bucket._meta.verbose_name}, protected

    @admin.display(description="For", ordering="feature")
    def shown_scope(self, limit: RateLimit) -> str:
        return str(limit)


@admin.register(Bucket)
class BucketAdmin(Levels, ReadOnlyAdmin[Bucket]):
    about = (
        "What is left of each rate limit at this moment; a limit for each tenant, say, has a bucket for every tenant that calls. "
        "The ledger writes them, and those that nobody has used for a day are full and forgotten."
    )
    list_display = ["rate_limit", "value", "requests_left", "tokens_left", "under_way", "refilled_at"]
    list_select_related = ["rate_limit"]
    search_fields = ["value", "rate_limit__feature", "rate_limit__tenant", "rate_limit__key"]
    search_help_text = "Value, or the limit's feature, tenant or key"
    fields = ["rate_limit", "value", "requests_left", "tokens_left", "under_way", "refilled_at"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Bucket]:
        return super().get_queryset(request).select_related("rate_limit").annotate(now=Now())


def _now(bucket: Bucket) -> Rates:
    rule, state = bucket.rate_limit.as_rule(), bucket.as_state()
    state.refill(rule, bucket.now)  # type: ignore[attr-defined]  # annotated by both querysets
    return state.rates(rule)


def _left(gauge: Gauge | None) -> str:
    if gauge is None:
        return "not limited"
    used = 100 - share(Decimal(gauge.remaining), Decimal(gauge.limit))
    return format_html(
        '<span class="th-used">{}<span class="th-number">{} of {}</span></span>', meter(used, 0), f"{gauge.remaining:,}",
        f"{gauge.limit:,}",
    )  # fmt: skip


def _figure(text: str) -> str:
    return format_html('<span class="th-number">{}</span>', text)
