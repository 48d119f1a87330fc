from django import forms

from tickets.models import Ticket


class ReplyForm(forms.Form):
    """What the agent answers, and whether that solves the ticket."""

    text = forms.CharField(label="Your reply", widget=forms.Textarea(attrs={"rows": 9}))
    solved = forms.BooleanField(label="This solves the ticket", required=False)


class TriageForm(forms.ModelForm):
    """How a ticket is sorted."""

    class Meta:
        model = Ticket
        fields = ["status", "priority", "category"]
