"""Redaction policies, allow and deny lists, and the page on which a policy is tried out. Here, as the gate audits changes."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse

from gateway.admin.base import AuditedAdmin, Tool
from gateway.admin.fields import LinesField, PairsField
from gateway.admin.policy_trial import try_policy
from gateway.admin.portable import PortableAdmin
from redaction.models import RedactionList, RedactionPolicy
from redaction.policies import KNOWN_ENTITIES


class PolicyForm(forms.ModelForm[RedactionPolicy]):
    entities = forms.MultipleChoiceField(
        choices=[(name, name) for name in KNOWN_ENTITIES],
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text="Kinds of personal data that are looked for. Credentials always are.",
    )
    rules = PairsField(
        help_text="One a line: what happens to an entity on the way out instead, e.g. CREDIT_CARD = refuse, EMAIL_ADDRESS = mask "
        "or LOCATION = off."
    )
    thresholds = PairsField(number=True, help_text="One a line: an entity's least score instead, e.g. PERSON = 0.6.")
    parts = PairsField(
        label="Parts, to the provider",
        help_text="One a line: what happens in a part of a call instead, e.g. tool_results = mask. Parts are prompts, replies, "
        "system, tool_arguments, tool_results and embeddings. A part that is off is not looked at.",
    )
    stored_parts = PairsField(
        label="Parts, kept", help_text="One a line: what is kept of a part instead, e.g. replies = none."
    )

    class Meta:
        model = RedactionPolicy
        fields = [
            "name", "outbound", "stored", "entities", "threshold", "thresholds", "rules", "parts", "stored_parts", "media",
            "pseudonyms", "session_hours",
        ]  # fmt: skip
        labels = {
            "outbound": "To the provider",
            "stored": "Kept",
            "threshold": "Threshold, 0 to 1",
            "media": "Images and files",
        }
        help_texts = {
            "outbound": "What is found: pseudonymise replaces it and puts it back into the reply, mask replaces it for good, "
            "refuse refuses the call.",
            "stored": "Of messages and reply: nothing, a keyed hash, the redacted text, or the full text.",
            "threshold": "Least score at which a finding counts. Lower finds more, and more that is none.",
        }

    def clean_entities(self) -> list[str]:
        # In the row's own order where it has one, so that an unchanged form changes nothing.
        chosen: list[str] = self.cleaned_data["entities"]
        known: list[Any] = self.instance.entities or []
        return [*(e for e in known if e in chosen), *(e for e in chosen if e not in known)]


@admin.register(RedactionPolicy)
class RedactionPolicyAdmin(AuditedAdmin[RedactionPolicy]):
    about = "What happens to personal data in calls: on the way to the provider, and in what is kept. Features name their policy."
    form = PolicyForm
    fixed = ("name",)
    fieldsets = [
        (None, {"fields": ["name", "outbound", "stored", "media"]}),
        ("What is found", {"fields": ["entities", "threshold", "thresholds"]}),
        ("Pseudonyms", {"fields": ["pseudonyms", "session_hours"]}),
        ("Otherwise for some entities and parts", {"fields": ["rules", "parts", "stored_parts"]}),
    ]
    list_display = ["name", "outbound", "stored", "shown_entities", "threshold"]
    list_filter = ["outbound", "stored"]
    search_fields = ["name"]
    search_help_text = "Name"

    def get_urls(self) -> list[URLPattern]:
        name = "tollhouse_redaction_redactionpolicy_try"
        return [path("<int:pk>/try/", self.admin_site.admin_view(self.try_out), name=name), *super().get_urls()]

    def try_out(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The page on which the policy is tried out with a text."""
        return try_policy(request, self, pk)

    def tools(self, request: HttpRequest, obj: RedactionPolicy) -> list[Tool]:
        if not request.user.has_perm("tollhouse_redaction.try_redactionpolicy"):
            return []
        return [Tool(label="Try it out", url=reverse("admin:tollhouse_redaction_redactionpolicy_try", args=[obj.pk]))]

    @admin.display(description="Entities")
    def shown_entities(self, policy: RedactionPolicy) -> str:
        return ", ".join(policy.entities) or "none"


class ListForm(forms.ModelForm[RedactionList]):
    allow = LinesField(
        required=False,
        help_text="One a line: texts that are no personal data and stay as they are, in letters of any case.",
    )
    deny = LinesField(
        required=False, help_text="One a line: texts that are always found, as whole words, in letters of any case."
    )
    patterns = PairsField(
        help_text=r"One a line: an entity's name and a regular expression, e.g. EMPLOYEE = \bE\d{6}\b. Repetitions need bounds, "
        r"{1,20} for +, so that no text can make it slow."
    )

    class Meta:
        model = RedactionList
        fields = ["policy", "tenant", "allow", "deny", "patterns", "outbound"]
        labels = {"outbound": "To the provider"}


@admin.register(RedactionList)
class RedactionListAdmin(PortableAdmin[RedactionList], AuditedAdmin[RedactionList]):
    about = "Texts and patterns that only you know: for one policy or all, and for one tenant or all."
    form = ListForm
    identity = ("policy", "tenant")
    list_display = ["__str__", "policy", "tenant", "allowed", "denied", "shown_patterns", "outbound"]
    list_filter = ["policy"]
    list_select_related = ["policy"]
    search_fields = ["tenant", "policy__name"]
    search_help_text = "Tenant or policy"

    @admin.display(description="Allowed")
    def allowed(self, row: RedactionList) -> int:
        return len(row.allow)

    @admin.display(description="Denied")
    def denied(self, row: RedactionList) -> int:
        return len(row.deny)

    @admin.display(description="Patterns")
    def shown_patterns(self, row: RedactionList) -> str:
        return ", ".join(row.patterns) or "none"
