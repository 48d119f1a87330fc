"""Form fields that the gate's admins share."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.db import models

from gateway.access import User, visible


class LinesField(forms.CharField):
    """A list of texts, one a line."""

    widget = forms.Textarea(attrs={"rows": 4, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in (value or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(data) != (initial or []))


class ReasonField(forms.CharField):
    """Why something is done, as long as the audit log keeps it. `question` is asked of who leaves it empty."""

    widget = forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off"})

    def __init__(self, question: str = "Say why", *, help_text: str = "Goes into the audit log.") -> None:
        told = {"required": f"{question}; the reason goes into the audit log."}
        super().__init__(max_length=500, help_text=help_text, error_messages=told)


class NameField(forms.ChoiceField):
    """The name of something configured, or nothing. A name that has gone since stays, so that the row can be edited.

    `names` are one column of rows, so that those can be narrowed down to what a user may see.
    """

    def __init__(self, names: Callable[[], models.QuerySet[Any, str]], *, empty: str, **kwargs: Any) -> None:
        self._names, self._empty, self._own = names, empty, ""
        super().__init__(choices=lambda: self._offered(""), required=False, **kwargs)

    def keep(self, name: str) -> None:
        """Offers a row's own name too."""
        self._own = name
        self.choices = self._offered(name)

    def narrow(self, user: User) -> None:
        """Offers only names of rows that the user may see."""
        names = self._names
        self._names = lambda: visible(names(), user)
        self.choices = self._offered(self._own)

    def _offered(self, own: str) -> list[tuple[str, str]]:
        known = list(self._names())
        gone = [(own, f"{own} (not configured)")] if own and own not in known else []
        return [("", self._empty), *((name, name) for name in known), *gone]


class PairsField(forms.CharField):
    """A table of names and values, `name = value` on each line; with `number` the values are numbers."""

    widget = forms.Textarea(attrs={"rows": 4, "spellcheck": "false"})

    def __init__(self, *, number: bool = False, **options: Any) -> None:
        self.number = number
        super().__init__(**{"required": False, "max_length": 50_000, **options})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(f"{name} = {item}" for name, item in value.items()) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> Any:
        found: dict[str, Any] = {}
        for line in (super().to_python(value) or "").splitlines():
            name, equals, item = (part.strip() for part in line.partition("="))
            if not line.strip():
                continue
            if not (name and equals and item):
                raise forms.ValidationError(f"{line[:60]!r}: write name = value.")
            if name in found:
                raise forms.ValidationError(f"{name} is there twice.")
            try:
                found[name] = float(item) if self.number else item
            except ValueError:
                raise forms.ValidationError(f"{name}: {item[:60]!r} is no number.") from None
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != (initial or {}))
        except forms.ValidationError:
            return True

    def run_validators(self, value: Any) -> None:
        super().run_validators(str(self.prepare_value(value)))
