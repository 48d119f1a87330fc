"""Redaction policies. They stand here, as their changes are audited by the gate."""

from typing import Any

from django import forms
from django.contrib import admin

from gateway.admin.base import AuditedAdmin
from redaction.models import RedactionPolicy
from redaction.policies import KNOWN_ENTITIES


class PolicyForm(forms.ModelForm[RedactionPolicy]):
    entities = forms.MultipleChoiceField(
        choices=[(name, name) for name in KNOWN_ENTITIES],
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text="Kinds of personal data that are looked for.",
    )

    class Meta:
        model = RedactionPolicy
        fields = ["name", "outbound", "stored", "entities", "threshold", "pseudonyms", "session_hours"]
        labels = {"outbound": "To the provider", "stored": "Kept", "threshold": "Threshold, 0 to 1"}
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
    fields = ["name", "outbound", "stored", "entities", "threshold", "pseudonyms", "session_hours"]
    list_display = ["name", "outbound", "stored", "shown_entities", "threshold"]
    list_filter = ["outbound", "stored"]
    search_fields = ["name"]
    search_help_text = "Name"

    @admin.display(description="Entities")
    def shown_entities(self, policy: RedactionPolicy) -> str:
        return ", ".join(policy.entities) or "none"
