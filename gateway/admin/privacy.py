"""The page of a person's rights: export and erasure, by user reference or by the application's user id."""

import json
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.debug import sensitive_post_parameters

from gateway import keys, privacy
from gateway.admin.fields import ReasonField
from gateway.privacy import CannotErase

EXPORT, ERASE = "tollhouse_gateway.export_person", "tollhouse_gateway.erase_person"


class PersonForm(forms.Form):
    """Who it is about, and why."""

    user_ref = forms.CharField(
        label="User reference", max_length=200, required=False, help_text="As the person's calls show it.",
    )  # fmt: skip
    user = forms.CharField(
        label="or user id", max_length=500, required=False,
        help_text="As your application passes it; the reference is made from it, and it is kept nowhere.",
    )  # fmt: skip
    reason = ReasonField(help_text="Goes into the audit log, e.g. the number of the request.")
    sure = forms.BooleanField(
        label="Erase for good", required=False, help_text="Needed for erasure; nobody can undo it."
    )

    def __init__(self, data: Any, *, erase: bool) -> None:
        super().__init__(data)
        self._erase = erase

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        ref, user = found.get("user_ref", ""), found.get("user", "")
        if bool(ref) == bool(user):
            raise forms.ValidationError("Give a user reference or a user id, one of the two.")
        if self._erase and not found.get("sure"):
            self.add_error("sure", "Tick this to erase.")
        found["ref"] = ref or keys.user_ref(user)
        return found


def urls(site: AdminSite) -> list[URLPattern]:
    """The page's address, among those of calls."""
    return [
        path("person/", site.admin_view(lambda request: person(request, site)), name="tollhouse_gateway_call_person")
    ]


def may_see(request: HttpRequest) -> bool:
    """Whether the user may do anything on the page."""
    return request.user.has_perm(EXPORT) or request.user.has_perm(ERASE)


@sensitive_post_parameters("user", "user_ref")
def person(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Asks for a person and a reason; exports as a file, or erases."""
    if not may_see(request):
        raise PermissionDenied
    erase = "erase" in request.POST
    if request.method == "POST" and not request.user.has_perm(ERASE if erase else EXPORT):
        raise PermissionDenied
    form = PersonForm(request.POST if request.method == "POST" else None, erase=erase)
    if request.method == "POST" and form.is_valid():
        ref, reason, actor = form.cleaned_data["ref"], form.cleaned_data["reason"], request.user.get_username()
        if not erase:
            text = json.dumps(privacy.export(ref, actor=actor, reason=reason), indent=2, ensure_ascii=False)
            headers = {"Content-Disposition": 'attachment; filename="person.json"', "Cache-Control": "no-store"}
            return HttpResponse(text, content_type="application/json", headers=headers)
        try:
            counts = privacy.erase(ref, actor=actor, reason=reason)
        except CannotErase as error:
            form.add_error(None, str(error))
        else:
            told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
            messages.success(request, f"Erased: {told}." if any(counts.values()) else "Nothing is kept of that person.")
            form = PersonForm(None, erase=False)
    context = {
        **site.each_context(request), "title": "A person's data", "form": form,
        "may_export": request.user.has_perm(EXPORT), "may_erase": request.user.has_perm(ERASE),
    }  # fmt: skip
    return TemplateResponse(request, "tollhouse/person.html", context)
