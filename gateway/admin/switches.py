"""Kill switches: the list, the form that sets one, the page that lifts some, and links to the form from elsewhere."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode

from budgets.models import Alert, Switch
from gateway import switches
from gateway.access import visible
from gateway.admin.base import EVERYWHERE, PageAdmin, Tool, moment
from gateway.admin.fields import ReasonField
from gateway.models import Call, Target
from gateway.switches import CannotSwitch

ADD, CHANGE = "tollhouse_budgets.add_switch", "tollhouse_budgets.change_switch"
#: How long a switch may be told to last, in minutes; empty: until somebody lifts it.
LASTS = {
    "": "until somebody lifts it", "15": "15 minutes", "60": "1 hour", "240": "4 hours", "1440": "24 hours", "10080": "7 days",
}  # fmt: skip


class InForce(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("in-force", "in force"), ("over", "over")]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Switch]) -> models.QuerySet[Switch]:
        in_force = Switch.objects.in_force()
        match self.value():
            case "in-force":
                return queryset.filter(pk__in=in_force)
            case "over":
                return queryset.exclude(pk__in=in_force)
        return queryset


class SwitchForm(forms.ModelForm[Switch]):
    """What a switch is of, why, and until when. `replace` is offered where there is one of the same scope."""

    lasts = forms.ChoiceField(label="For how long", choices=LASTS.items, required=False)
    replace = forms.BooleanField(label="Replace the one in force", required=False)
    alert = forms.ModelChoiceField(Alert.objects.all(), required=False, widget=forms.HiddenInput)

    class Meta:
        model = Switch
        fields = ["scope", "value", "tenant", "reason", "running", "expires_at"]
        labels = {"value": "Of what", "tenant": "Only for tenant", "expires_at": "Or until"}
        widgets = {"reason": forms.TextInput(attrs={"class": "vLargeTextField", "autocomplete": "off"})}
        help_texts = {"expires_at": "An exact time, in place of the choice above."}

    def validate_constraints(self) -> None:
        """What is in the way is told by `clean`, in words; the rest of a switch by the model's own."""

    def clean(self) -> dict[str, Any]:
        """A switch of something that is not configured would stop nothing, so a misspelt name is an error."""
        found = super().clean() or {}
        value, scope = found.get("value") or "", found.get("scope") or ""
        if wrong := switches.unknown(scope, value):
            self.add_error("value", wrong)
            found["value"] = value  # taken out by the line above, and the row would find it missing, too
        elif scope and not found.get("replace"):
            same = Switch(scope=scope, value=value, tenant=found.get("tenant") or "")
            if current := switches.in_the_way(same):
                self.add_error(None, switches.already(current))
        if found.get("lasts"):
            if found.get("expires_at"):
                self.add_error("expires_at", "Choose for how long, or give a time, not both.")
            found["expires_at"] = switches.database_now() + timedelta(minutes=int(found["lasts"]))
        elif found.get("expires_at") and found["expires_at"] <= switches.database_now():
            self.add_error("expires_at", "That is over already.")
        return found


class LiftForm(forms.Form):
    """Why switches are lifted."""

    reason = ReasonField("Say why it is lifted")


@admin.register(Switch)
class SwitchAdmin(PageAdmin[Switch]):
    about = (
        "Adding a switch stops its calls on the next hold in every process; what they read is the reason. “Lift” lets them "
        "pass again."
    )
    form = SwitchForm
    list_filter = [InForce, "scope"]
    search_fields = ["value", "tenant", "reason"]
    search_help_text = "Name or reason"
    actions = ["lift"]
    ordering = [models.F("lifted_at").desc(nulls_first=True), "-set_at"]

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        may_lift = ["shown_lift"] if request.user.has_perm(CHANGE) else []
        return ["__str__", "state", *may_lift, "reason", "shown_set", "shown_end"]

    def get_fields(self, request: HttpRequest, obj: Switch | None = None) -> Any:
        if obj:
            told = ["set_by", "set_at", "expires_at", "lifted_by", "lifted_at", "lift_reason"]
            return ["scope", "value", "tenant", "reason", "state", "running", *told]
        replace = ["replace"] if request.method == "POST" and _conflict(request.POST) else []
        return [*replace, ("scope", "value", "tenant"), "reason", ("lasts", "expires_at"), "running", "alert"]

    def has_change_permission(self, request: HttpRequest, obj: Switch | None = None) -> bool:
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Switch | None = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.lift_view)
        return [path("lift/", view, name="tollhouse_budgets_switch_lift"), *super().get_urls()]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        extra_context = {"save_label": "Switch off", **(extra_context or {})}
        if object_id is None and (alert := _alert(request)):
            extra_context["about"] = f"{self.about} You come from the alert: {alert.summary}"
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except CannotSwitch as error:
            # Somebody else was faster, between the form's check and the row.
            messages.error(request, str(error))
            return HttpResponseRedirect(reverse("admin:tollhouse_budgets_switch_changelist"))

    def save_model(self, request: HttpRequest, obj: Switch, form: SwitchForm, change: bool) -> None:
        chosen = form.cleaned_data
        switches.switch_off(
            obj, actor=request.user.get_username(), replace=bool(chosen.get("replace")), because=chosen.get("alert")
        )
        if warning := switches.unheard(obj):
            messages.warning(request, warning)

    def tools(self, request: HttpRequest, obj: Switch) -> list[Tool]:
        if obj.lifted_at or not request.user.has_perm(CHANGE):
            return []
        return [Tool(label="Lift", url=lift_url([obj]))]

    @admin.display(description="State")
    def state(self, switch: Switch) -> str:
        kind, word = ("good", "over") if _is_over(switch) else ("bad", "in force")
        cuts = switch.running == Switch.Running.CUT and format_html(' <span class="th-pill {}">cuts</span>', "warn")
        return format_html('<span class="th-pill {}">{}</span>{}', kind, word, cuts or "")

    @admin.display(description="Set", ordering="set_at")
    def shown_set(self, switch: Switch) -> str:
        return f"{moment(switch.set_at)}, {switch.set_by or 'someone'}"

    @admin.display(description="Until", ordering="lifted_at", empty_value="–")
    def shown_end(self, switch: Switch) -> str | None:
        if switch.lifted_at:
            why = f": {switch.lift_reason}" if switch.lift_reason else ""
            return f"{moment(switch.lifted_at)}, {switch.lifted_by or 'someone'}{why}"
        return moment(switch.expires_at) if switch.expires_at else None

    @admin.display(description="Lift")
    def shown_lift(self, switch: Switch) -> str:
        return "" if _is_over(switch) else format_html('<a href="{}">Lift</a>', lift_url([switch]))

    @admin.action(description="Lift: let these calls pass again", permissions=["change"], location=EVERYWHERE)
    def lift(self, request: HttpRequest, queryset: models.QuerySet[Switch]) -> HttpResponse:
        return HttpResponseRedirect(lift_url(queryset))

    def lift_view(self, request: HttpRequest) -> HttpResponse:
        """Asks why, then lifts the switches that the address names."""
        if not request.user.has_perm(CHANGE):
            raise PermissionDenied
        ids = [int(id) for id in request.GET.getlist("id") if id.isascii() and id.isdigit() and len(id) < 19]
        chosen = visible(Switch.objects.filter(pk__in=ids), request.user)
        form = LiftForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            lifted = switches.lift(chosen, actor=request.user.get_username(), reason=form.cleaned_data["reason"])
            self.message_user(request, f"Lifted: {', '.join(map(str, lifted)) or 'nothing, none was in force'}.")
            return HttpResponseRedirect(reverse("admin:tollhouse_budgets_switch_changelist"))
        in_force = visible(Switch.objects.in_force().filter(pk__in=ids), request.user)
        context = {
            **self.admin_site.each_context(request), "title": "Lift", "opts": self.opts, "form": form, "switches": in_force,
        }  # fmt: skip
        return TemplateResponse(request, "tollhouse/switch_lift.html", context)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {name: value for name, value in super().get_changeform_initial_data(request).items() if value}


def lift_url(chosen: Any) -> str:
    """The address of the page that lifts these switches."""
    ids = urlencode({"id": [switch.pk for switch in chosen]}, doseq=True)
    return f"{reverse('admin:tollhouse_budgets_switch_lift')}?{ids}"


def off_url(scope: str, value: str, *, tenant: str = "", alert: int | None = None) -> str:
    """The address of the form that switches this off; nothing happens before it is sent."""
    given = {"scope": scope, "value": value, "tenant": tenant, "alert": alert}
    return f"{reverse('admin:tollhouse_budgets_switch_add')}?{urlencode({k: v for k, v in given.items() if v})}"


def links_of_call(request: HttpRequest, call: Call) -> list[Tool]:
    """What can be switched off because of a call, the narrowest first; nothing for those who may not."""
    if not request.user.has_perm(ADD):
        return []
    found = [Tool(label=f"feature {call.feature}", url=off_url("feature", call.feature))]
    if call.tenant:
        label = f"feature {call.feature} of tenant {call.tenant}"
        found.insert(0, Tool(label=label, url=off_url("feature", call.feature, tenant=call.tenant)))
    # A provider may answer under the name of a snapshot; the switch wants the name that the route has.
    models_of_route = Target.objects.filter(route__name=call.route, provider__name=call.provider).values_list(
        "model", flat=True
    )
    model = max((m for m in models_of_route if call.model_served.startswith(m)), key=len, default="")
    named = {
        "user": call.user_ref, "tenant": call.tenant, "cohort": call.cohort, "key": call.key, "model": model,
        "provider": call.provider,
    }  # fmt: skip
    return [*found, *(Tool(label=f"{s} {v}", url=off_url(s, v)) for s, v in named.items() if v)]


def link_of_filters(request: HttpRequest, exact: Mapping[str, str]) -> list[Tool]:
    """The link that switches off what a list of calls is narrowed down to."""
    if not request.user.has_perm(ADD):
        return []
    if feature := exact.get("feature"):
        return [Tool(label=f"Switch {feature} off", url=off_url("feature", feature, tenant=exact.get("tenant", "")))]
    names = {"tenant": "tenant", "user": "user_ref", "key": "key", "provider": "provider", "model": "model_served"}
    found = next(((scope, exact[name]) for scope, name in names.items() if exact.get(name)), None)
    if found is None:
        return [Tool(label="Switch something off", url=reverse("admin:tollhouse_budgets_switch_add"))]
    return [Tool(label=f"Switch {' '.join(found)} off", url=off_url(*found))]


def link_of_alert(request: HttpRequest, alert: Alert) -> list[Tool]:
    """The link that switches off what an alert is about, where it is about a feature or a tenant."""
    if not (alert.feature or alert.tenant) or alert.kind == "switch" or not request.user.has_perm(ADD):
        return []
    if alert.feature:
        url, what = off_url("feature", alert.feature, tenant=alert.tenant, alert=alert.pk), f"feature {alert.feature}"
        what += f" of tenant {alert.tenant}" if alert.tenant else ""
    else:
        url, what = off_url("tenant", alert.tenant, alert=alert.pk), f"tenant {alert.tenant}"
    return [Tool(label=f"Switch {what} off", url=url)]


def _is_over(switch: Switch) -> bool:
    return bool(switch.lifted_at or (switch.expires_at and switch.expires_at <= timezone.now()))


def _conflict(given: QueryDict) -> bool:
    """Whether what was sent names a scope that is switched off already."""
    scope, value, tenant = (given.get(name, "").strip() for name in ("scope", "value", "tenant"))
    return switches.in_the_way(Switch(scope=scope, value=value, tenant=tenant)) is not None


def _alert(request: HttpRequest) -> Alert | None:
    """The alert that led to the form, for those who may see it."""
    id = request.GET.get("alert", "")
    if not (id.isascii() and id.isdigit() and len(id) < 19) or not request.user.has_perm(
        "tollhouse_budgets.view_alert"
    ):
        return None
    return visible(Alert.objects.filter(pk=id), request.user).first()
