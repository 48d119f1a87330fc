"""Deployments: which versions of a prompt are live, and the one form that moves them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from gateway.access import tenants_of
from gateway.admin.base import ReadOnlyAdmin
from gateway.admin.fields import ReasonField
from gateway.admin.prompts import chosen_days
from gateway.models import Deployment, PromptVersion
from gateway.prompts.deploy import (
    MOST_WEIGHT,
    CannotMove,
    Move,
    Moved,
    Share,
    before_last,
    history,
    live_since,
    move,
    roll_back,
    shown,
)
from gateway.prompts.figures import DAYS, Figures, figures

#: How many versions, newest first, are offered beside those that are or were live; and how many moves are listed.
MOST_VERSIONS, MOST_LISTED = 30, 50


class MoveForm(forms.Form):
    """A weight for each version, and why the deployment moves. `seen` is its `moved_at` as the page showed it."""

    reason = ReasonField("Say why it moves")
    seen = forms.CharField(widget=forms.HiddenInput)

    def __init__(self, versions: list[PromptVersion], weights: Mapping[str, int], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.versions = versions
        for version in versions:
            self.fields[_field(version)] = forms.IntegerField(
                min_value=0, max_value=MOST_WEIGHT, required=False, initial=weights.get(version.address, 0),
                label=f"Weight of {version}",
                widget=forms.NumberInput(attrs={"aria-label": f"Weight of {version}", "class": "th-weight"}),
            )  # fmt: skip

    def clean_seen(self) -> datetime:
        try:
            return datetime.fromisoformat(self.cleaned_data["seen"])
        except ValueError:
            raise forms.ValidationError("Open this page again.") from None

    def weights(self) -> dict[PromptVersion, int]:
        """The versions that are to be live, with their weights."""
        found = {version: self.cleaned_data.get(_field(version)) or 0 for version in self.versions}
        return {version: weight for version, weight in found.items() if weight}


def _field(version: PromptVersion) -> str:
    return f"weight_{version.pk}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A version in the form's table. `figures` is None where the calls were too many to count."""

    version: PromptVersion
    field: forms.BoundField
    weight: int
    percent: float
    since: datetime | None
    figures: Figures | None


@admin.register(Deployment)
class DeploymentAdmin(ReadOnlyAdmin[Deployment]):
    """A deployment comes with its prompt's first version; what is live in it moves on its page."""

    list_display = ["prompt", "live", "moved_at", "moved_by", "reason"]
    list_select_related = ["prompt__feature"]
    search_fields = ["prompt__feature__slug"]
    search_help_text = "Feature"

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Deployment]:
        return super().get_queryset(request).prefetch_related("variants__version")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("tollhouse_gateway.change_deployment")

    @admin.display(description="Live")
    def live(self, deployment: Deployment) -> str:
        return shown(_shares(deployment))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        deployment = self.get_object(request, object_id)
        if deployment is None:
            raise Http404(f"There is no deployment {object_id}.")
        moves = history(deployment.prompt)
        versions = _versions(deployment, moves)
        if request.method != "POST":
            seen = {"seen": deployment.moved_at.isoformat()}
            form = MoveForm(versions, _weights(request, deployment, moves), initial=seen)
        elif not self.has_change_permission(request):
            raise PermissionDenied
        else:
            form = MoveForm(versions, {}, request.POST)
            if form.is_valid() and self._move(request, deployment, form):
                return HttpResponseRedirect(request.path)
        return self._page(request, deployment, form, moves)

    def _move(self, request: HttpRequest, deployment: Deployment, form: MoveForm) -> bool:
        """Does what the pressed button says; False, with the form's errors noted, where it cannot."""
        prompt, actor = deployment.prompt, request.user.get_username()
        reason, seen = form.cleaned_data["reason"], form.cleaned_data["seen"]
        alone = request.POST.get("alone", "")
        try:
            if "roll_back" in request.POST:
                moved: Move | None = roll_back(prompt, actor=actor, reason=reason, seen=seen)
            else:
                weights = {v: 100 for v in form.versions if str(v.pk) == alone} if alone else form.weights()
                moved = move(prompt, weights, actor=actor, reason=reason, seen=seen)
        except CannotMove as error:
            form.add_error(None, str(error))
            return False
        if moved:
            messages.success(request, f"Moved {prompt}: {moved}; in force within a second.")
        else:
            messages.info(request, f"Nothing moved: {prompt} has just that live.")
        return True

    def _page(
        self, request: HttpRequest, deployment: Deployment, form: MoveForm, moves: list[Moved]
    ) -> HttpResponse:  # fmt: skip
        days, since = chosen_days(request), live_since(moves)
        addresses = [version.address for version in form.versions]
        counted = figures(str(deployment.prompt), addresses, days, tenants_of(request.user))
        weights = {share.address: share.weight for share in _shares(deployment)}
        whole = sum(weights.values())
        context = {
            **self.admin_site.each_context(request),
            "title": f"Deployment of {deployment.prompt}",
            "opts": self.opts,
            "deployment": deployment,
            "may_move": self.has_change_permission(request),
            "form": form,
            "rows": [
                Row(
                    version=version, field=form[_field(version)], weight=weights.get(version.address, 0),
                    percent=100 * weights.get(version.address, 0) / whole if whole else 0,
                    since=since.get(version.address), figures=counted[version.address] if counted else None,
                )
                for version in form.versions
            ],
            "counted": counted is not None,
            "days": days,
            "periods": DAYS,
            "before": shown(before_last(moves)) if before_last(moves) else "",
            "moves": [(entry, shown(entry.before), shown(entry.after)) for entry in moves[:MOST_LISTED]],
        }  # fmt: skip
        return TemplateResponse(request, "admin/tollhouse_gateway/deployment/page.html", context)


def _shares(deployment: Deployment) -> list[Share]:
    return [Share(variant.version.address, variant.weight) for variant in deployment.variants.all()]


def _versions(deployment: Deployment, moves: list[Moved]) -> list[PromptVersion]:
    """Those that are live, the newest ones, and those that were live lately."""
    own = deployment.prompt.versions.select_related("prompt__feature").exclude(origin=PromptVersion.Origin.OBSERVED)
    weights = {share.address: share.weight for share in _shares(deployment)}
    wanted = {*weights, *(share.address for entry in moves[:MOST_LISTED] for share in entry.before)}
    found = {version.pk: version for version in [*own[:MOST_VERSIONS], *own.filter(address__in=wanted)]}
    return sorted(found.values(), key=lambda version: (-weights.get(version.address, 0), -version.pk))


def _weights(request: HttpRequest, deployment: Deployment, moves: list[Moved]) -> dict[str, int]:
    """What the form shows first: what is live, or what was after an earlier move that is to be put back."""
    wanted = request.GET.get("put_back", "")
    earlier = next((entry for entry in moves if str(entry.id) == wanted), None)
    return {share.address: share.weight for share in (earlier.after if earlier else _shares(deployment))}
