"""Retention: how long rows are kept, when they were removed, and legal holds."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models.functions import Cast, Concat
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from gateway.admin.base import AuditedAdmin, PageAdmin, ReadOnlyAdmin, Tool, moment
from gateway.admin.fields import ReasonField
from gateway.admin.portable import PortableAdmin
from gateway.models import CallSum, Feature, LegalHold, RetentionKind, RetentionRule
from gateway.retention import legal, remove
from gateway.retention.kinds import REGISTERED, defaults
from gateway.templatetags.tollhouse import usd

CHANGE_HOLD = "tollhouse_gateway.change_legalhold"


@admin.register(RetentionKind)
class RetentionKindAdmin(ReadOnlyAdmin[RetentionKind]):
    about = (
        "Rows are invisible from the moment they expire, and the worker removes them every few minutes. The times are from the "
        "settings; a feature can have its own, as a retention rule. `manage.py retention run --dry-run` says what would go."
    )
    list_display = ["kind", "kept", "shown_ran", "shown_removed"]
    fields = ["kind", "kept", "shown_ran", "shown_removed"]
    search_fields = ["kind"]
    search_help_text = "Kind"

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[RetentionKind]:
        text = models.TextField()
        rules = RetentionRule.objects.filter(kind=models.OuterRef("kind")).order_by("feature")
        words = Concat("feature", models.Value(": "), Cast("keep_days", text), output_field=text)
        own = ArraySubquery(rules.values(words=words))
        return super().get_queryset(request).annotate(own=own)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        found = "; ".join(f"{kind}: {moment(at)}" for kind, at in remove.next_removal().items())
        about = f"{self.about} Next whole partitions that go: {found}." if found else self.about
        return super().changelist_view(request, {"about": about, **(extra_context or {})})

    @admin.display(description="Kept, days")
    def kept(self, row: RetentionKind) -> str:
        return "; ".join([str(row.keep_days or "as each row says"), *getattr(row, "own", ())])

    @admin.display(description="Ran last", ordering="ran_at")
    def shown_ran(self, row: RetentionKind) -> str:
        return moment(row.ran_at) if row.ran_at else "never: is a worker running?"

    @admin.display(description="Removed last", ordering="removed_at", empty_value="–")
    def shown_removed(self, row: RetentionKind) -> str | None:
        if not row.removed_at:
            return None
        return f"{moment(row.removed_at)}: {', '.join(f'{count} {what}' for what, count in row.removed.items())}"


class RuleForm(forms.ModelForm[RetentionRule]):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # On the page of a rule that exists, or to who may only look, there are no such fields.
        kinds = [kind for kind in defaults() if kind not in REGISTERED or REGISTERED[kind].feature]
        choices = {"kind": kinds, "feature": Feature.objects.values_list("slug", flat=True)}
        for name, words in choices.items():
            if name in self.fields:
                self.fields[name] = forms.ChoiceField(choices=[("", "---------"), *((word, word) for word in words)])


@admin.register(RetentionRule)
class RetentionRuleAdmin(PortableAdmin[RetentionRule], AuditedAdmin[RetentionRule]):
    about = (
        "How long the rows of one feature are kept, in place of the settings' time. A payload goes with its call at the latest. "
        "Deleting a rule brings the settings' time back, for rows that exist, too."
    )
    form = RuleForm
    fixed = identity = ("kind", "feature")
    list_display = ["__str__", "kind", "feature", "keep_days"]
    list_filter = ["kind"]
    search_fields = ["feature"]
    search_help_text = "Feature"


class HoldForm(forms.ModelForm[LegalHold]):
    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        whom = {name: found.get(name, "") for name in ("tenant", "user_ref")}
        if LegalHold.objects.filter(**whom, lifted_at=None).exists():
            raise forms.ValidationError("There is a legal hold in force for that already.")
        return found


class LiftHoldForm(forms.Form):
    """Why a legal hold is lifted."""

    reason = ReasonField(
        "Say why it is lifted",
        help_text="Goes into the audit log. What has expired meanwhile is removed within minutes.",
    )


@admin.register(LegalHold)
class LegalHoldAdmin(PageAdmin[LegalHold]):
    about = (
        "While a legal hold is in force, nothing of the tenant or user is removed or erased: calls, payloads, rows of "
        "other apps. What has expired stays invisible; whoever may export a person's data gets it with that."
    )
    form = HoldForm
    list_display = ["__str__", "state", "reason", "shown_set", "shown_lifted"]
    search_fields = ["tenant", "user_ref", "reason"]
    search_help_text = "Tenant, user reference or reason"
    ordering = [models.F("lifted_at").desc(nulls_first=True), "-id"]

    def get_fields(self, request: HttpRequest, obj: LegalHold | None = None) -> Any:
        told = ["state", "set_by", "set_at", "lifted_by", "lifted_at", "lift_reason"] if obj else []
        return ["tenant", "user_ref", "reason", *told]

    def has_change_permission(self, request: HttpRequest, obj: LegalHold | None = None) -> bool:
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: LegalHold | None = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.lift_view)
        return [path("<int:id>/lift/", view, name="tollhouse_gateway_legalhold_lift"), *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: LegalHold, form: Any, change: bool) -> None:
        legal.set_hold(obj, actor=request.user.get_username())

    def tools(self, request: HttpRequest, obj: LegalHold) -> list[Tool]:
        if obj.lifted_at or not request.user.has_perm(CHANGE_HOLD):
            return []
        return [Tool(label="Lift", url=reverse("admin:tollhouse_gateway_legalhold_lift", args=[obj.pk]))]

    @admin.display(description="State")
    def state(self, hold: LegalHold) -> str:
        kind, word = ("good", "lifted") if hold.lifted_at else ("warn", "in force")
        return format_html('<span class="th-pill {}">{}</span>', kind, word)

    @admin.display(description="Set", ordering="set_at")
    def shown_set(self, hold: LegalHold) -> str:
        return f"{moment(hold.set_at)}, {hold.set_by}"

    @admin.display(description="Lifted", ordering="lifted_at", empty_value="–")
    def shown_lifted(self, hold: LegalHold) -> str | None:
        return f"{moment(hold.lifted_at)}, {hold.lifted_by}: {hold.lift_reason}" if hold.lifted_at else None

    def lift_view(self, request: HttpRequest, id: int) -> HttpResponse:
        """Asks why, then lifts the legal hold."""
        if not request.user.has_perm(CHANGE_HOLD):
            raise PermissionDenied
        hold = LegalHold.objects.filter(pk=id, lifted_at=None).first()
        if hold is None:
            raise Http404(f"There is no legal hold {id} in force.")
        form = LiftHoldForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            legal.lift([hold], actor=request.user.get_username(), reason=form.cleaned_data["reason"])
            self.message_user(request, f"The legal hold on {hold} is lifted.")
            return HttpResponseRedirect(reverse("admin:tollhouse_gateway_legalhold_changelist"))
        context = {
            **self.admin_site.each_context(request), "title": "Lift", "opts": self.opts, "form": form, "hold": hold,
        }  # fmt: skip
        return TemplateResponse(request, "tollhouse/legal_lift.html", context)


@admin.register(CallSum)
class CallSumAdmin(ReadOnlyAdmin[CallSum]):
    about = "What removed calls have cost, by day (UTC), with their adjustments. Nothing of any person is in it."
    list_display = ["day", "feature", "tenant", "provider", "model_served", "outcome", "calls", "tokens", "cost"]
    list_filter = ["feature", "provider"]
    search_fields = ["feature", "tenant", "model_served"]
    search_help_text = "Feature, tenant or model"
    date_hierarchy = "day"

    @admin.display(description="Cost", ordering="cost_usd")
    def cost(self, row: CallSum) -> str:
        return usd(row.cost_usd)
