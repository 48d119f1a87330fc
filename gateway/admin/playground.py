"""The playground's page: a version or a draft, rendered with sample variables, and run on a route."""

import json
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from budgets.models import Window
from gateway.access import visible
from gateway.admin.base import audit
from gateway.configuration.document import Document
from gateway.errors import GatewayError
from gateway.models import PromptVersion, Route
from gateway.models.catalog import PLAYGROUND
from gateway.prompts import playground as trial
from gateway.prompts.address import address
from gateway.prompts.meter import MOST_CHARACTERS
from gateway.prompts.template import MOST_TEXT, Template
from gateway.prompts.text import dumps, loads
from gateway.prompts.versions import write
from gateway.types import Json

#: How many versions can be chosen, newest first.
MOST_VERSIONS = 200
AREA = {"class": "vLargeTextField th-area", "spellcheck": "false"}


class PlaygroundForm(forms.Form):
    """A content as in a prompt's file, sample variables, and a route to run it on."""

    content = forms.CharField(
        max_length=2 * MOST_TEXT,
        strip=False,
        widget=forms.Textarea(attrs=AREA | {"rows": 16}),
        help_text="As in a prompt's file: messages, and tools, response_format and parameters where wanted.",
    )
    variables = forms.CharField(
        max_length=MOST_CHARACTERS,
        required=False,
        label="Sample variables",
        widget=forms.Textarea(attrs=AREA | {"rows": 6}),
        help_text="A JSON object. A run treats them as any input: the feature's policy redacts and keeps them.",
    )
    route = forms.ChoiceField(required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(route.name, str(route)) for route in Route.objects.all()]
        self.fields["route"] = forms.ChoiceField(choices=choices, required=False)

    def clean_content(self) -> dict[str, Json] | None:
        document = Document("line", self.cleaned_data["content"].replace("\r\n", "\n"))
        content = loads(document)
        if content is None:
            raise forms.ValidationError([str(problem).replace("line:", "Line ", 1) for problem in document.problems])
        return content

    def clean_variables(self) -> dict[str, Json]:
        try:
            variables = json.loads(self.cleaned_data["variables"] or "{}")
        except ValueError as error:
            raise forms.ValidationError(f"This is no JSON: {error}.") from None
        except RecursionError:
            raise forms.ValidationError("This is nested too deeply.") from None
        if not isinstance(variables, dict):
            raise forms.ValidationError('Write an object with a value for each variable, e.g. {"ticket": "…"}.')
        return variables

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        content, variables = found.get("content"), found.get("variables")
        if content and variables is not None:
            for misfit in Template(content["messages"]).misfits(variables):
                self.add_error("variables", misfit)
        return found


@method_decorator(sensitive_post_parameters("variables", "content"))
def playground(page: admin.ModelAdmin[PromptVersion], request: HttpRequest) -> HttpResponse:
    """The page: GET shows the version that the address names, POST renders the draft, runs it or saves it."""
    if not page.has_view_permission(request):
        raise PermissionDenied
    versions = visible(PromptVersion.objects.select_related("prompt__feature__route"), request.user)
    versions = versions.exclude(origin=PromptVersion.Origin.OBSERVED)
    version = _chosen(request, versions)
    context: dict[str, Any] = {}
    form = None
    if version is not None and request.method == "POST":
        form = PlaygroundForm(request.POST)
        _check_permission(request)
        if form.is_valid():
            if "save" in request.POST:
                return _save(request, version, form)
            context = _render(request, version, form)
    elif version is not None:
        form = PlaygroundForm(initial=_first(version))
    context |= {
        **page.admin_site.each_context(request),
        "title": "Playground",
        "opts": page.opts,
        "version": version,
        "versions": versions[:MOST_VERSIONS],
        "form": form,
        "may_run": request.user.has_perm("tollhouse_gateway.run_playground"),
        "may_save": request.user.has_perm("tollhouse_gateway.add_promptversion"),
        "budget": _budget(request),
    }
    return TemplateResponse(request, "admin/tollhouse_gateway/promptversion/playground.html", context)


def _chosen(request: HttpRequest, versions: Any) -> PromptVersion | None:
    wanted = request.GET.get("version", "")
    found: PromptVersion | None = versions.filter(pk=int(wanted)).first() if wanted.isdecimal() else versions.first()
    return found


def _first(version: PromptVersion) -> dict[str, str]:
    names = sorted(Template(version.content["messages"]).variables)
    return {
        "content": dumps(version.content),
        "variables": json.dumps(dict.fromkeys(names, ""), indent=2, ensure_ascii=False),
        "route": version.prompt.feature.route.name,
    }


def _check_permission(request: HttpRequest) -> None:
    for button, permission in (("run", "run_playground"), ("save", "add_promptversion")):
        if button in request.POST and not request.user.has_perm(f"tollhouse_gateway.{permission}"):
            raise PermissionDenied


def _render(request: HttpRequest, version: PromptVersion, form: PlaygroundForm) -> dict[str, Any]:
    """What the page shows of a rendering, and of the reply where the draft is to be run."""
    content, variables = form.cleaned_data["content"], form.cleaned_data["variables"]
    feature = version.prompt.feature
    shown: dict[str, Any] = {"draft": "" if address(content) == version.address else address(content)}
    try:
        shown["rendered"] = Template(content["messages"]).render(variables)
        if "run" in request.POST:
            route = form.cleaned_data["route"] or feature.route.name
            shown["reply"] = trial.run(feature.slug, content, variables, route=route, user=request.user)
    except GatewayError as error:
        shown["failure"] = error
    return shown


def _save(request: HttpRequest, version: PromptVersion, form: PlaygroundForm) -> HttpResponse:
    made, new = write(
        version.prompt.feature, form.cleaned_data["content"], origin=PromptVersion.Origin.ADMIN,
        actor=request.user.get_username(),
    )  # fmt: skip
    if new:
        audit(request, "create", made, drafted_from=version.address)
        messages.success(request, f"Written as {made}; it is not live yet.")
    else:
        messages.info(request, f"That is {made}, which was there already.")
    return HttpResponseRedirect(reverse("admin:tollhouse_gateway_promptversion_change", args=[made.pk]))


def _budget(request: HttpRequest) -> dict[str, Any] | None:
    """What is left of the playground's budget, for those who may run something."""
    if not request.user.has_perm("tollhouse_gateway.run_playground"):
        return None
    row = trial.budget()
    now = timezone.now()
    window = Window.objects.filter(budget=row, starts_at__lte=now, ends_at__gt=now).first()
    return {"row": row, "window": window, "in_force": trial.in_force(row), "key": PLAYGROUND}
