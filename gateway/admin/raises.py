"""Raises of budgets: the page that gives one, and the list of those that were given. Rates of other currencies beside them."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from budgets import raises
from budgets.models import Budget, BudgetRaise, Rate, Window
from budgets.scopes import in_words, join_value, split_value
from gateway.access import visible
from gateway.admin.base import EVERYWHERE, PageAdmin, ReadOnlyAdmin, audit, moment
from gateway.admin.portable import PortableAdmin
from gateway.templatetags.tollhouse import amount, meter, share

#: Which part of the limit the page proposes.
PROPOSED = 5


def may_raise(request: HttpRequest) -> bool:
    """Whether the request's user may raise budgets."""
    return request.user.has_perm("tollhouse_budgets.raise_budget")


class RaiseForm(forms.ModelForm[BudgetRaise]):
    """One raise. `after` is the latest raise when the page was opened, so that one click is one raise."""

    after = forms.IntegerField(widget=forms.HiddenInput)

    class Meta:
        model = BudgetRaise
        fields = ["amount", "reason", "expires_at"]
        widgets = {"expires_at": forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")}
        labels = {"expires_at": "Until"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        budget = self.instance.budget
        self.fields["amount"].label = f"How much more, in {budget.unit}"
        parts = split_value(budget.each, self.instance.value) or [""] * len(budget.each)
        for name, part in zip(budget.each, parts, strict=True):
            help_text = f"Empty: calls without a {name}."
            self.fields[f"of_{name}"] = forms.CharField(
                label=f"For which {name}", required=False, initial=part, help_text=help_text
            )

    def clean_expires_at(self) -> Any:
        if self.cleaned_data["expires_at"] <= timezone.now():
            raise forms.ValidationError("That is past; a raise counts until a moment to come.")
        return self.cleaned_data["expires_at"]

    @property
    def value(self) -> str:
        """The value of the budget that the raise is for."""
        each = self.instance.budget.each
        return join_value([self.cleaned_data[f"of_{name}"] for name in each]) if each else ""


def raise_view(page: PageAdmin[Budget], request: HttpRequest, pk: int) -> HttpResponse:
    """Asks how much more, why and until when; with `?window=ID` for that window's value and until its end."""
    if not may_raise(request):
        raise PermissionDenied
    budget = get_object_or_404(visible(Budget.objects.all(), request.user), pk=pk)
    window = _window(budget, request.GET.get("window", ""))
    value = window.value if window else ""
    form = RaiseForm(
        request.POST or None,
        instance=BudgetRaise(budget=budget, value=value),
        initial={"after": raises.latest(budget), "amount": _proposal(budget), "expires_at": _end(budget, window)},
    )
    if request.method == "POST" and form.is_valid():
        try:
            made = _give(request, budget, form)
        except raises.RaisedSince:
            form.add_error(None, "The budget was raised since this page was opened; look at it again.")
        else:
            messages.success(request, f"Raised: {made}, until {moment(made.expires_at)}.")
            return HttpResponseRedirect(reverse("admin:tollhouse_budgets_budget_change", args=[budget.pk]))
    context = {
        **page.admin_site.each_context(request), "title": f"Raise {budget}", "opts": page.opts, "budget": budget,
        "window": window, "used": _used(window) if window else "", "form": form,
        "raises": BudgetRaise.objects.in_force().filter(budget=budget, value=value).select_related("budget"),
    }  # fmt: skip
    return TemplateResponse(request, "tollhouse/budget_raise.html", context)


def _window(budget: Budget, asked: str) -> Window | None:
    """The window that the address names; else, for a budget that is not divided, the one that is open."""
    found = Window.objects.filter(budget=budget).select_related("budget").with_limit()
    if asked.isdecimal() and len(asked) < 19:
        return found.filter(pk=int(asked)).first()
    return None if budget.each else found.filter(ends_at__gt=timezone.now()).first()


def _proposal(budget: Budget) -> str:
    part = budget.limit / PROPOSED
    whole = part.to_integral_value() if part >= 1 or budget.metric != Budget.Metric.USD else part
    return f"{whole.normalize():f}" if whole else ""


def _end(budget: Budget, window: Window | None) -> Any:
    now = timezone.now()
    ends_at = window.ends_at if window and window.ends_at > now else budget.window_at(now)[1]
    return ends_at if ends_at > now else None


def _used(window: Window) -> str:
    metric = window.budget.metric
    return format_html(
        '{} {} spent, {} held of {}', meter(share(window.spent, window.limit), share(window.held, window.limit)),
        amount(window.spent, metric), amount(window.held, metric), amount(window.limit, metric),
    )  # fmt: skip


def _give(request: HttpRequest, budget: Budget, form: RaiseForm) -> BudgetRaise:
    given = {name: form.cleaned_data[name] for name in ("amount", "reason", "expires_at")}
    with transaction.atomic():
        made = raises.give(
            budget, form.value, **given, by=request.user.get_username(), after=form.cleaned_data["after"]
        )
        audit(
            request, "raise", budget, reason=made.reason, amount=f"{made.amount.normalize():f} {budget.unit}",
            value=made.value, until=made.expires_at.isoformat(),
        )  # fmt: skip
    return made


class InForce(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("in-force", "in force"), ("over", "over")]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        if self.value() is None:
            return queryset
        current = BudgetRaise.objects.in_force().values("pk")
        return queryset.filter(pk__in=current) if self.value() == "in-force" else queryset.exclude(pk__in=current)


@admin.register(BudgetRaise)
class BudgetRaiseAdmin(ReadOnlyAdmin[BudgetRaise]):
    about = (
        "More of a budget for a time: who gave it, why and until when. To give one, use “Raise” on the budget's page; to "
        "end one early, choose it here and run “Withdraw”."
    )
    list_display = ["shown_budget", "shown_value", "shown_amount", "reason", "by", "at", "expires_at", "state"]
    list_filter = [InForce]
    list_select_related = ["budget"]
    search_fields = ["budget__feature", "budget__tenant", "value", "reason", "by"]
    search_help_text = "Feature, tenant, reason or who gave it"
    actions = ["withdraw"]
    fields = ["shown_budget", "shown_value", "shown_amount", "reason", "by", "at", "expires_at", "state", "withdrawn_by",
              "withdrawn_at"]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[BudgetRaise]:
        return super().get_queryset(request).select_related("budget")

    def has_raise_permission(self, request: HttpRequest) -> bool:
        """Named by the action that withdraws."""
        return may_raise(request)

    @admin.display(description="Budget", ordering="budget")
    def shown_budget(self, row: BudgetRaise) -> str:
        return str(row.budget)

    @admin.display(description="Of", ordering="value", empty_value="all together")
    def shown_value(self, row: BudgetRaise) -> str | None:
        return in_words(row.budget.each, row.value) or None

    @admin.display(description="Amount", ordering="amount")
    def shown_amount(self, row: BudgetRaise) -> str:
        return format_html('<span class="th-number">{} {}</span>', f"{row.amount.normalize():,f}", row.budget.unit)

    @admin.display(description="State")
    def state(self, row: BudgetRaise) -> str:
        over = "withdrawn" if row.withdrawn_at else "expired" if row.expires_at <= timezone.now() else ""
        return format_html('<span class="th-pill {}">{}</span>', "" if over else "good", over or "in force")

    @admin.action(description="Withdraw: the limit counts as before", permissions=["raise"], location=EVERYWHERE)
    def withdraw(self, request: HttpRequest, queryset: models.QuerySet[BudgetRaise]) -> None:
        with transaction.atomic():
            ended = raises.withdraw(queryset, by=request.user.get_username())
            for row in ended:
                audit(request, "withdraw", row)
        self.message_user(request, f"Withdrawn: {', '.join(map(str, ended)) or 'nothing, none was in force'}.")


@admin.register(Rate)
class RateAdmin(PortableAdmin[Rate]):
    about = (
        "What one US dollar is in another currency, from a day on, and who says so. Limits in that currency are converted "
        "by it; a window keeps the rate that it began with. A rate is never changed: to correct one, add a row for the same day."
    )
    identity = ("currency", "effective_from")
    told = ("created_at",)
    appended = True
    list_display = ["currency", "per_usd", "effective_from", "source"]
    list_filter = ["currency"]
    search_fields = ["currency", "source"]
    search_help_text = "Currency or source"
    fields = ["currency", "per_usd", "effective_from", "source"]

    def has_change_permission(self, request: HttpRequest, obj: Rate | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Rate | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Rate, form: ModelForm[Rate], change: bool) -> None:
        super().save_model(request, obj, form, change)
        audit(request, "create", obj, per_usd=f"{obj.per_usd.normalize():f}", source=obj.source)
