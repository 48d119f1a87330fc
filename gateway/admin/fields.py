"""Form fields that the gate's admins share."""

from collections.abc import Callable, Iterable
from typing import Any

from django import forms


class LinesField(forms.CharField):
    """A list of texts, one a line."""

    widget = forms.Textarea(attrs={"rows": 4, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in (value or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(data) != (initial or []))


class NameField(forms.ChoiceField):
    """The name of something configured, or nothing. A name that has gone since stays, so that the row can be edited."""

    def __init__(self, names: Callable[[], Iterable[str]], *, empty: str, **kwargs: Any) -> None:
        self._names, self._empty = names, empty
        super().__init__(choices=lambda: self._offered(""), required=False, **kwargs)

    def keep(self, name: str) -> None:
        """Offers a row's own name too."""
        self.choices = self._offered(name)

    def _offered(self, own: str) -> list[tuple[str, str]]:
        known = list(self._names())
        gone = [(own, f"{own} (not configured)")] if own and own not in known else []
        return [("", self._empty), *((name, name) for name in known), *gone]
