"""Columns that hold a few values, of which one may be written alone: `70` for `[70]`, `"tenant"` for `["tenant"]`."""

from collections.abc import Sequence
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models


class FewField(ArrayField[Any, Any]):
    """An array in one order, whatever order it was given in, without doubles."""

    def normal(self, value: Any) -> Any:
        """The values as they are stored; what cannot be read is returned as it is, for validation to refuse."""
        values = [value] if isinstance(value, str | int) and value != "" else list(value or ())
        try:
            return sorted(set(values), key=self.rank)
        except (TypeError, ValueError):
            return values

    def rank(self, value: Any) -> Any:
        """What the values are sorted by."""
        return value

    def formfield(self, **kwargs: Any) -> Any:
        # A default that is made anew for each row does not change between showing a form and reading it.
        return super().formfield(**{"show_hidden_initial": False, **kwargs})

    def to_python(self, value: Any) -> Any:
        return self.normal(super().to_python(value) if isinstance(value, str) and value.startswith("[") else value)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = self.normal(getattr(model_instance, self.attname))
        setattr(model_instance, self.attname, value)
        return value


class NamesField(FewField):
    """Up to `most` of the `known` names."""

    def __init__(self, *, known: Sequence[str], most: int, **kwargs: Any) -> None:
        self.known, self.most = tuple(known), most
        options = {"base_field": models.CharField(max_length=20), "default": list, "db_default": [], "blank": True}
        super().__init__(**{**options, **kwargs})

    def rank(self, value: str) -> int:
        return self.known.index(value)

    def validate(self, value: Any, model_instance: models.Model | None) -> None:
        strange = [name for name in value if name not in self.known]
        if strange:
            raise ValidationError(f"{strange[0]!r} is not known here; there are {', '.join(self.known)}.")
        if len(value) > self.most:
            raise ValidationError(f"At most {self.most} of {', '.join(self.known)} go together.")
        super().validate(value, model_instance)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "known": self.known, "most": self.most}


class PercentsField(FewField):
    """Whole numbers from 1 to 100."""

    def __init__(self, **kwargs: Any) -> None:
        options = {"base_field": models.PositiveSmallIntegerField(), "default": _seventy, "blank": True}
        super().__init__(**{**options, **kwargs})

    def validate(self, value: Any, model_instance: models.Model | None) -> None:
        if not all(isinstance(item, int) and 1 <= item <= 100 for item in value):
            raise ValidationError("Shares are whole numbers from 1 to 100.")
        super().validate(value, model_instance)


def _seventy() -> list[int]:
    return [70]
