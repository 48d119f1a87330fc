"""The page on which a policy is tried out: a text, what is found in it, and what would be sent and kept of it.

The text goes no further than the answer: it is neither stored nor logged, and no call is made.
"""

from time import perf_counter
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.views.decorators.debug import sensitive_post_parameters

from redaction.explain import explain
from redaction.messages import RedactionFailed
from redaction.models import RedactionList, RedactionPolicy
from redaction.policies import PARTS

MOST_CHARACTERS = 50_000
MOST_SECONDS = 10.0
#: How pages call the parts of a call.
LABELS = {
    "prompts": "A user's message", "system": "A system message", "replies": "A reply", "tool_arguments": "A tool's arguments",
    "tool_results": "A tool's result", "embeddings": "An embeddings input", "tools": "A tool's description",
}  # fmt: skip


class TrialForm(forms.Form):
    text = forms.CharField(
        max_length=MOST_CHARACTERS,
        strip=False,
        widget=forms.Textarea(attrs={"class": "vLargeTextField th-area", "rows": 8, "spellcheck": "false"}),
        help_text="Any text. It is analysed here and now, and neither kept nor logged nor sent.",
    )
    part = forms.ChoiceField(label="As", choices=[(part, LABELS[part]) for part in PARTS])
    tenant = forms.CharField(
        required=False, max_length=200, help_text="Whose lists hold besides those of every tenant."
    )


@sensitive_post_parameters("text")
def try_policy(request: HttpRequest, page: admin.ModelAdmin[RedactionPolicy], pk: int) -> HttpResponse:
    """The page: GET shows the form, POST what would become of the text in it."""
    if not request.user.has_perm("tollhouse_redaction.try_redactionpolicy"):
        raise PermissionDenied
    row = get_object_or_404(RedactionPolicy, pk=pk)
    context: dict[str, Any] = {
        **page.admin_site.each_context(request), "title": f"Try {row}", "opts": page.opts, "policy": row, "form": TrialForm(),
    }  # fmt: skip
    if request.method == "POST":
        form = context["form"] = TrialForm(request.POST)
        if form.is_valid():
            context |= _explained(row, **form.cleaned_data)
    return TemplateResponse(request, "admin/tollhouse_redaction/redactionpolicy/try.html", context)


def _explained(row: RedactionPolicy, text: str, part: str, tenant: str) -> dict[str, Any]:
    policy = row.as_policy(RedactionList.objects.all()).for_tenant(tenant)
    # Browsers send line ends that the text did not have.
    text = text.replace("\r\n", "\n")
    try:
        explained = explain(text, policy, part=part, ends_at=perf_counter() + MOST_SECONDS)
    except (RedactionFailed, TimeoutError):
        return {
            "failure": f"The text could not be analysed within {MOST_SECONDS:.0f} seconds; a call with it is refused."
        }
    return {"explained": explained, "looked_at": policy.looks_at(part)}
